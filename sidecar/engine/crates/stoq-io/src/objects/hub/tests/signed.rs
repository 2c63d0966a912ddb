//! Manifests that are signed, and what that allows. What verifies is not decided here.

use stoq_core::authorise::Peer;
use stoq_core::falcon::{Degree, KeyId};
use stoq_wire::frame::signature::{Signature, Subject};

use super::*;

fn id(account: &str) -> SpiffeId {
    SpiffeId::parse(&format!("spiffe://mesh.test/ns/shop/sa/{account}")).unwrap()
}

fn proof(account: &str) -> Arc<Proof> {
    let signer = Arc::new(Peer {
        spiffe: id(account),
        serial: vec![1],
        not_before: 0,
        not_after: 100,
        issuer: vec![2; 20],
        falcon_degree: Degree::Falcon1024,
        falcon_key_id: KeyId([3; 32]),
        leaf_der: vec![4; 100].into(),
    });
    let signature = Signature {
        subject: Subject::Manifest,
        key_id: [3; 32],
        until: 50,
        digest: [5; 32],
        signature: vec![0x3a; 1280],
    };
    Arc::new(Proof { signer, signature })
}

/// Takes a frame that was not asked for.
fn sent(hub: &ObjectHub, frame: &Shard, proof: Option<&Arc<Proof>>) -> Result<Taken, NotTaken> {
    let sender = sender();
    let from = From {
        proof,
        ..from(&sender)
    };
    hub.take(from, frame.clone(), StreamToken(9), Instant::now())
}

/// Takes a frame of what was asked of `holder`, and must be signed by `signer`.
fn held(
    hub: &ObjectHub,
    (holder, token): (&str, u64),
    signer: Option<&SpiffeId>,
    proof: Option<&Arc<Proof>>,
    frame: &Shard,
) -> Result<Taken, NotTaken> {
    let holder = id(holder);
    let from = From {
        asked: Some(Terms { signer }),
        proof,
        ..from(&holder)
    };
    hub.take(from, frame.clone(), StreamToken(token), Instant::now())
}

#[test]
fn who_requires_a_signer_takes_what_it_signed_and_nothing_else() {
    let hub = ObjectHub::new(limits(50_000));
    hub.accept(true);
    hub.require_signer(Some(id("author")));
    let [manifest, data] = frames(1, &object(500, 1)).try_into().unwrap();
    for wrong in [None, Some(proof("other"))] {
        let refused = sent(&hub, &manifest, wrong.as_ref()).unwrap_err();
        assert_eq!(refused, NotTaken::Unsigned);
        assert_eq!(refused.code(), StreamCode::BadSignature);
        assert_eq!(hub.progress(TransferId([1; 16])), Progress::Gone);
    }
    let right = proof("author");
    assert_eq!(sent(&hub, &manifest, Some(&right)), Ok(Taken::Kept));
    assert_eq!(sent(&hub, &data, None), Ok(Taken::Whole));
    let found = hub.fetch(StreamToken(9)).unwrap().0;
    assert_eq!((found.sender, found.signer), (sender(), Some(id("author"))));
    hub.require_signer(None);
    let unsigned = frames(2, &object(0, 2)).remove(0);
    assert_eq!(sent(&hub, &unsigned, None), Ok(Taken::Whole));
    assert_eq!(hub.fetch(StreamToken(9)).unwrap().0.signer, None);
}

#[test]
fn another_holder_goes_on_with_what_is_signed() {
    let hub = ObjectHub::new(limits(50_000));
    let (author, right) = (id("author"), proof("author"));
    let object = object(1500, 1);
    let [manifest, first, second] = frames(1, &object).try_into().unwrap();
    let (one, other) = (("one", 3), ("other", 4));
    for frame in [&manifest, &first] {
        let taken = held(&hub, one, Some(&author), Some(&right), frame);
        assert_eq!(taken, Ok(Taken::Kept));
    }
    hub.asked_in_vain(manifest.transfer, StreamToken(3));
    let rest = Range {
        offset: EACH,
        length: 500,
    };
    assert_eq!(hub.ask(manifest.transfer), [rest]);
    let taken = held(&hub, other, Some(&author), Some(&right), &manifest);
    assert_eq!(taken, Ok(Taken::Repeated));
    let taken = held(&hub, other, Some(&author), None, &second);
    assert_eq!(taken, Ok(Taken::Whole));
    let found = hub.fetch(StreamToken(4)).unwrap().0;
    assert_eq!((found.sender, found.signer), (id("other"), Some(author)));
    assert_eq!(found.data.concat(), object);
}

#[test]
fn who_was_not_asked_brings_nothing_of_what_another_began() {
    let hub = ObjectHub::new(limits(50_000));
    hub.accept(true);
    let [manifest, first, _] = frames(1, &object(1500, 1)).try_into().unwrap();
    let right = proof("author");
    let taken = held(&hub, ("one", 3), None, Some(&right), &manifest);
    assert_eq!(taken, Ok(Taken::Kept));
    for frame in [&manifest, &first] {
        let refused = sent(&hub, frame, Some(&right)).unwrap_err();
        assert_eq!(refused.code(), StreamCode::Denied);
    }
}

#[test]
fn what_was_begun_unsigned_does_not_end_as_signed() {
    let hub = ObjectHub::new(limits(50_000));
    let author = id("author");
    let [manifest, data] = frames(1, &object(500, 1)).try_into().unwrap();
    let taken = held(&hub, ("one", 3), None, None, &manifest);
    assert_eq!(taken, Ok(Taken::Kept));
    let refused = held(&hub, ("one", 4), Some(&author), None, &data);
    assert_eq!(refused, Err(NotTaken::Unsigned));
    assert_eq!(hub.progress(manifest.transfer), Progress::Gone);
    assert_eq!(hub.ask(manifest.transfer), [EVERYTHING]);
}

#[test]
fn a_signature_that_no_longer_stands_when_the_object_is_whole_is_none() {
    let hub = ObjectHub::new(limits(50_000));
    hub.accept(true);
    let [manifest, data] = frames(1, &object(500, 1)).try_into().unwrap();
    assert_eq!(
        sent(&hub, &manifest, Some(&proof("author"))),
        Ok(Taken::Kept)
    );
    let sender = sender();
    let revoked = From {
        trusts: &|_| false,
        ..from(&sender)
    };
    let refused = hub.take(revoked, data, StreamToken(9), Instant::now());
    assert_eq!(refused, Err(NotTaken::Unsigned));
    assert_eq!(hub.progress(manifest.transfer), Progress::Gone);
    assert!(hub.fetch(StreamToken(9)).is_none());
}

#[test]
fn a_holder_shows_the_signature_until_it_ends_and_to_who_understands_it() {
    let hub = ObjectHub::new(limits(50_000));
    hub.accept(true);
    hub.hold(50_000, Vec::new());
    let [manifest, data] = frames(1, &object(500, 1)).try_into().unwrap();
    let right = proof("author");
    assert_eq!(sent(&hub, &manifest, Some(&right)), Ok(Taken::Kept));
    assert_eq!(sent(&hub, &data, None), Ok(Taken::Whole));
    let first = |stands: bool| {
        let mut answer = hub
            .answer(manifest.transfer, &id("late"), &[EVERYTHING], &|_| stands)
            .unwrap();
        answer.next().unwrap()
    };
    assert_eq!(Some(first(true)), right.frames());
    assert_ne!(first(false), first(true), "it has ended");
}
