//! Keys and what they signed. A stand-in signs: FALCON itself is tested where it is called.

use std::time::{Duration, Instant};

use stoq_frames::sha256;
use stoq_frames::signed::{Keys, MAX_AHEAD, SignatureRefusal, Signed};
use stoq_wire::code::{ConnectionCode, StreamCode};
use stoq_wire::frame::Frame;
use stoq_wire::frame::key::Key;
use stoq_wire::frame::signature::{Signature, Subject};

const PEER: &str = "spiffe://test/ns/a/sa/peer";
const OTHER: &str = "spiffe://test/ns/a/sa/other";
const NOW: u64 = 1_800_000_000;
/// The end of the keys' certificates.
const ENDS: u64 = NOW + 86_400;

fn key(fill: u8) -> Vec<u8> {
    let mut key = vec![fill; 1793];
    key[0] = 10;
    key
}

/// Bound to key and content, as a signature is.
fn made(key: &[u8], content: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; 1280];
    signature[0] = 0x3a;
    signature[1..33].copy_from_slice(&sha256(&[key, content].concat()));
    signature
}

fn verify(key: &[u8], content: &[u8], signature: &[u8]) -> bool {
    made(key, content) == signature
}

fn signature(key: &[u8], subject: Subject, digest: [u8; 32], until: u64) -> Signature {
    let mut found = Signature {
        subject,
        key_id: sha256(key),
        until,
        digest,
        signature: vec![],
    };
    found.signature = made(key, &found.signed_content());
    found
}

fn over(frame: &Key, by: &[u8]) -> Signature {
    let mut encoded = Vec::new();
    Frame::Key(frame.clone()).encode(&mut encoded).unwrap();
    signature(by, Subject::Key, sha256(&encoded), NOW + 60)
}

struct Case {
    keys: Keys,
    signed: Signed,
    at: Instant,
}

impl Case {
    fn new() -> Self {
        let mut keys = Keys::default();
        keys.pin(PEER, &key(1), ENDS).unwrap();
        Self {
            keys,
            signed: Signed::new(3),
            at: Instant::now(),
        }
    }

    fn take(&mut self, from: &str, signature: &Signature) -> Result<(), SignatureRefusal> {
        let now = (self.at, NOW);
        self.signed
            .take(from, from, signature, &self.keys, &verify, now)
    }

    /// Takes a signature over a key frame, and then the frame.
    fn change(&mut self, frame: &Key, by: &[u8]) -> Result<Option<[u8; 32]>, SignatureRefusal> {
        self.take(PEER, &over(frame, by))?;
        self.keys.change(PEER, frame, &self.signed, NOW)
    }
}

#[test]
fn what_a_trusted_key_signed_is_signed_until_it_ends() {
    let mut case = Case::new();
    let made = signature(&key(1), Subject::Manifest, [7; 32], NOW + 10);
    assert_eq!(case.take(PEER, &made), Ok(()));
    let by = |case: &Case, subject, digest, unix| {
        case.signed
            .by(subject, digest, unix)
            .map(|(who, _)| who.to_owned())
    };
    let found = by(&case, Subject::Manifest, &[7; 32], NOW + 9);
    assert_eq!(found.as_deref(), Some(PEER));
    assert_eq!(by(&case, Subject::Manifest, &[7; 32], NOW + 10), None);
    assert_eq!(by(&case, Subject::Route, &[7; 32], NOW), None);
    assert_eq!(by(&case, Subject::Manifest, &[8; 32], NOW), None);
    case.signed.expire(NOW + 10);
    assert!(case.signed.is_empty());
}

#[test]
fn regression_a_known_signature_is_not_taken_with_another_end() {
    let mut case = Case::new();
    let good = signature(&key(1), Subject::Manifest, [7; 32], NOW + 10);
    assert_eq!(case.take(PEER, &good), Ok(()));
    for until in [NOW + 9, NOW + 11, NOW + MAX_AHEAD] {
        let changed = Signature {
            until,
            ..good.clone()
        };
        let refused = case.take(PEER, &changed);
        assert_eq!(refused, Err(SignatureRefusal::Forged), "{until}");
    }
    assert_eq!(case.take(PEER, &good), Ok(()));
}

