//! What a connection negotiated, as facts for metrics, logs and policies.

use std::sync::Arc;

use stoq_wire::extension::Negotiated;
use stoq_wire::parameters::StoqParameters;

use super::Packets;
use crate::authorise::Peer;
use crate::falcon::Degree;
use crate::profile::CryptoProfile;
use crate::tls::{scheme_for, scheme_name};

/// What was negotiated, not what was configured. Complete once quinn-proto
/// reports `Connected`; before that the peer may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The key exchange, such as `X25519MLKEM768`. A resumed handshake has one too.
    pub key_exchange: &'static str,
    /// What the peer signed with, such as `Ed25519+FALCON-1024`; `none` for a
    /// client without a certificate. On a resumed connection: in the handshake
    /// that the session comes from. After a re-authentication: in that.
    pub peer_signature: &'static str,
    /// What we signed with, likewise.
    pub local_signature: &'static str,
    /// The packet cipher, such as `AES-256-GCM`.
    pub cipher: &'static str,
    /// The profile of what we signed with; without an identity, of what we would accept first.
    pub local_profile: CryptoProfile,
    /// The profile that both signatures satisfy: the weaker of the two sides'.
    pub profile: CryptoProfile,
    /// Whether a session was resumed (no signature was made for this one).
    pub resumed: bool,
    /// The peer; `None` only for a client without a certificate on the
    /// bootstrap listener.
    pub peer: Option<Peer>,
    /// The peer's STOQ parameters; `None` for a plain QUIC peer.
    pub stoq: Option<StoqParameters>,
    /// What both sides announced: what of STOQ's extensions the connection may use.
    pub agreed: Negotiated,
    /// What is at the end of its packets; none where nothing is reserved.
    pub packets: Option<Arc<Packets>>,
}

impl Evidence {
    /// The same connection after its peer has proven another certificate of its identity.
    pub(crate) fn renewed(&self, mut peer: Peer) -> Self {
        let own = self.local_profile;
        let theirs = profile_of(own, &peer);
        if self
            .peer
            .as_ref()
            .is_some_and(|peer| peer.leaf_der.is_empty())
        {
            peer.leaf_der = Arc::default();
        }
        Self {
            peer_signature: signature_name(theirs),
            profile: weaker(own, theirs),
            peer: Some(peer),
            ..self.clone()
        }
    }

    /// The same connection after we have proven an identity of profile `own`.
    pub(crate) fn proven(&self, own: CryptoProfile) -> Self {
        let theirs = self.peer.as_ref().map(|peer| profile_of(own, peer));
        Self {
            local_signature: signature_name(own),
            local_profile: own,
            profile: theirs.map_or(own, |theirs| weaker(own, theirs)),
            ..self.clone()
        }
    }
}

/// The profile a peer's signature satisfied. The verifier accepts a hybrid
/// scheme only with a key of its degree, so the key tells.
pub(crate) fn profile_of(own: CryptoProfile, peer: &Peer) -> CryptoProfile {
    match (own, peer.falcon_degree) {
        (CryptoProfile::Classical, _) => CryptoProfile::Classical,
        (_, Degree::Falcon1024) => CryptoProfile::Hybrid1024,
        (_, Degree::Falcon512) => CryptoProfile::Hybrid512,
    }
}

/// The weaker of two profiles.
pub(super) fn weaker(one: CryptoProfile, other: CryptoProfile) -> CryptoProfile {
    if one == CryptoProfile::Hybrid1024 {
        other
    } else {
        one
    }
}

/// What a profile signs with, in words.
pub(super) fn signature_name(profile: CryptoProfile) -> &'static str {
    scheme_name(scheme_for(profile))
}
