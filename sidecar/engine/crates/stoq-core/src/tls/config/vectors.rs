//! What `docs/vectors/key-exchange.json` says of the key exchange. The group takes no private keys, so the
//! engine is the server, whose answer must give the client of the vectors the same secret.

use aws_lc_rs::agreement::{self, UnparsedPublicKey, X25519};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::kem::{DecapsulationKey, ML_KEM_768};
use rustls::NamedGroup;
use serde_json::Value;

use super::{Aead, CryptoProfile, SupportedKxGroup, provider};
use crate::tls::vectors::{bytes, cases, vectors};

/// Bytes of an ML-KEM-768 ciphertext, which comes first in a server's share (H1).
const CIPHERTEXT: usize = 1088;

fn group() -> &'static dyn SupportedKxGroup {
    let provider = provider(CryptoProfile::Hybrid1024, Aead::Aes256Gcm);
    let [group] = provider.kx_groups[..] else {
        panic!("{:?}", provider.kx_groups);
    };
    group
}

/// The secret that the client of the vectors takes from a server's share: the lattice's part first.
fn secret(document: &Value, answer: &[u8]) -> Vec<u8> {
    let (ciphertext, theirs) = answer.split_at(CIPHERTEXT);
    let lattice = DecapsulationKey::new(&ML_KEM_768, &bytes(&document["ml_kem_key"])).unwrap();
    let lattice = lattice.decapsulate(ciphertext.into()).unwrap();
    let curve =
        agreement::PrivateKey::from_private_key(&X25519, &bytes(&document["x25519"])).unwrap();
    let theirs = UnparsedPublicKey::new(&X25519, theirs);
    let both = |curve: &[u8]| Ok([lattice.as_ref(), curve].concat());
    agreement::agree(&curve, theirs, Unspecified, both).unwrap()
}

#[test]
fn the_client_of_the_vectors_takes_the_secret_that_they_say() {
    let document = vectors("key-exchange.json");
    let found = secret(&document, &bytes(&document["answer"]));
    assert_eq!(found, bytes(&document["secret"]));
}

#[test]
fn both_sides_have_one_secret_after_the_engine_has_answered() {
    let document = vectors("key-exchange.json");
    let group = group();
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
    let answered = group
        .start_and_complete(&bytes(&document["share"]))
        .unwrap();
    assert_eq!(answered.pub_key.len(), bytes(&document["answer"]).len());
    let theirs = secret(&document, &answered.pub_key);
    assert_eq!(answered.secret.secret_bytes(), theirs);
}

#[test]
fn a_share_that_is_none_is_refused() {
    for case in cases(&vectors("key-exchange.json"), "invalid_shares") {
        let answered = group().start_and_complete(&bytes(&case["hex"]));
        assert!(answered.is_err(), "{}", case["name"]);
    }
}
