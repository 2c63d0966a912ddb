//! What a connection negotiated, as facts for metrics, logs and policies.

use stoq_wire::parameters::StoqParameters;

use crate::authorise::Peer;
use crate::profile::CryptoProfile;

/// What was negotiated, not what was configured. Complete once quinn-proto
/// reports `Connected`; before that the peer may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The key exchange, such as `X25519MLKEM768`. A resumed handshake has one too.
    pub key_exchange: &'static str,
    /// What the peer signed with, such as `Ed25519+FALCON-1024`; `none` for a
    /// client without a certificate. On a resumed connection: in the handshake
    /// that the session comes from.
    pub peer_signature: &'static str,
    /// What we signed with, likewise.
    pub local_signature: &'static str,
    /// The packet cipher, such as `AES-256-GCM`.
    pub cipher: &'static str,
    /// The profile that both signatures satisfy: the weaker of the two sides'.
    pub profile: CryptoProfile,
    /// Whether a session was resumed (no signature was made for this one).
    pub resumed: bool,
    /// The peer; `None` only for a client without a certificate on the
    /// bootstrap listener.
    pub peer: Option<Peer>,
    /// The peer's STOQ parameters; `None` for a plain QUIC peer.
    pub stoq: Option<StoqParameters>,
}
