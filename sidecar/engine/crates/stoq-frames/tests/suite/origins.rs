//! Who began a route. A stand-in signs: FALCON itself is tested where it is called.

use std::time::{Duration, Instant};

use stoq_frames::hop::{
    Gateway, Limits, OriginRefusal, Origins, ROUTE_LIFE, Rule, Who, route_digest,
};
use stoq_frames::sha256;
use stoq_frames::signed::SignatureRefusal;
use stoq_wire::code::StreamCode;
use stoq_wire::frame::hop::{Route, RouteId};
use stoq_wire::frame::signature::{Signature, Subject};

const ORIGIN: &str = "spiffe://one.example/ns/shop/sa/web";
const FIRST: &str = "spiffe://one.example/ns/mesh/sa/gateway";
const HERE: &str = "spiffe://two.example/ns/mesh/sa/gateway";
const END: &str = "spiffe://two.example/ns/shop/sa/stock";
const NOW: u64 = 1_800_000_000;

fn route(id: u8) -> Route {
    Route {
        id: RouteId([id; 16]),
        position: 1,
        gateways: vec![FIRST.to_owned(), HERE.to_owned()],
        destination: "[fd00::9]:14008".parse().unwrap(),
        identity: END.to_owned(),
    }
}

fn key(fill: u8) -> Vec<u8> {
    let mut key = vec![fill; 897];
    key[0] = 9;
    key
}

/// Bound to key and content, as a signature is.
fn made(key: &[u8], content: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; 666];
    signature[0] = 0x39;
    signature[1..33].copy_from_slice(&sha256(&[key, content].concat()));
    signature
}

fn verify(key: &[u8], content: &[u8], signature: &[u8]) -> bool {
    made(key, content) == signature
}

fn signed(route: &Route, key: &[u8], until: u64) -> Signature {
    let mut found = Signature {
        subject: Subject::Route,
        key_id: sha256(key),
        until,
        digest: route_digest(route).unwrap(),
        signature: vec![],
    };
    found.signature = made(key, &found.signed_content());
    found
}

fn take(origins: &mut Origins, route: &Route, signature: &Signature) -> Result<(), OriginRefusal> {
    origins.take((ORIGIN, &key(1)), route, signature, &verify, NOW)
}

#[test]
fn a_signature_is_of_the_route_wherever_on_its_way_it_is() {
    let mut origins = Origins::default();
    let begun = Route {
        position: 0,
        ..route(1)
    };
    let signature = signed(&begun, &key(1), NOW + ROUTE_LIFE);
    assert_eq!(take(&mut origins, &route(1), &signature), Ok(()));
}

#[test]
fn a_signature_begins_one_route_until_it_ends() {
    let mut origins = Origins::default();
    let until = NOW + ROUTE_LIFE;
    let signature = signed(&route(1), &key(1), until);
    assert_eq!(take(&mut origins, &route(1), &signature), Ok(()));
    let again = take(&mut origins, &route(1), &signature);
    assert_eq!(again, Err(OriginRefusal::Used));
    let later = origins.take((ORIGIN, &key(1)), &route(1), &signature, &verify, until);
    let ended = SignatureRefusal::Ended(until);
    assert_eq!(later, Err(OriginRefusal::Signature(ended)));
}

#[test]
fn what_is_not_signed_by_the_key_and_for_this_route_is_refused() {
    let good = signed(&route(1), &key(1), NOW + ROUTE_LIFE);
    let mut forged = good.clone();
    forged.signature[40] ^= 1;
    let cases = [
        (
            signed(&route(2), &key(1), NOW + 9),
            OriginRefusal::OtherRoute,
        ),
        (
            Signature {
                subject: Subject::Manifest,
                ..good.clone()
            },
            OriginRefusal::OtherRoute,
        ),
        (
            signed(&route(1), &key(2), NOW + 9),
            SignatureRefusal::UnknownKey.into(),
        ),
        (
            signed(&route(1), &key(1), NOW),
            SignatureRefusal::Ended(NOW).into(),
        ),
        (
            signed(&route(1), &key(1), NOW + 601),
            OriginRefusal::Ahead(NOW + 601),
        ),
        (forged, SignatureRefusal::Forged.into()),
    ];
    let mut origins = Origins::default();
    for (signature, why) in cases {
        let refused = take(&mut origins, &route(1), &signature).unwrap_err();
        assert_eq!((refused, refused.code()), (why, StreamCode::BadSignature));
    }
    assert_eq!(
        take(&mut origins, &route(1), &good),
        Ok(()),
        "no trace is left"
    );
}

