//! What `docs/vectors` says of certificates, asked of the gate, and of handshakes.

#[path = "../../../../testing/vectors.rs"]
pub(crate) mod read;

use std::sync::Arc;

use quinn_proto::TransportError;
use quinn_proto::crypto::Session;
use rand_core::OsRng;
use serde_json::Value;
use stoq_core::authorise::{Expect, Trust, authorise};
use stoq_core::cert::RootCertificate;
use stoq_core::clock::Clock;
use stoq_core::falcon::Degree;
use stoq_core::key::HybridKey;
use stoq_core::profile::CryptoProfile;
use stoq_core::tls::{ServerRole, TlsContext, TlsSettings};

use self::read::{bytes, cases, vectors};
use crate::mesh::{Mesh, id, today};
use crate::pair::{SERVER, quic_parameters};

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
    let document = vectors("certificates.json");
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
    let document = vectors("certificates.json");
    let (trust, now) = (trust(&document), document["now"].as_u64().unwrap());
    for case in cases(&document, "invalid") {
        let leaf = bytes(&case["hex"]);
        let refusal = authorise(Some(&leaf), now, &trust, &Expect::AnyInMesh)
            .expect_err(case["name"].as_str().unwrap());
        let alert = u8::from(refusal.alert());
        assert_eq!(case["alert"], alert, "{}: {refusal}", case["name"]);
    }
}

/// The time that a file of vectors is for.
#[derive(Debug)]
struct Then(u64);

impl Clock for Then {
    fn now(&self) -> u64 {
        self.0
    }
}

/// An endpoint that trusts the root of the recorded handshakes.
fn trusting(document: &Value) -> Arc<TlsContext> {
    let now = document["now"].as_u64().unwrap();
    let tls = TlsContext::new(TlsSettings::default(), Arc::new(Then(now)));
    let root = RootCertificate::parse(&bytes(&document["root"])).unwrap();
    assert_eq!(root.trust_domain.as_str(), document["trust_domain"]);
    tls.set_trust(Trust::new(root.trust_domain.clone(), vec![root]));
    let key = HybridKey::generate(CryptoProfile::Hybrid1024, &mut OsRng);
    let (leaf, _) = Mesh::new().leaf(&key, &id("web"), today());
    tls.set_identity(key, leaf).unwrap();
    tls
}

/// Says all that it has to say by now.
fn said(session: &mut dyn Session) -> Vec<u8> {
    let mut out = Vec::new();
    while session.write_handshake(&mut out).is_some() {}
    out
}

/// What comes of a recorded flight, after its hello was taken and answered.
fn flight(session: &mut dyn Session, case: &Value, peer: &str) -> TransportError {
    said(session);
    let hello = bytes(&case[format!("{peer}_hello")]);
    session.read_handshake(&hello).unwrap();
    said(session);
    let flight = bytes(&case[format!("{peer}_flight")]);
    session.read_handshake(&flight).unwrap_err()
}

#[test]
fn a_recorded_handshake_is_of_use_to_nobody() {
    let document = vectors("handshakes.json");
    let tls = trusting(&document);
    let alert = 0x100 + document["alert"].as_u64().unwrap();
    for case in cases(&document, "handshakes") {
        let server = tls.server_config(ServerRole::Mesh);
        let mut server = server.start_session(1, &quic_parameters());
        let error = flight(&mut *server, &case, "client");
        assert_eq!(u64::from(error.code), alert, "{}: {error}", case["client"]);

        let client = tls.client_config(Expect::AnyInMesh, SERVER.parse().unwrap());
        let mut client = client.start_session(1, "stoq", &quic_parameters()).unwrap();
        let error = flight(&mut *client, &case, "server");
        assert_eq!(u64::from(error.code), alert, "{}: {error}", case["server"]);
    }
}