#[test]
fn a_signature_that_is_not_right_is_refused() {
    let good = signature(&key(1), Subject::Manifest, [7; 32], NOW + 10);
    let with = |change: fn(&mut Signature)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed
    };
    let again = |until| signature(&key(1), Subject::Manifest, [7; 32], until);
    let cases = [
        (with(|one| one.digest = [8; 32]), SignatureRefusal::Forged),
        (
            with(|one| one.subject = Subject::Route),
            SignatureRefusal::Forged,
        ),
        (with(|one| one.until += 1), SignatureRefusal::Forged),
        (
            with(|one| one.key_id = [0; 32]),
            SignatureRefusal::UnknownKey,
        ),
        (
            with(|one| one.signature[0] = 0x39),
            SignatureRefusal::Degree,
        ),
        (again(NOW), SignatureRefusal::Ended(NOW)),
        (
            again(NOW + MAX_AHEAD + 1),
            SignatureRefusal::Ahead(NOW + MAX_AHEAD + 1),
        ),
    ];
    for (wrong, refusal) in cases {
        let mut case = Case::new();
        assert_eq!(case.take(PEER, &wrong), Err(refusal));
        assert_eq!(refusal.code(), Some(StreamCode::BadSignature));
        assert_eq!(refusal.connection_code(), None);
        assert!(case.signed.is_empty());
    }
    let refused = Case::new().take(OTHER, &good);
    assert_eq!(
        refused,
        Err(SignatureRefusal::UnknownKey),
        "of another identity"
    );
}

#[test]
fn what_ends_first_makes_room() {
    let mut case = Case::new();
    for (digest, until) in [(1, 50), (2, 20), (3, 40), (4, 30)] {
        let made = signature(&key(1), Subject::Route, [digest; 32], NOW + until);
        case.take(PEER, &made).unwrap();
    }
    assert_eq!(case.signed.len(), 3);
    let known = |digest| case.signed.by(Subject::Route, &[digest; 32], NOW).is_some();
    assert!(known(1) && !known(2) && known(3) && known(4));
}

#[test]
fn who_has_us_verify_in_vain_too_often_is_closed() {
    let mut case = Case::new();
    let mut forged = signature(&key(1), Subject::Route, [1; 32], NOW + 10);
    forged.signature[100] ^= 1;
    let mut refused = (0..9).map(|_| case.take(PEER, &forged).unwrap_err());
    assert!(
        refused
            .by_ref()
            .take(8)
            .all(|one| one == SignatureRefusal::Forged)
    );
    let last = refused.next().unwrap();
    assert_eq!(last.connection_code(), Some(ConnectionCode::Overloaded));
    assert_eq!(last.code(), None);
    let good = signature(&key(1), Subject::Route, [2; 32], NOW + 10);
    assert_eq!(case.take(PEER, &good), Err(SignatureRefusal::TooMany));
    assert_eq!(
        case.take(OTHER, &good),
        Err(SignatureRefusal::UnknownKey),
        "others have a budget of their own"
    );
    case.at += Duration::from_secs(1);
    assert_eq!(case.take(PEER, &good), Ok(()));
}

#[test]
fn signatures_that_are_right_cost_their_sender_nothing() {
    let mut case = Case::new();
    for digest in 0..50 {
        let made = signature(&key(1), Subject::Manifest, [digest; 32], NOW + 10);
        assert_eq!(case.take(PEER, &made), Ok(()));
        assert_eq!(case.take(PEER, &made), Ok(()), "as each lane brings it");
    }
    assert_eq!(case.signed.len(), 3);
}

#[test]
fn one_that_is_known_stands_for_no_other() {
    let mut case = Case::new();
    let made = signature(&key(1), Subject::Manifest, [7; 32], NOW + 10);
    case.take(PEER, &made).unwrap();
    let mut forged = made.clone();
    forged.signature[100] ^= 1;
    assert_eq!(case.take(PEER, &forged), Err(SignatureRefusal::Forged));
    let theirs = case.take(OTHER, &made);
    assert_eq!(theirs, Err(SignatureRefusal::UnknownKey));
    assert!(case.signed.by(Subject::Manifest, &[7; 32], NOW).is_some());
}

#[test]
fn a_key_ends_with_its_certificate_and_so_does_what_it_signed() {
    let mut case = Case::new();
    case.keys.pin(OTHER, &key(2), NOW).unwrap();
    let made = signature(&key(2), Subject::Manifest, [7; 32], NOW + 10);
    assert_eq!(
        case.take(OTHER, &made),
        Err(SignatureRefusal::ExpiredKey(NOW))
    );
    case.keys.pin(OTHER, &key(2), NOW + 5).unwrap();
    assert_eq!(case.take(OTHER, &made), Ok(()));
    let by = |unix| case.signed.by(Subject::Manifest, &[7; 32], unix).is_some();
    assert!(by(NOW + 4) && !by(NOW + 5));
}