/// A route of many, begun by `origin`, whose signature is valid for so many seconds.
fn begin(origins: &mut Origins, origin: &str, number: u32, life: u64) -> Result<(), OriginRefusal> {
    let mut route = route(0);
    route.id.0[..4].copy_from_slice(&number.to_be_bytes());
    let signature = signed(&route, &key(1), NOW + life);
    origins.take((origin, &key(1)), &route, &signature, &verify, NOW)
}

#[test]
fn who_begins_ever_more_routes_has_nothing_begun_again_of_anybody() {
    let mut origins = Origins::default();
    let other = "spiffe://one.example/ns/shop/sa/other";
    assert_eq!(begin(&mut origins, other, 0, 1), Ok(()));
    // A hundred for each second of life, as a long day has them.
    let life = |number| 2 + u64::from(number) / 100;
    let routes = 1..17_000;
    for number in routes.clone() {
        let taken = begin(&mut origins, ORIGIN, number, life(number));
        assert_eq!(taken, Ok(()), "the {number}th");
    }
    let again = begin(&mut origins, other, 0, 1);
    assert_eq!(again, Err(OriginRefusal::Used), "somebody else's");
    for number in routes.step_by(50) {
        let again = begin(&mut origins, ORIGIN, number, life(number)).unwrap_err();
        let known = matches!(again, OriginRefusal::Used | OriginRefusal::Late(_));
        assert!(known, "the {number}th: {again}");
    }
    assert_eq!(begin(&mut origins, other, 1, 1), Ok(()));
}

#[test]
fn an_origin_that_was_not_heard_of_for_long_is_taken_as_a_new_one() {
    let mut origins = Origins::default();
    for number in 0..1000 {
        assert_eq!(
            begin(&mut origins, ORIGIN, number, 100 + u64::from(number) / 10),
            Ok(())
        );
    }
    let late = begin(&mut origins, ORIGIN, 1000, 50).unwrap_err();
    assert_eq!(late.code(), StreamCode::Refused, "{late}");
    let (later, route) = (NOW + 500, route(9));
    let signature = signed(&route, &key(1), later + 1);
    let taken = origins.take((ORIGIN, &key(1)), &route, &signature, &verify, later);
    assert_eq!(taken, Ok(()));
}

#[test]
fn a_trust_domain_that_makes_up_identities_keeps_out_none_but_its_own() {
    let mut origins = Origins::default();
    let made_up = |number: u32| format!("spiffe://two.example/ns/a/sa/b{number}");
    let refused = (0..10_000).find_map(|number| {
        let taken = begin(&mut origins, &made_up(number), number, 60);
        taken.err().map(|refusal| (number, refusal))
    });
    let (number, refusal) = refused.expect("they are not remembered without end");
    assert_eq!(refusal.code(), StreamCode::Refused);
    assert_eq!(begin(&mut origins, ORIGIN, number, 60), Ok(()));
    let again = begin(&mut origins, &made_up(0), 0, 60);
    assert_eq!(again, Err(OriginRefusal::Used));
    let (later, route) = (NOW + 60, route(9));
    let signature = signed(&route, &key(1), later + 1);
    let by = made_up(number);
    let taken = origins.take((&by, &key(1)), &route, &signature, &verify, later);
    assert_eq!(taken, Ok(()), "once the others have ended");
}

