//! What resolvers, verifiers and sessions read and the control path replaces.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use quinn_proto::Side;
use rustls::SignatureScheme;
use rustls::crypto::{SecureRandom, aws_lc_rs};
use stoq_wire::extension::Negotiated;
use stoq_wire::parameters::StoqParameters;

use super::TlsSettings;
use super::composite::scheme_of;
use super::leaves::{Leaves, VerifiedLeaf};
use super::signer::Identity;
use crate::authorise::{Expect, Peer, Refusal, Required, Trust, reauthorise, without_certificate};
use crate::cert::{CertificateError, Leaf};
use crate::clock::Clock;
use crate::falcon::Degree;
use crate::key::HybridKey;
use crate::profile::CryptoProfile;
use crate::session::profile_of;
use crate::tickets::ClientTickets;

/// Why an identity is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The leaf is malformed, or belongs to another key.
    #[error("our own certificate is refused: {0}")]
    Certificate(#[from] CertificateError),
    /// The key is not of the degree that the profile requires.
    #[error("our own key is {} but crypto profile {profile} requires {}", found.name(), profile.degree().name())]
    Degree {
        /// The key's degree.
        found: Degree,
        /// The profile in force.
        profile: CryptoProfile,
    },
}

/// Identity, trust and settings of a context.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: &'static dyn SecureRandom,
    pub(crate) client_tickets: Arc<ClientTickets>,
    profile: ArcSwap<CryptoProfile>,
    accepts_other_degree: bool,
    required: ArcSwap<Required>,
    leaves: Leaves,
    parameters: StoqParameters,
    identity: ArcSwapOption<Identity>,
    trust: ArcSwapOption<Trust>,
}

impl Shared {
    pub(super) fn new(
        settings: &TlsSettings,
        clock: Arc<dyn Clock>,
        client_tickets: Arc<ClientTickets>,
    ) -> Self {
        Self {
            clock,
            random: aws_lc_rs::default_provider().secure_random,
            client_tickets,
            profile: ArcSwap::from_pointee(settings.profile),
            accepts_other_degree: settings.accept_other_degree,
            required: ArcSwap::default(),
            leaves: Leaves::new(),
            parameters: settings.parameters.clone(),
            identity: ArcSwapOption::empty(),
            trust: ArcSwapOption::empty(),
        }
    }

    /// The profile that our next identity is to be of, and that we ask for.
    pub(crate) fn profile(&self) -> CryptoProfile {
        **self.profile.load()
    }

    pub(super) fn set_profile(&self, profile: CryptoProfile) {
        self.profile.store(Arc::new(profile));
    }

    /// What policies require of the moment.
    pub(crate) fn required(&self) -> Arc<Required> {
        self.required.load_full()
    }

    pub(super) fn set_required(&self, required: Required) {
        self.required.store(Arc::new(required));
    }

    /// Signature schemes accepted from peers, the preferred one first.
    pub(crate) fn schemes(&self) -> Vec<SignatureScheme> {
        let profile = self.profile();
        let mut schemes = vec![scheme_for(profile)];
        if self.accepts_other_degree {
            match profile {
                CryptoProfile::Hybrid1024 => schemes.push(scheme_of(Degree::Falcon512)),
                CryptoProfile::Hybrid512 => schemes.push(scheme_of(Degree::Falcon1024)),
                CryptoProfile::Classical => {}
            }
        }
        schemes
    }

    /// Decides on the crypto profile of a peer that the gate has let in.
    pub(crate) fn conforms(&self, peer: &Peer, expect: &Expect) -> Result<(), Refusal> {
        let found = profile_of(self.profile(), peer);
        self.required.load().of_peer(&peer.spiffe, found, expect)
    }

    /// The trust of the moment.
    pub(crate) fn trust(&self) -> Result<Arc<Trust>, Refusal> {
        self.trust.load_full().ok_or(Refusal::NoTrust)
    }

    pub(super) fn set_trust(&self, trust: Trust) {
        self.trust.store(Some(Arc::new(trust)));
        self.leaves.clear();
    }

    /// Our SVID of the moment, as this side of a connection shows it. A client
    /// shows none that has run out: without one it can still ask the bootstrap
    /// listener for a new one. A server shows even that, and the client says
    /// what is wrong.
    pub(crate) fn identity(&self, side: Side) -> Option<Arc<Identity>> {
        let now = self.clock.now();
        self.identity
            .load_full()
            .filter(|identity| side == Side::Server || now <= identity.not_after)
    }

    pub(super) fn set_identity(&self, key: HybridKey, leaf: Vec<u8>) -> Result<(), IdentityError> {
        let parsed = Leaf::parse(&leaf)?;
        if parsed.ed25519 != key.ed25519_public() || parsed.falcon != *key.falcon_public() {
            return Err(CertificateError::OtherKey.into());
        }
        let found = parsed.falcon.degree();
        let profile = self.profile();
        if found != profile.degree() {
            return Err(IdentityError::Degree { found, profile });
        }
        let named = (parsed.spiffe, parsed.not_after);
        let identity = Identity::new(key, leaf, named, profile, self.random);
        self.identity.store(Some(Arc::new(identity)));
        Ok(())
    }

    pub(super) fn clear_identity(&self) {
        self.identity.store(None);
    }

    /// Runs the gate, now: [`authorise`](crate::authorise::authorise), with the
    /// signatures of a leaf verified once.
    pub(crate) fn authorise(
        &self,
        leaf: Option<&[u8]>,
        expect: &Expect,
    ) -> Result<Option<Peer>, Refusal> {
        let Some(der) = leaf else {
            return without_certificate(expect).map(|()| None);
        };
        let trust = self.trust()?;
        let verified = self.leaves.verified(der, &trust)?;
        reauthorise(&verified.peer, self.clock.now(), &trust, expect)?;
        let mut peer = verified.peer.clone();
        if *expect == Expect::Bootstrap {
            peer.leaf_der = Arc::default();
        }
        Ok(Some(peer))
    }

    /// The keys of a leaf that the gate let in.
    pub(crate) fn verified(&self, leaf: &[u8]) -> Result<Arc<VerifiedLeaf>, Refusal> {
        self.leaves.verified(leaf, &*self.trust()?)
    }

    /// What we say of ourselves in a connection that begins now.
    pub(crate) fn parameters(&self, side: Side) -> StoqParameters {
        StoqParameters {
            falcon_key_id: self.identity(side).map(|identity| identity.falcon_key_id()),
            ..self.parameters.clone()
        }
    }

    /// What a connection may use, by what we offer and the peer announced.
    pub(crate) fn agreed(&self, theirs: Option<&StoqParameters>) -> Negotiated {
        Negotiated::of(&self.parameters, theirs)
    }
}

/// The scheme that a profile signs with.
pub(crate) fn scheme_for(profile: CryptoProfile) -> SignatureScheme {
    match profile {
        CryptoProfile::Classical => SignatureScheme::ED25519,
        hybrid => scheme_of(hybrid.degree()),
    }
}
