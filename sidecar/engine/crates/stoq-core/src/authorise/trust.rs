//! What a workload trusts.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::cert::{RootCertificate, plain_serial};
use crate::spiffe::{SpiffeId, TrustDomain};

/// Roots, revocations and federated domains. Replaced as a whole when any of
/// it changes.
#[derive(Debug, Clone)]
pub struct Trust {
    /// Our own trust domain.
    pub trust_domain: TrustDomain,
    /// Our own domain's roots; more than one while roots rotate.
    pub roots: Vec<RootCertificate>,
    /// Roots of the domains we federate with.
    pub federated: BTreeMap<TrustDomain, Vec<RootCertificate>>,
    revoked: HashSet<Vec<u8>>,
    revoked_identities: HashMap<SpiffeId, u64>,
}

impl Trust {
    /// Trust in the roots of one domain, with nothing revoked.
    #[must_use]
    pub fn new(trust_domain: TrustDomain, roots: Vec<RootCertificate>) -> Self {
        Self {
            trust_domain,
            roots,
            federated: BTreeMap::new(),
            revoked: HashSet::new(),
            revoked_identities: HashMap::new(),
        }
    }

    /// Revokes the certificate with this serial number (big-endian; leading
    /// zeros do not matter).
    pub fn revoke(&mut self, serial: &[u8]) {
        self.revoked.insert(plain_serial(serial).to_vec());
    }

    /// Whether the certificate with this serial number is revoked.
    #[must_use]
    pub fn is_revoked(&self, serial: &[u8]) -> bool {
        self.revoked.contains(plain_serial(serial))
    }

    /// Revokes every certificate of `id` whose validity begins before `before` (Unix
    /// time). Of several bounds the latest holds.
    pub fn revoke_identity(&mut self, id: SpiffeId, before: u64) {
        let bound = self.revoked_identities.entry(id).or_insert(before);
        *bound = before.max(*bound);
    }

    /// The bound of [`revoke_identity`](Self::revoke_identity) that a certificate of `id`
    /// valid from `not_before` falls under, if it does.
    #[must_use]
    pub fn identity_revoked(&self, id: &SpiffeId, not_before: u64) -> Option<u64> {
        let before = *self.revoked_identities.get(id)?;
        (not_before < before).then_some(before)
    }

    /// The roots that speak for a trust domain, if any may.
    #[must_use]
    pub fn roots_of(&self, domain: &TrustDomain) -> Option<&[RootCertificate]> {
        if *domain == self.trust_domain {
            return Some(&self.roots);
        }
        self.federated.get(domain).map(Vec::as_slice)
    }
}