#[test]
fn a_peer_has_as_many_verified_as_the_rate_allows_and_others_are_not_touched() {
    let (mut origins, start) = (Origins::default(), Instant::now());
    let taken = (0..100).filter(|_| origins.may_ask(FIRST, start).is_ok());
    assert_eq!(taken.count(), 64);
    let refused = origins.may_ask(FIRST, start).unwrap_err();
    assert_eq!(refused.code(), StreamCode::Refused);
    assert!(origins.may_ask(HERE, start).is_ok());
    assert!(
        origins
            .may_ask(FIRST, start + Duration::from_millis(50))
            .is_ok()
    );
    for peer in 0..3000 {
        let at = start + Duration::from_secs(60);
        assert!(origins.may_ask(&peer.to_string(), at).is_ok());
    }
}

/// What a route of `origin` that came by [`FIRST`] is answered.
fn passed_on(
    origins: &mut Origins,
    origin: &str,
    now: Instant,
    proven: Result<(), OriginRefusal>,
) -> Result<(), OriginRefusal> {
    origins.may_ask(FIRST, now)?;
    origins.paid_by_origin((FIRST, origin), false, now, |_| proven)
}

#[test]
fn an_origin_uses_up_its_own_share_and_not_that_of_the_gateway_that_others_come_by() {
    let (mut origins, now) = (Origins::default(), Instant::now());
    let taken = (0..1000).filter(|_| passed_on(&mut origins, ORIGIN, now, Ok(())).is_ok());
    assert_eq!(taken.count(), 64);
    let other = "spiffe://one.example/ns/shop/sa/other";
    let taken = (0..64).filter(|_| passed_on(&mut origins, other, now, Ok(())).is_ok());
    assert_eq!(taken.count(), 64);
    assert_eq!(passed_on(&mut origins, HERE, now, Ok(())), Ok(()));
    let later = now + Duration::from_millis(50);
    assert_eq!(passed_on(&mut origins, ORIGIN, later, Ok(())), Ok(()));
}

#[test]
fn what_is_not_proven_is_paid_by_who_passed_it_on_and_not_by_who_is_named() {
    let (mut origins, now) = (Origins::default(), Instant::now());
    let forged = Err(SignatureRefusal::Forged.into());
    let verified = (0..1000).filter(|_| passed_on(&mut origins, ORIGIN, now, forged) == forged);
    assert_eq!(verified.count(), 64);
    assert_eq!(
        origins.may_ask(FIRST, now),
        Err(OriginRefusal::TooMany),
        "no more is verified"
    );
    assert_eq!(
        origins.may_ask(ORIGIN, now),
        Ok(()),
        "who was named is not touched"
    );
    let own = (0..100).filter(|_| {
        origins.may_ask(HERE, now).is_ok()
            && origins
                .paid_by_origin((HERE, HERE), true, now, |_| Ok(()))
                .is_ok()
    });
    assert_eq!(own.count(), 64, "one's own count once");
}

#[test]
fn a_rule_about_origins_lets_pass_what_they_have_signed_and_nothing_else() {
    let rule = |origin: Option<Who>| Rule {
        from: Who::Exactly(FIRST.to_owned()),
        origin,
        next: None,
        to: Who::Anyone,
    };
    let open = |rule: &Rule, origin: Option<&str>| {
        let mut gateway = Gateway::new(Limits::default(), vec![rule.clone()]);
        gateway.open(HERE, FIRST, origin, route(1)).is_ok()
    };
    let other = "spiffe://one.example/ns/shop/sa/other";
    let one = rule(Some(Who::Exactly(ORIGIN.to_owned())));
    assert!(open(&one, Some(ORIGIN)));
    assert!(!open(&one, Some(other)));
    assert!(!open(&one, Some(FIRST)), "who asks has not begun it");
    assert!(!open(&one, None));
    let anyone = rule(Some(Who::Anyone));
    assert!(open(&anyone, Some(other)));
    assert!(!open(&anyone, None), "everyone, but not nobody");
    assert!(open(&rule(None), None));
}
