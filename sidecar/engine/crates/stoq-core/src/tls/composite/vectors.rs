//! What `docs/vectors/certificate-verify.json` says of composite signatures.

use std::path::Path;

use rustls::SignatureScheme;
use serde_json::Value;

use super::{DOMAIN_LABEL, scheme_of, verify};
use crate::falcon::VerifyingKey;

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn signatures_verify_where_the_vectors_say_so_and_nowhere_else() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../docs/vectors");
    let text = std::fs::read_to_string(folder.join("certificate-verify.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(bytes(&document["label"]), DOMAIN_LABEL);
    let keys = document["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2);
    for key in keys {
        let ed25519 = bytes(&key["ed25519"]).try_into().unwrap();
        let falcon = VerifyingKey::from_bytes(&bytes(&key["falcon"])).unwrap();
        let scheme = u16::try_from(key["scheme"].as_u64().unwrap()).unwrap();
        assert_eq!(scheme_of(falcon.degree()), SignatureScheme::from(scheme));
        for (under, holds) in [("valid", true), ("invalid", false)] {
            let cases = key[under].as_array().unwrap();
            assert!(!cases.is_empty());
            for case in cases {
                let (content, signature) = (bytes(&case["content"]), bytes(&case["signature"]));
                let verified = verify(&ed25519, &falcon, &content, &signature);
                assert_eq!(verified, holds, "{}", case["name"]);
            }
        }
    }
}
