//! What the registry says is signed, and held against that by who gets it.

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
use stoq_io::statement::{StatementError, sign, verify};

const NOW: u64 = 1_800_000_000;
const HOUR: u64 = 3600;
const DIGEST: [u8; 32] = [7; 32];

#[derive(Debug)]
struct At(AtomicU64);

impl Clock for At {
    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Mesh {
    clock: Arc<At>,
    domain: TrustDomain,
    ca: CertificateAuthority,
}

impl Mesh {
    fn new() -> Self {
        let domain = TrustDomain::parse("mesh.test").unwrap();
        let clock = Arc::new(At(AtomicU64::new(NOW)));
        let (serial, profile) = (random_serial(&mut OsRng), CryptoProfile::Hybrid1024);
        let long = Validity {
            not_before: NOW - HOUR,
            not_after: NOW + 1000 * HOUR,
        };
        let ca = CertificateAuthority::create(&domain, profile, long, &serial, &mut OsRng);
        Self {
            clock,
            ca: ca.unwrap(),
            domain,
        }
    }

    /// Somebody without an identity.
    fn anybody(&self) -> Arc<TlsContext> {
        let tls = TlsContext::new(TlsSettings::default(), Arc::clone(&self.clock) as _);
        tls.set_trust(self.trust());
        tls
    }

    fn trust(&self) -> Trust {
        Trust::new(self.domain.clone(), vec![self.ca.root().clone()])
    }

    fn member(&self, account: &str) -> Arc<TlsContext> {
        let tls = self.anybody();
        let key = HybridKey::generate(CryptoProfile::Hybrid1024, &mut OsRng);
        let csr = Csr::parse_and_verify(&csr::build(&key, &mut OsRng)).unwrap();
        let day = Validity {
            not_before: NOW - 60,
            not_after: NOW + 24 * HOUR,
        };
        let serial = random_serial(&mut OsRng);
        let id = self.id(account);
        let leaf = self.ca.issue(&csr, &id, day, &serial, &mut OsRng);
        tls.set_identity(key, leaf.unwrap()).unwrap();
        tls
    }

    fn id(&self, account: &str) -> SpiffeId {
        SpiffeId::new(&self.domain, "stoq-system", account).unwrap()
    }
}

#[test]
fn who_gets_a_statement_knows_whose_it_is_until_it_ends() {
    let mesh = Mesh::new();
    let said = sign(&mesh.member("stoq-operator"), DIGEST, NOW + HOUR).unwrap();
    let anybody = mesh.anybody();
    let found = || verify(&anybody, &said.leaf, &said.signature, DIGEST);
    assert_eq!(found(), Ok(mesh.id("stoq-operator")));
    mesh.clock.0.store(NOW + HOUR - 1, Ordering::Relaxed);
    assert!(found().is_ok());
    mesh.clock.0.store(NOW + HOUR, Ordering::Relaxed);
    assert!(matches!(found(), Err(StatementError::Refused(_))));
}

#[test]
fn a_statement_that_is_changed_or_anothers_is_nobodys() {
    let mesh = Mesh::new();
    let operator = mesh.member("stoq-operator");
    let said = sign(&operator, DIGEST, NOW + HOUR).unwrap();
    let other = sign(&mesh.member("other"), DIGEST, NOW + HOUR).unwrap();
    let anybody = mesh.anybody();
    let mut forged = said.signature.clone();
    forged[700] ^= 1;
    let mut longer = said.signature.clone();
    longer.push(0);
    let cases: [(&[u8], &[u8], [u8; 32]); 6] = [
        (&said.leaf, &said.signature, [8; 32]),
        (&said.leaf, &forged, DIGEST),
        (&other.leaf, &said.signature, DIGEST),
        (&said.leaf, &longer, DIGEST),
        (&said.leaf, &[], DIGEST),
        (&said.leaf[1..], &said.signature, DIGEST),
    ];
    for (leaf, signature, digest) in cases {
        assert!(verify(&anybody, leaf, signature, digest).is_err());
    }
    let mut trust = mesh.trust();
    trust.revoke_identity(mesh.id("stoq-operator"), NOW);
    anybody.set_trust(trust);
    let revoked = verify(&anybody, &said.leaf, &said.signature, DIGEST);
    assert!(matches!(revoked, Err(StatementError::Certificate(_))));
}

#[test]
fn nothing_is_signed_for_longer_than_the_certificate_lasts_nor_without_one() {
    let mesh = Mesh::new();
    let said = sign(&mesh.member("stoq-operator"), DIGEST, NOW + 100 * HOUR).unwrap();
    let anybody = mesh.anybody();
    mesh.clock.0.store(NOW + 24 * HOUR, Ordering::Relaxed);
    assert!(verify(&anybody, &said.leaf, &said.signature, DIGEST).is_ok());
    mesh.clock.0.store(NOW + 24 * HOUR + 1, Ordering::Relaxed);
    assert!(verify(&anybody, &said.leaf, &said.signature, DIGEST).is_err());
    assert_eq!(sign(&anybody, DIGEST, NOW + HOUR), None);
}
