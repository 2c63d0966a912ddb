use std::time::Duration;

use bytes::Bytes;
use stoq_frames::shard::{Share, cut, manifest};

use super::*;

mod signed;

const EACH: u64 = 1000;

fn limits(bytes: usize) -> Limits {
    let each = Share {
        bytes,
        transfers: 4,
    };
    Limits {
        bytes,
        each,
        object: 100_000,
        ..Limits::default()
    }
}

fn sender() -> SpiffeId {
    SpiffeId::parse("spiffe://mesh.test/ns/shop/sa/web").unwrap()
}

fn from(sender: &SpiffeId) -> From<'_> {
    From {
        sender,
        copy_of: None,
        asked: None,
        proof: None,
        trusts: &|_| true,
    }
}

fn object(length: usize, seed: u8) -> Bytes {
    (0..length)
        .map(|n| (n as u8).wrapping_mul(7) ^ seed)
        .collect()
}

/// The frames of an object, the manifest first.
fn frames(number: u8, object: &Bytes) -> Vec<Shard> {
    let transfer = TransferId([number; 16]);
    let all = [Range {
        offset: 0,
        length: object.len() as u64,
    }];
    let body = ShardBody::Manifest(manifest(object, EACH).unwrap());
    let shards = cut(transfer, object, EACH, &all);
    std::iter::once(Shard { transfer, body })
        .chain(shards)
        .collect()
}

fn send(hub: &ObjectHub, frames: Vec<Shard>, token: u64, now: Instant) -> Vec<Taken> {
    let taken = frames.into_iter().map(|frame| {
        hub.take(from(&sender()), frame, StreamToken(token), now)
            .unwrap()
    });
    taken.collect()
}

#[test]
fn an_object_waits_for_the_caller_once_it_is_whole() {
    let (hub, now) = (ObjectHub::new(limits(50_000)), Instant::now());
    hub.accept(true);
    let sent = object(2500, 1);
    let taken = send(&hub, frames(1, &sent), 9, now);
    assert_eq!(taken, [Taken::Kept, Taken::Kept, Taken::Kept, Taken::Whole]);
    assert_eq!(hub.progress(TransferId([1; 16])), Progress::Whole);
    let (found, _) = hub.fetch(StreamToken(9)).unwrap();
    assert_eq!(found.data.concat(), sent);
    assert_eq!(found.sender, sender());
    assert!(hub.fetch(StreamToken(9)).is_none());
}

#[test]
fn nothing_is_taken_before_somebody_asks_for_objects() {
    let (hub, now) = (ObjectHub::new(limits(50_000)), Instant::now());
    let first = frames(1, &object(10, 1)).remove(0);
    let refused = hub
        .take(from(&sender()), first, StreamToken(1), now)
        .unwrap_err();
    assert_eq!(refused.code(), StreamCode::Denied);
}

#[test]
fn data_before_its_manifest_is_early_and_a_bulk_transfer_is_denied() {
    let (hub, now) = (ObjectHub::new(limits(50_000)), Instant::now());
    hub.accept(true);
    let mut sent = frames(1, &object(10, 1));
    assert_eq!(send(&hub, vec![sent.remove(1)], 1, now), [Taken::Early]);
    let bulk = stoq_frames::shard::BulkWriter::new(TransferId([2; 16]), 10).finish();
    let refused = hub
        .take(from(&sender()), bulk, StreamToken(1), now)
        .unwrap_err();
    assert_eq!(refused, NotTaken::Bulk);
    assert_eq!(refused.code(), StreamCode::Denied);
}

#[test]
fn a_caller_that_fetches_nothing_holds_new_transfers_back_and_not_those_under_way() {
    let (hub, now) = (ObjectHub::new(limits(8_000)), Instant::now());
    hub.accept(true);
    let mut under_way = frames(2, &object(2000, 2));
    let rest = under_way.split_off(1);
    send(&hub, frames(1, &object(4000, 1)), 1, now);
    send(&hub, under_way, 2, now);
    send(&hub, frames(3, &object(4000, 3)), 3, now);
    let more = frames(4, &object(10, 4)).remove(0);
    assert_eq!(send(&hub, vec![more.clone()], 4, now), [Taken::NoRoom]);
    assert_eq!(send(&hub, rest, 2, now), [Taken::Kept, Taken::Whole]);
    let (_, room) = hub.fetch(StreamToken(2)).unwrap();
    assert!(!room, "8,000 bytes wait still");
    let (_, room) = hub.fetch(StreamToken(1)).unwrap();
    assert!(room);
    assert_eq!(send(&hub, vec![more], 4, now), [Taken::Kept]);
}

#[test]
fn what_is_never_finished_is_dropped_and_its_room_is_free() {
    let (hub, now) = (ObjectHub::new(limits(11_000)), Instant::now());
    hub.accept(true);
    send(
        &hub,
        frames(1, &object(9000, 1)).drain(..3).collect(),
        1,
        now,
    );
    let due = hub.next_expiry().unwrap();
    assert_eq!(hub.expire(due - Duration::from_millis(1)), 0);
    assert_eq!(hub.expire(due), 1);
    assert_eq!(hub.progress(TransferId([1; 16])), Progress::Gone);
    let again = frames(2, &object(9000, 2)).remove(0);
    assert_eq!(send(&hub, vec![again], 2, due), [Taken::Kept]);
}

