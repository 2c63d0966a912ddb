//! What `docs/vectors/certificate-verify.json` says of composite signatures.

use rustls::SignatureScheme;

use super::{DOMAIN_LABEL, scheme_of, verify};
use crate::falcon::VerifyingKey;
use crate::tls::vectors::{bytes, cases, vectors};

#[test]
fn signatures_verify_where_the_vectors_say_so_and_nowhere_else() {
    let document = vectors("certificate-verify.json");
    assert_eq!(bytes(&document["label"]), DOMAIN_LABEL);
    let keys = document["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2);
    for key in keys {
        let ed25519 = bytes(&key["ed25519"]).try_into().unwrap();
        let falcon = VerifyingKey::from_bytes(&bytes(&key["falcon"])).unwrap();
        let scheme = u16::try_from(key["scheme"].as_u64().unwrap()).unwrap();
        assert_eq!(scheme_of(falcon.degree()), SignatureScheme::from(scheme));
        for (under, holds) in [("valid", true), ("invalid", false)] {
            for case in cases(key, under) {
                let (content, signature) = (bytes(&case["content"]), bytes(&case["signature"]));
                let verified = verify(&ed25519, &falcon, &content, &signature);
                assert_eq!(verified, holds, "{}", case["name"]);
            }
        }
    }
}
