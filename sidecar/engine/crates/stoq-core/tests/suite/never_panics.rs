//! Readers of what the network sends, on anything.

use std::sync::LazyLock;

use proptest::prelude::*;
use rand_core::OsRng;
use stoq_core::cert::{Csr, Leaf, RootCertificate, csr};
use stoq_core::falcon::{SigningKey, VerifyingKey};
use stoq_core::key::HybridKey;
use stoq_core::profile::CryptoProfile;

use crate::mesh::{Mesh, id, today};

/// A leaf, a root and a request to damage.
static GOOD: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let mesh = Mesh::new();
    let key = HybridKey::generate(CryptoProfile::Hybrid512, &mut OsRng);
    let (leaf, _) = mesh.leaf(&key, &id("web"), today());
    [
        leaf,
        mesh.ca.root().der().to_vec(),
        csr::build(&key, &mut OsRng),
    ]
});

fn read(bytes: &[u8]) {
    let _ = Leaf::parse(bytes);
    let _ = RootCertificate::parse(bytes);
    let _ = Csr::parse_and_verify(bytes);
    let _ = VerifyingKey::from_bytes(bytes);
    let _ = SigningKey::from_bytes(bytes);
    let _ = HybridKey::from_bytes(bytes);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        read(&bytes);
    }

    #[test]
    fn damaged_certificates_and_requests_are_read_without_a_panic(
        which in 0usize..3,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut bytes = GOOD[which].clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        read(&bytes);
    }
}
