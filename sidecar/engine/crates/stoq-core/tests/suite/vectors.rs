//! What `docs/vectors/certificates.json` says of leaves, asked of the gate.

use std::path::Path;

use serde_json::Value;
use stoq_core::authorise::{Expect, Trust, authorise};
use stoq_core::cert::RootCertificate;
use stoq_core::falcon::Degree;

fn vectors() -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../docs/vectors");
    let text = std::fs::read_to_string(folder.join("certificates.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn cases(document: &Value, under: &str) -> Vec<Value> {
    let found = document[under].as_array().unwrap();
    assert!(!found.is_empty(), "no case under {under}");
    found.clone()
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Trust in all roots of the file: the first is our own, the others are federated.
fn trust(document: &Value) -> Trust {
    let mut roots = cases(document, "roots").into_iter().map(|case| {
        let root = RootCertificate::parse(&bytes(&case["hex"])).unwrap();
        assert_eq!(root.trust_domain.as_str(), case["trust_domain"]);
        assert_eq!(hex(root.key_id()), case["key_id"]);
        root
    });
    let own = roots.next().unwrap();
    let mut trust = Trust::new(own.trust_domain.clone(), vec![own]);
    for root in roots {
        trust
            .federated
            .insert(root.trust_domain.clone(), vec![root]);
    }
    trust
}

#[test]
fn good_certificates_are_let_in() {
    let document = vectors();
    let (trust, now) = (trust(&document), document["now"].as_u64().unwrap());
    for case in cases(&document, "valid") {
        let leaf = bytes(&case["hex"]);
        let value = &case["value"];
        let peer = authorise(Some(&leaf), now, &trust, &Expect::AnyInMesh)
            .unwrap_or_else(|refusal| panic!("{}: {refusal}", case["name"]))
            .unwrap();
        assert_eq!(peer.spiffe.as_str(), value["spiffe_id"]);
        assert_eq!(hex(&peer.serial).trim_start_matches('0'), value["serial"]);
        assert_eq!(peer.not_before, value["not_before"].as_u64().unwrap());
        assert_eq!(peer.not_after, value["not_after"].as_u64().unwrap());
        assert_eq!(hex(&peer.issuer), value["authority_key_id"]);
        assert_eq!(hex(&peer.falcon_key_id.0), value["falcon_key_id"]);
        let scheme = match peer.falcon_degree {
            Degree::Falcon1024 => 0xfe51,
            Degree::Falcon512 => 0xfe52,
        };
        assert_eq!(value["scheme"], scheme);
    }
}

#[test]
fn bad_certificates_are_refused_with_the_alert_for_it() {
    let document = vectors();
    let (trust, now) = (trust(&document), document["now"].as_u64().unwrap());
    for case in cases(&document, "invalid") {
        let leaf = bytes(&case["hex"]);
        let refusal = authorise(Some(&leaf), now, &trust, &Expect::AnyInMesh)
            .expect_err(case["name"].as_str().unwrap());
        let alert = u8::from(refusal.alert());
        assert_eq!(case["alert"], alert, "{}: {refusal}", case["name"]);
    }
}
