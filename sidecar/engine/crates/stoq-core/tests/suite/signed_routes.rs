//! Routes signed by an identity's FALCON key, and what a gateway makes of them.

use std::time::Instant;

use stoq_core::authorise::Refusal;
use stoq_core::falcon::VerifyingKey;
use stoq_frames::hop::{OriginRefusal, Origins, ROUTE_LIFE, route_digest};
use stoq_wire::code::StreamCode;
use stoq_wire::frame::Frame;
use stoq_wire::frame::hop::{Hop, Route, RouteId};
use stoq_wire::frame::signature::{Signature, Subject};

use crate::mesh::{DAY, Mesh, START, Workload};
use crate::vectors::read::{bytes, cases, vectors};

fn route() -> Route {
    Route {
        id: RouteId([1; 16]),
        position: 0,
        gateways: vec!["spiffe://mesh.test/ns/shop/sa/gateway".to_owned()],
        destination: "[fd00::9]:14008".parse().unwrap(),
        identity: "spiffe://mesh.test/ns/shop/sa/db".to_owned(),
    }
}

fn signed(by: &Workload) -> (Vec<u8>, Signature) {
    let digest = route_digest(&route()).unwrap();
    let made = by.tls.sign_frame(Subject::Route, digest, ROUTE_LIFE);
    made.unwrap()
}

/// What a gateway takes it for, with the key of this certificate.
fn taken(
    gateway: &Workload,
    leaf: &[u8],
    signature: &Signature,
) -> Result<String, Option<OriginRefusal>> {
    let vouched = gateway.tls.vouched(leaf).map_err(|_| None)?;
    let verify =
        |_: &[u8], content: &[u8], signature: &[u8]| vouched.falcon.verify(content, signature);
    let by = (vouched.peer.spiffe.as_str(), vouched.falcon.as_bytes());
    let mut origins = Origins::default();
    assert_eq!(origins.may_ask("a peer", Instant::now()), Ok(()));
    let unix = gateway.tls.unix();
    origins.take(by, &route(), signature, &verify, unix)?;
    Ok(by.0.to_owned())
}

#[test]
fn a_route_is_of_whose_certificate_and_key_say_so() {
    let mesh = Mesh::new();
    let (web, other, gateway) = (
        mesh.workload("web"),
        mesh.workload("other"),
        mesh.workload("gateway"),
    );
    let (leaf, signature) = signed(&web);
    let found = taken(&gateway, &leaf, &signature);
    assert_eq!(found.as_deref(), Ok(web.id.as_str()));
    let (another, by_another) = signed(&other);
    let refused = taken(&gateway, &leaf, &by_another).unwrap_err().unwrap();
    assert_eq!(refused.code(), StreamCode::BadSignature);
    assert!(taken(&gateway, &another, &signature).is_err());
}

#[test]
fn strangers_and_the_revoked_begin_no_routes() {
    let mesh = Mesh::new();
    let (web, gateway) = (mesh.workload("web"), mesh.workload("gateway"));
    let (leaf, signature) = signed(&web);
    let stranger = Mesh::of("mesh.test").workload("web");
    let (foreign, _) = signed(&stranger);
    let refused = gateway.tls.vouched(&foreign).unwrap_err();
    assert!(matches!(refused, Refusal::UnknownRoot(_)), "{refused}");
    assert!(gateway.tls.vouched(b"no certificate").is_err());

    let mut trust = mesh.trust();
    trust.revoke(&web.serial);
    gateway.tls.set_trust(trust);
    assert_eq!(taken(&gateway, &leaf, &signature), Err(None));
    let refused = gateway.tls.vouched(&leaf).unwrap_err();
    assert!(!refused.is_of_time(), "{refused}");

    gateway.tls.set_trust(mesh.trust());
    mesh.clock.advance(2 * DAY);
    let refused = gateway.tls.vouched(&leaf).unwrap_err();
    assert!(refused.is_of_time(), "{refused}");
    assert_eq!(gateway.tls.unix(), START + 2 * DAY);
    let digest = route_digest(&route()).unwrap();
    let made = web.tls.sign_frame(Subject::Route, digest, ROUTE_LIFE);
    assert!(made.is_none(), "nobody would take it");
}

#[test]
fn the_vectors_of_signed_routes() {
    let document = vectors("routes.json");
    let key = VerifyingKey::from_bytes(&bytes(&document["key"])).unwrap();
    let now = document["now"].as_u64().unwrap();
    let verify = |_: &[u8], content: &[u8], signature: &[u8]| key.verify(content, signature);
    for under in ["valid", "invalid"] {
        for case in cases(&document, under) {
            let (route, signature) = match ["route", "signature"].map(|field| {
                let found = Frame::decode(&bytes(&case[field]));
                found.unwrap().unwrap().0
            }) {
                [Frame::Hop(Hop::Open(route)), Frame::Signature(signature)] => (route, signature),
                other => panic!("{other:?}"),
            };
            let by = ("spiffe://one.example/ns/shop/sa/web", key.as_bytes());
            let found = Origins::default().take(by, &route, &signature, &verify, now);
            match under {
                "valid" => {
                    assert_eq!(found, Ok(()), "{}", case["name"]);
                    let digest = route_digest(&route).unwrap();
                    assert_eq!(digest.to_vec(), bytes(&case["digest"]));
                }
                _ => {
                    let code = found.unwrap_err().code();
                    assert_eq!(code, StreamCode::BadSignature, "{}", case["name"]);
                }
            }
        }
    }
}
