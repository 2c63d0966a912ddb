//! What policy says of crypto profiles, put in force on a context that lives.

use quinn_proto::Side;

use super::context::TlsContext;
use crate::authorise::Required;
use crate::profile::{CryptoProfile, ProfileError};
use crate::session::{Evidence, profile_of};

impl TlsContext {
    /// The profile of which our next identity is to be.
    #[must_use]
    pub fn profile(&self) -> CryptoProfile {
        self.shared.profile()
    }

    /// The profile of the identity that we show now; `None` without one.
    #[must_use]
    pub fn shown_profile(&self) -> Option<CryptoProfile> {
        Some(self.shared.identity(Side::Client)?.profile)
    }

    /// From now on identities must be of `profile`, and peers are asked for its signature first. The
    /// identity in force stays until there is another.
    ///
    /// # Errors
    /// [`ProfileError`] where one of the two profiles is [`CryptoProfile::Classical`]: no policy leads
    /// there or back.
    pub fn set_profile(&self, profile: CryptoProfile) -> Result<(), ProfileError> {
        if profile == CryptoProfile::Classical {
            return Err(ProfileError::ClassicalRefused);
        }
        if self.shared.profile() == CryptoProfile::Classical {
            return Err(ProfileError::Interop);
        }
        self.shared.set_profile(profile);
        Ok(())
    }

    /// Replaces what policies require, for handshakes to come. Live connections are the caller's to
    /// [`reauthorise`](Self::reauthorise).
    pub fn set_required(&self, required: Required) {
        self.shared.set_required(required);
    }

    /// Whether the peer of a connection proved itself with another profile than ours, though policies
    /// bind connections with it.
    #[must_use]
    pub fn fell_back(&self, evidence: &Evidence) -> bool {
        let own = self.shared.profile();
        evidence.peer.as_ref().is_some_and(|peer| {
            profile_of(own, peer) != own && !self.shared.required().exempts(&peer.spiffe)
        })
    }

    /// What a connection is known by once [`prove`](Self::prove) has shown our present identity there.
    #[must_use]
    pub fn proven(&self, evidence: &Evidence) -> Evidence {
        match self.shown_profile() {
            Some(own) => evidence.proven(own),
            None => evidence.clone(),
        }
    }
}
