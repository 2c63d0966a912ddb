//! Which crypto profile peers must prove themselves with, by policy.
//!
//! TLS offers nothing below a hybrid profile, whatever is required: this only ever refuses more.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Expect, Refusal};
use crate::profile::CryptoProfile;
use crate::spiffe::SpiffeId;

/// What policies require. Profiles are names: one that this release does not know is proven by
/// nobody, so who requires it lets nobody in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Required {
    /// Of every peer, by our own policy.
    pub everyone: Option<Arc<str>>,
    /// Of whom we dial, by their own policies: what the registry says that they require of both ends.
    pub dialled: HashMap<SpiffeId, Arc<str>>,
    /// Bound by none of it: the control plane, from which another policy comes.
    pub except: Option<SpiffeId>,
}

impl Required {
    /// Whether `id`, whom we expect to be `expect`, may prove itself with `found`.
    ///
    /// # Errors
    /// [`Refusal::CryptoProfile`].
    pub fn of_peer(
        &self,
        id: &SpiffeId,
        found: CryptoProfile,
        expect: &Expect,
    ) -> Result<(), Refusal> {
        let dialled = match expect {
            Expect::Id(_) => self.by_dialled(id),
            Expect::AnyInMesh | Expect::Bootstrap => None,
        };
        let required = [self.by_us(id), dialled].into_iter().flatten();
        match { required }.find(|required| ***required != *found.name()) {
            Some(required) => Err(Refusal::CryptoProfile {
                id: id.clone(),
                found,
                required: required.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Whether we may speak to `id`, whom we have dialled, when we prove ourselves with `own`.
    ///
    /// # Errors
    /// [`Refusal::OwnCryptoProfile`].
    pub fn of_us(&self, id: &SpiffeId, own: CryptoProfile) -> Result<(), Refusal> {
        match self.by_dialled(id) {
            Some(required) if **required != *own.name() => Err(Refusal::OwnCryptoProfile {
                id: id.clone(),
                own,
                required: required.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Whether no policy binds connections with `id`.
    #[must_use]
    pub fn exempts(&self, id: &SpiffeId) -> bool {
        self.except.as_ref() == Some(id)
    }

    fn by_us(&self, id: &SpiffeId) -> Option<&Arc<str>> {
        self.everyone.as_ref().filter(|_| !self.exempts(id))
    }

    fn by_dialled(&self, id: &SpiffeId) -> Option<&Arc<str>> {
        self.dialled.get(id).filter(|_| !self.exempts(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CryptoProfile::{Classical, Hybrid512, Hybrid1024};

    fn id(account: &str) -> SpiffeId {
        format!("spiffe://mesh.test/ns/shop/sa/{account}")
            .parse()
            .unwrap()
    }

    fn dialling(account: &str) -> Expect {
        Expect::Id(id(account))
    }

    #[test]
    fn nothing_is_required_where_no_policy_says_so() {
        let none = Required::default();
        for found in [Hybrid1024, Hybrid512, Classical] {
            assert_eq!(none.of_peer(&id("db"), found, &dialling("db")), Ok(()));
            assert_eq!(none.of_us(&id("db"), found), Ok(()));
        }
    }

    #[test]
    fn exactly_the_required_profile_is_let_in() {
        let required = Required {
            everyone: Some("hybrid-512".into()),
            ..Required::default()
        };
        let of = |found| required.of_peer(&id("db"), found, &Expect::AnyInMesh);
        assert_eq!(of(Hybrid512), Ok(()));
        for found in [Hybrid1024, Classical] {
            let refusal = of(found).unwrap_err();
            assert_eq!(refusal.name(), "crypto_profile");
            assert!(refusal.to_string().contains("sa/db"), "{refusal}");
            assert!(refusal.to_string().contains(found.name()), "{refusal}");
        }
    }

    #[test]
    fn what_a_destination_requires_binds_both_ends_of_what_is_dialled() {
        let required = Required {
            dialled: [(id("db"), "hybrid-512".into())].into(),
            ..Required::default()
        };
        let of = |found, expect: &Expect| required.of_peer(&id("db"), found, expect);
        assert!(of(Hybrid1024, &dialling("db")).is_err());
        assert_eq!(of(Hybrid512, &dialling("db")), Ok(()));
        assert_eq!(of(Hybrid1024, &Expect::AnyInMesh), Ok(()));
        assert_eq!(required.of_us(&id("db"), Hybrid512), Ok(()));
        let refusal = required.of_us(&id("db"), Hybrid1024).unwrap_err();
        assert_eq!(refusal.name(), "own_crypto_profile");
        assert_eq!(required.of_us(&id("web"), Hybrid1024), Ok(()));
    }

    #[test]
    fn the_control_plane_stays_in_reach() {
        let required = Required {
            everyone: Some("hybrid-512".into()),
            dialled: [(id("operator"), "hybrid-512".into())].into(),
            except: Some(id("operator")),
        };
        let expect = dialling("operator");
        assert_eq!(
            required.of_peer(&id("operator"), Hybrid1024, &expect),
            Ok(())
        );
        assert_eq!(required.of_us(&id("operator"), Hybrid1024), Ok(()));
    }

    #[test]
    fn who_requires_a_profile_of_a_later_release_lets_nobody_in() {
        let required = Required {
            everyone: Some("ml-dsa-65".into()),
            ..Required::default()
        };
        for found in [Hybrid1024, Hybrid512, Classical] {
            let refused = required.of_peer(&id("db"), found, &Expect::AnyInMesh);
            assert!(refused.is_err());
        }
    }
}
