//! A mesh to test with: an authority, workloads, and a clock that is moved by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand_core::OsRng;
use stoq_core::authorise::Trust;
use stoq_core::cert::{CertificateAuthority, Csr, Validity, csr, random_serial};
use stoq_core::clock::Clock;
use stoq_core::key::HybridKey;
use stoq_core::profile::CryptoProfile;
use stoq_core::spiffe::{SpiffeId, TrustDomain};
use stoq_core::tls::{TlsContext, TlsSettings};

/// When the tests begin: 2026-01-01T00:00:00Z.
pub(crate) const START: u64 = 1_767_225_600;

/// One day, the life of a leaf here.
pub(crate) const DAY: u64 = 24 * 60 * 60;

#[derive(Debug)]
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) struct Mesh {
    pub(crate) ca: CertificateAuthority,
    pub(crate) clock: Arc<TestClock>,
}

/// A workload: its context, and the certificate it was given last.
pub(crate) struct Workload {
    pub(crate) tls: Arc<TlsContext>,
    pub(crate) id: SpiffeId,
    pub(crate) serial: Vec<u8>,
}

pub(crate) fn domain(name: &str) -> TrustDomain {
    TrustDomain::parse(name).unwrap()
}

pub(crate) fn id(service_account: &str) -> SpiffeId {
    SpiffeId::new(&domain("mesh.test"), "shop", service_account).unwrap()
}

pub(crate) fn authority(trust_domain: &str) -> CertificateAuthority {
    let validity = Validity {
        not_before: START - 30 * DAY,
        not_after: START + 3650 * DAY,
    };
    CertificateAuthority::create(
        &domain(trust_domain),
        CryptoProfile::Hybrid1024,
        validity,
        &random_serial(&mut OsRng),
        &mut OsRng,
    )
    .unwrap()
}

/// A day from now.
pub(crate) fn today() -> Validity {
    Validity {
        not_before: START,
        not_after: START + DAY,
    }
}

pub(crate) fn request(key: &HybridKey) -> Csr {
    Csr::parse_and_verify(&csr::build(key, &mut OsRng)).unwrap()
}

impl Mesh {
    pub(crate) fn new() -> Self {
        Self::of("mesh.test")
    }

    pub(crate) fn of(trust_domain: &str) -> Self {
        Self {
            ca: authority(trust_domain),
            clock: Arc::new(TestClock(AtomicU64::new(START))),
        }
    }

    pub(crate) fn trust(&self) -> Trust {
        let root = self.ca.root().clone();
        Trust::new(root.trust_domain.clone(), vec![root])
    }

    pub(crate) fn leaf(
        &self,
        key: &HybridKey,
        id: &SpiffeId,
        validity: Validity,
    ) -> (Vec<u8>, Vec<u8>) {
        let serial = random_serial(&mut OsRng);
        let leaf = self
            .ca
            .issue(&request(key), id, validity, &serial, &mut OsRng)
            .unwrap();
        (leaf, serial.to_vec())
    }

    /// A workload whose certificate is valid today.
    pub(crate) fn workload(&self, service_account: &str) -> Workload {
        self.workload_with(service_account, today(), TlsSettings::default())
    }

    pub(crate) fn workload_with(
        &self,
        service_account: &str,
        validity: Validity,
        settings: TlsSettings,
    ) -> Workload {
        let domain = &self.ca.root().trust_domain;
        let id = SpiffeId::new(domain, "shop", service_account).unwrap();
        let key = HybridKey::generate(settings.profile, &mut OsRng);
        let tls = TlsContext::new(settings, self.clock.clone());
        let (leaf, serial) = self.leaf(&key, &id, validity);
        tls.set_identity(key, leaf).unwrap();
        tls.set_trust(self.trust());
        Workload { tls, id, serial }
    }

    /// A context that trusts the mesh and has no certificate yet.
    pub(crate) fn newcomer(&self) -> Arc<TlsContext> {
        let tls = TlsContext::new(TlsSettings::default(), self.clock.clone());
        tls.set_trust(self.trust());
        tls
    }
}