#[test]
fn objects_that_are_empty_or_small_do_not_wait_in_any_number() {
    for length in [0, 1] {
        let (hub, now) = (ObjectHub::new(limits(50_000)), Instant::now());
        hub.accept(true);
        let begun = (0..2000_u64).take_while(|number| {
            let mut sent = frames(0, &object(length, 1));
            let transfer = TransferId(u128::from(*number).to_be_bytes());
            sent.iter_mut().for_each(|frame| frame.transfer = transfer);
            send(&hub, sent, *number, now)[0] != Taken::NoRoom
        });
        let begun = begun.count();
        assert!((100..400).contains(&begun), "{begun} of {length} bytes");
    }
}

#[test]
fn one_sender_does_not_take_all_the_room_of_others() {
    let mut limits = limits(50_000);
    limits.each.bytes = 10_000;
    let (hub, now) = (ObjectHub::new(limits), Instant::now());
    hub.accept(true);
    for number in 0..3 {
        send(&hub, frames(number, &object(4000, 1)), number.into(), now);
    }
    let more = frames(4, &object(10, 4)).remove(0);
    assert_eq!(send(&hub, vec![more.clone()], 4, now), [Taken::NoRoom]);
    let other = SpiffeId::parse("spiffe://mesh.test/ns/shop/sa/other").unwrap();
    let theirs = frames(5, &object(10, 5)).remove(0);
    let taken = hub.take(from(&other), theirs, StreamToken(5), now);
    assert_eq!(taken, Ok(Taken::Kept));
    let (_, room) = hub.fetch(StreamToken(0)).unwrap();
    assert!(room);
    assert_eq!(send(&hub, vec![more], 4, now), [Taken::Kept]);
}

/// Takes a frame of what was asked for under the token.
fn answer(hub: &ObjectHub, holder: &SpiffeId, frame: Shard, token: u64) -> Result<Taken, NotTaken> {
    let from = From {
        asked: Some(Terms { signer: None }),
        ..from(holder)
    };
    hub.take(from, frame, StreamToken(token), Instant::now())
}

#[test]
fn what_was_asked_for_is_taken_although_nobody_takes_objects() {
    let hub = ObjectHub::new(limits(50_000));
    let sent = object(1500, 1);
    let [manifest, first, second] = frames(1, &sent).try_into().unwrap();
    let transfer = manifest.transfer;
    assert_eq!(hub.ask(transfer), [EVERYTHING]);
    assert_eq!(answer(&hub, &sender(), manifest, 3), Ok(Taken::Kept));
    assert_eq!(answer(&hub, &sender(), first, 3), Ok(Taken::Kept));
    let rest = Range {
        offset: EACH,
        length: 500,
    };
    assert_eq!(hub.ask(transfer), [rest], "the rest, of the same identity");
    assert_eq!(answer(&hub, &sender(), second, 3), Ok(Taken::Whole));
    assert!(hub.ask(transfer).is_empty(), "it has come");
    assert!(hub.fetch(StreamToken(3)).is_some());
}

#[test]
fn another_holder_begins_anew_where_the_first_broke_off() {
    let hub = ObjectHub::new(limits(50_000));
    let other = SpiffeId::parse("spiffe://mesh.test/ns/shop/sa/other").unwrap();
    let sent = object(1500, 1);
    let transfer = TransferId([1; 16]);
    for frame in frames(1, &sent).into_iter().take(2) {
        assert_eq!(answer(&hub, &sender(), frame, 3), Ok(Taken::Kept));
    }
    let manifest = || frames(1, &sent).remove(0);
    assert!(answer(&hub, &other, manifest(), 4).is_err());
    hub.asked_in_vain(transfer, StreamToken(4));
    assert!(
        matches!(hub.progress(transfer), Progress::Missing(_)),
        "what the first brings goes on"
    );
    hub.asked_in_vain(transfer, StreamToken(3));
    assert_eq!(hub.ask(transfer), [EVERYTHING]);
    for frame in frames(1, &sent) {
        assert!(answer(&hub, &other, frame, 5).is_ok());
    }
    assert_eq!(hub.fetch(StreamToken(5)).unwrap().0.sender, other);
}

#[test]
fn what_a_sender_has_begun_stays_when_it_was_asked_for_in_vain() {
    let hub = ObjectHub::new(limits(50_000));
    hub.accept(true);
    let sent = object(1500, 1);
    let mut all = frames(1, &sent);
    let last = all.pop().unwrap();
    send(&hub, all, 9, Instant::now());
    hub.asked_in_vain(TransferId([1; 16]), StreamToken(3));
    assert_eq!(send(&hub, vec![last], 9, Instant::now()), [Taken::Whole]);
}

#[test]
fn a_transfer_that_took_too_long_can_be_asked_for() {
    let (hub, now) = (ObjectHub::new(limits(50_000)), Instant::now());
    hub.accept(true);
    let sent = object(1500, 1);
    send(&hub, frames(1, &sent).into_iter().take(2).collect(), 9, now);
    assert_eq!(hub.expire(now + Duration::from_secs(60)), 1);
    assert_eq!(hub.ask(TransferId([1; 16])), [EVERYTHING]);
    for frame in frames(1, &sent) {
        assert!(answer(&hub, &sender(), frame, 5).is_ok());
    }
    assert!(hub.fetch(StreamToken(5)).is_some());
}