#[test]
fn keys_of_a_thousand_identities_are_kept_and_the_first_to_end_makes_room() {
    let mut keys = Keys::default();
    let name = |number: u64| format!("spiffe://test/ns/a/sa/{number}");
    for number in 0..=1024 {
        keys.pin(&name(number), &key(1), ENDS + number).unwrap();
    }
    let mut signed = Signed::new(3);
    let made = signature(&key(1), Subject::Manifest, [7; 32], NOW + 10);
    let mut take = |number| {
        let identity = name(number);
        let now = (Instant::now(), NOW);
        signed.take(PEER, &identity, &made, &keys, &verify, now)
    };
    assert_eq!(take(0), Err(SignatureRefusal::UnknownKey));
    assert_eq!(take(1), Ok(()));
    assert_eq!(take(1024), Ok(()));
}

#[test]
fn a_key_is_announced_by_who_has_its_id_in_the_handshake() {
    let mut keys = Keys::default();
    let id = sha256(&key(5));
    assert_eq!(
        keys.announce(PEER, &key(5), None, ENDS),
        Err(SignatureRefusal::UnknownKey)
    );
    assert_eq!(
        keys.announce(PEER, &key(5), Some(&[0; 32]), ENDS),
        Err(SignatureRefusal::UnknownKey)
    );
    assert_eq!(keys.announce(PEER, &key(5), Some(&id), ENDS), Ok(id));
    assert_eq!(
        keys.announce(PEER, &key(5), None, ENDS),
        Ok(id),
        "it is trusted already"
    );
}

#[test]
fn a_key_is_rotated_by_the_old_one_alone() {
    let mut case = Case::new();
    let rotate = Key::Rotate {
        old: sha256(&key(1)),
        key: key(2),
    };
    case.keys.pin(PEER, &key(3), ENDS).unwrap();
    assert_eq!(
        case.change(&rotate, &key(3)),
        Err(SignatureRefusal::UnknownKey)
    );
    assert_eq!(
        case.change(&rotate, &key(2)),
        Err(SignatureRefusal::UnknownKey)
    );
    assert_eq!(case.change(&rotate, &key(1)), Ok(None));
    for fill in [1, 2] {
        let made = signature(&key(fill), Subject::Route, [fill; 32], NOW + 10);
        assert_eq!(case.take(PEER, &made), Ok(()));
    }
}

#[test]
fn a_change_needs_a_signature_over_just_that_frame() {
    let mut case = Case::new();
    let frame = Key::Revoke {
        old: sha256(&key(1)),
    };
    let unsigned = case.keys.change(PEER, &frame, &case.signed, NOW);
    assert_eq!(unsigned, Err(SignatureRefusal::OtherContent));
    case.take(PEER, &over(&frame, &key(1))).unwrap();
    let late = case.keys.change(PEER, &frame, &case.signed, NOW + 60);
    assert_eq!(late, Err(SignatureRefusal::OtherContent));
    let theirs = case.keys.change(OTHER, &frame, &case.signed, NOW);
    assert_eq!(theirs, Err(SignatureRefusal::OtherContent));
    let announce = Key::Announce { key: key(1) };
    assert_eq!(
        case.change(&announce, &key(1)),
        Err(SignatureRefusal::OtherContent)
    );
}

#[test]
fn a_revoked_key_and_what_it_signed_are_no_longer_trusted() {
    let mut case = Case::new();
    let made = signature(&key(1), Subject::Manifest, [7; 32], NOW + 10);
    case.take(PEER, &made).unwrap();
    let id = sha256(&key(1));
    assert_eq!(case.change(&Key::Revoke { old: id }, &key(1)), Ok(Some(id)));
    case.signed.revoke(&id);
    assert!(case.signed.is_empty());
    assert_eq!(case.take(PEER, &made), Err(SignatureRefusal::RevokedKey));
    assert!(case.keys.is_revoked(PEER, &id));
    assert_eq!(
        case.keys.pin(PEER, &key(1), ENDS),
        Err(SignatureRefusal::RevokedKey)
    );
}

#[test]
fn an_identity_has_four_keys_at_most() {
    let mut case = Case::new();
    for fill in 2..6 {
        case.keys.pin(PEER, &key(fill), ENDS).unwrap();
    }
    let made = |fill| signature(&key(fill), Subject::Route, [fill; 32], NOW + 10);
    assert_eq!(case.take(PEER, &made(1)), Err(SignatureRefusal::UnknownKey));
    assert_eq!(case.take(PEER, &made(2)), Ok(()));
}
