//! Transfers in shards.

use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use stoq_frames::sha256;
use stoq_frames::shard::{
    BulkWriter, Lanes, Limits, Outcome, Refusal, Share, Store, cut, manifest,
};
use stoq_wire::code::StreamCode;
use stoq_wire::frame::FrameError;
use stoq_wire::frame::shard::{Manifest, Range, Shard, ShardBody, TransferId};

const ID: TransferId = TransferId([1; 16]);
const PEER: &str = "spiffe://test/ns/a/sa/peer";
const OTHER: &str = "spiffe://test/ns/a/sa/other";

fn whole(object: &Bytes) -> [Range; 1] {
    [Range {
        offset: 0,
        length: object.len() as u64,
    }]
}

fn manifest_frame(object: &[u8], shard_size: u64) -> Shard {
    Shard {
        transfer: ID,
        body: ShardBody::Manifest(manifest(object, shard_size).unwrap()),
    }
}

fn bulk(offset: u64, data: &[u8]) -> Shard {
    Shard {
        transfer: ID,
        body: ShardBody::Bulk {
            offset,
            digest: sha256(data),
            data: Bytes::copy_from_slice(data),
        },
    }
}

fn small() -> Limits {
    Limits {
        bytes: 4096,
        transfers: 3,
        each: Share {
            bytes: 3072,
            transfers: 2,
        },
        object: 2048,
        ..Limits::default()
    }
}

fn ready(outcome: Result<Outcome, Refusal>) -> (Vec<u8>, bool) {
    match outcome {
        Ok(Outcome::Taken { ready, whole }) => (ready.into_iter().flatten().collect(), whole),
        other => panic!("{other:?}"),
    }
}

/// What the network does to a frame.
#[derive(Debug, Clone)]
enum Fate {
    Lost,
    Twice,
    Changed(prop::sample::Index, u8),
    Arrives,
}

fn fates() -> impl Strategy<Value = Vec<(Fate, u32)>> {
    let fate = prop_oneof![
        1 => Just(Fate::Lost),
        1 => Just(Fate::Twice),
        1 => (any::<prop::sample::Index>(), 1u8..).prop_map(|(at, by)| Fate::Changed(at, by)),
        4 => Just(Fate::Arrives),
    ];
    vec((fate, any::<u32>()), 64)
}

fn changed(shard: &Shard, at: &prop::sample::Index, by: u8) -> Shard {
    let mut shard = shard.clone();
    if let ShardBody::Object { data, .. } | ShardBody::Bulk { data, .. } = &mut shard.body {
        let mut bytes = data.to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        *data = Bytes::from(bytes);
    }
    shard
}

/// The frames in an order and with the losses that `fates` says.
fn network(shards: &[Shard], fates: &[(Fate, u32)]) -> Vec<Shard> {
    let mut order: Vec<_> = shards.iter().zip(fates.iter().cycle()).collect();
    order.sort_by_key(|(_, (_, at))| *at);
    let arrives = |(shard, (fate, _)): (&Shard, &(Fate, u32))| match fate {
        Fate::Lost => vec![],
        Fate::Twice => vec![shard.clone(), shard.clone()],
        Fate::Changed(at, by) => vec![changed(shard, at, *by)],
        Fate::Arrives => vec![shard.clone()],
    };
    order.into_iter().flat_map(arrives).collect()
}

proptest! {
    #[test]
    fn an_object_arrives_whole_or_says_what_is_missing(
        object in vec(any::<u8>(), 0..1500),
        shard_size in 40u64..200,
        fates in fates(),
    ) {
        let object = Bytes::from(object);
        let mut store = Store::new(Limits::default());
        let now = Instant::now();
        let first = ready(store.take(PEER, manifest_frame(&object, shard_size), now));
        prop_assert_eq!(first.1, object.is_empty());
        let all: Vec<_> = cut(ID, &object, shard_size, &whole(&object)).collect();
        let (mut found, mut coming, mut rounds) = (None, network(&all, &fates), 0);
        while found.is_none() && !object.is_empty() {
            for shard in coming.drain(..) {
                match store.take(PEER, shard, now) {
                    Ok(Outcome::Taken { ready, whole: true }) => found = Some(ready),
                    Ok(Outcome::Taken { ready, whole: false }) => prop_assert!(ready.is_empty()),
                    Ok(Outcome::Repeated) => {}
                    Err(Refusal::Corrupt(_)) => {}
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            // The sender is asked for what is missing, on a connection that loses nothing.
            coming = cut(ID, &object, shard_size, &store.missing(ID).unwrap()).collect();
            rounds += 1;
            prop_assert!(rounds <= 2);
        }
        if let Some(found) = found {
            prop_assert_eq!(found.concat(), object.to_vec());
        }
        prop_assert_eq!(store.missing(ID), Some(vec![]));
        prop_assert_eq!(store.cost(), 0);
    }

    #[test]
    fn a_bulk_transfer_arrives_in_order_whatever_comes_first(
        parts in vec(vec(any::<u8>(), 1..90), 0..30),
        most in 1u64..70,
        fates in fates(),
    ) {
        let mut writer = BulkWriter::new(ID, most);
        let mut shards: Vec<_> =
            parts.iter().flat_map(|part| writer.push(Bytes::from(part.clone()))).collect();
        shards.push(writer.finish());
        let (mut store, now) = (Store::new(Limits::default()), Instant::now());
        let (mut found, mut ended) = (Vec::new(), false);
        let again = shards.clone();
        for shard in network(&shards, &fates).into_iter().chain(again) {
            match store.take(PEER, shard, now) {
                Ok(Outcome::Taken { ready, whole }) => {
                    prop_assert!(!ended);
                    found.extend(ready.concat());
                    ended = whole;
                }
                Ok(Outcome::Repeated) | Err(Refusal::Corrupt(_)) => {}
                other => prop_assert!(false, "{:?}", other),
            }
        }
        prop_assert!(ended);
        prop_assert_eq!(found, parts.concat());
        prop_assert_eq!(store.cost(), 0);
    }

    #[test]
    fn whatever_comes_stays_within_the_limits(
        frames in vec((0u8..4, 0u8..3, 0u64..3000, 1usize..900, 0u8..3, any::<bool>()), 0..200),
    ) {
        let (mut store, start) = (Store::new(small()), Instant::now());
        for (step, (id, kind, offset, length, fill, mine)) in frames.into_iter().enumerate() {
            let data = Bytes::from(vec![fill; length]);
            let body = match kind {
                0 => ShardBody::Manifest(manifest(&data, 100 * u64::from(fill) + 50).unwrap()),
                1 => ShardBody::Object { offset: offset / 50 * 50, data },
                _ => ShardBody::Bulk { offset, digest: sha256(&data), data },
            };
            let now = start + Duration::from_millis(step as u64 * 200);
            let shard = Shard { transfer: TransferId([id; 16]), body };
            let _whatever = store.take(if mine { PEER } else { OTHER }, shard, now);
            prop_assert!(store.cost() <= small().bytes);
        }
        let end = start + Duration::from_secs(400);
        prop_assert!(store.expire(end).len() <= small().transfers);
        prop_assert_eq!((store.cost(), store.next_expiry()), (0, None));
    }
}

#[test]
fn data_before_its_manifest_waits() {
    let object = Bytes::from_static(b"some bytes");
    let (mut store, now) = (Store::new(small()), Instant::now());
    let shard = cut(ID, &object, 10, &whole(&object)).next().unwrap();
    assert_eq!(store.take(PEER, shard.clone(), now), Ok(Outcome::Wait));
    assert_eq!(store.missing(ID), None);
    let taken = ready(store.take(PEER, manifest_frame(&object, 10), now));
    assert_eq!(taken, (vec![], false));
    let taken = ready(store.take(PEER, shard.clone(), now));
    assert_eq!(taken, (object.to_vec(), true));
    assert_eq!(store.take(PEER, shard, now), Ok(Outcome::Repeated));
    assert_eq!(store.repeated, 1);
}

#[test]
fn what_is_no_shard_of_the_object_is_refused_and_changes_nothing() {
    let object = Bytes::from(vec![5; 100]);
    let (mut store, now) = (Store::new(small()), Instant::now());
    ready(store.take(PEER, manifest_frame(&object, 30), now));
    let part = |offset: u64, length: usize| Shard {
        transfer: ID,
        body: ShardBody::Object {
            offset,
            data: Bytes::from(vec![5; length]),
        },
    };
    for (offset, length) in [
        (1, 30),
        (0, 29),
        (0, 31),
        (90, 30),
        (120, 30),
        (1 << 61, 30),
    ] {
        let refused = store.take(PEER, part(offset, length), now).unwrap_err();
        let length = length as u64;
        assert_eq!(refused, Refusal::NoShard { offset, length });
        assert_eq!(refused.code(), StreamCode::BadShard);
    }
    let other = manifest_frame(&object, 50);
    assert_eq!(store.take(PEER, other, now), Err(Refusal::Contradiction));
    assert_eq!(
        store.take(PEER, bulk(0, b"x"), now),
        Err(Refusal::Contradiction)
    );
    for (offset, length) in [(0, 30), (30, 30), (60, 30)] {
        ready(store.take(PEER, part(offset, length), now));
    }
    assert_eq!(
        store.missing(ID).unwrap(),
        [Range {
            offset: 90,
            length: 10
        }]
    );
    assert_eq!(
        ready(store.take(PEER, part(90, 10), now)),
        (object.to_vec(), true)
    );
}

#[test]
fn an_object_whose_whole_is_something_else_fails() {
    let object = Bytes::from_static(b"abcdef");
    let lie = Manifest {
        digest: [0; 32],
        ..manifest(&object, 6).unwrap()
    };
    let lie = Shard {
        transfer: ID,
        body: ShardBody::Manifest(lie),
    };
    let (mut store, now) = (Store::new(small()), Instant::now());
    ready(store.take(PEER, lie, now));
    let shard = cut(ID, &object, 6, &whole(&object)).next().unwrap();
    assert_eq!(store.take(PEER, shard.clone(), now), Err(Refusal::Whole));
    assert_eq!((store.missing(ID), store.cost()), (None, 0));
    assert_eq!(
        store.take(PEER, shard, now),
        Ok(Outcome::Repeated),
        "it has ended"
    );
}

#[test]
fn bulk_data_that_overlaps_makes_the_transfer_fail() {
    for second in [
        bulk(3, b"xx"),
        bulk(9, b"xx"),
        bulk(12, b"x"),
        bulk(4, b"0123456789"),
    ] {
        let (mut store, now) = (Store::new(small()), Instant::now());
        ready(store.take(PEER, bulk(0, b"abcd"), now));
        ready(store.take(PEER, bulk(10, b"klmn"), now));
        let refused = store.take(PEER, second, now).unwrap_err();
        assert!(matches!(refused, Refusal::Overlap(_)), "{refused}");
        assert!(refused.is_fatal());
        assert_eq!(store.cost(), 0);
    }
}

#[test]
fn a_bulk_transfer_ends_where_its_manifest_says() {
    let end = |size, digest| Shard {
        transfer: ID,
        body: ShardBody::Manifest(Manifest {
            size,
            shard_size: 0,
            digest,
            digests: vec![],
        }),
    };
    let now = Instant::now();
    let begun = || {
        let mut store = Store::new(small());
        ready(store.take(PEER, bulk(0, b"abcd"), now));
        store
    };
    assert_eq!(
        begun().take(PEER, end(3, [0; 32]), now),
        Err(Refusal::Overlap(3))
    );
    assert_eq!(
        begun().take(PEER, end(4, [0; 32]), now),
        Err(Refusal::Whole)
    );
    assert_eq!(
        ready(begun().take(PEER, end(4, sha256(b"abcd")), now)),
        (vec![], true)
    );
    let mut early = begun();
    ready(early.take(PEER, end(6, sha256(b"abcdef")), now));
    assert_eq!(
        early.take(PEER, end(6, sha256(b"abcdef")), now),
        Ok(Outcome::Repeated)
    );
    assert_eq!(
        early.take(PEER, end(7, [0; 32]), now),
        Err(Refusal::Contradiction)
    );
    assert_eq!(
        early.missing(ID).unwrap(),
        [Range {
            offset: 4,
            length: 2
        }]
    );
    assert_eq!(
        early.take(PEER, bulk(4, b"efg"), now),
        Err(Refusal::Overlap(4))
    );
}

#[test]
fn what_has_no_room_waits_and_what_is_due_never_does() {
    let (mut store, now) = (Store::new(small()), Instant::now());
    let piece = [7; 500];
    let mut offset = 500;
    while store.take(PEER, bulk(offset, &piece), now) != Ok(Outcome::Wait) {
        offset += 500;
        assert!(offset < 5000);
    }
    assert!(store.cost() <= 3072, "the share of an identity");
    let (bytes, _) = ready(store.take(PEER, bulk(0, &piece), now));
    assert_eq!(
        bytes.len() as u64,
        offset,
        "all that was waiting is due now"
    );
    assert!(matches!(
        store.take(PEER, bulk(offset, &piece), now),
        Ok(Outcome::Taken { .. })
    ));
}

#[test]
fn one_identity_cannot_take_the_room_of_all() {
    let (mut store, now) = (Store::new(small()), Instant::now());
    let begin = |store: &mut Store, from, id| {
        let shard = Shard {
            transfer: TransferId([id; 16]),
            ..bulk(0, b"x")
        };
        store.take(from, shard, now)
    };
    ready(begin(&mut store, PEER, 1));
    ready(begin(&mut store, PEER, 2));
    assert_eq!(begin(&mut store, PEER, 3), Ok(Outcome::Wait));
    ready(begin(&mut store, OTHER, 3));
    assert_eq!(
        begin(&mut store, OTHER, 4),
        Ok(Outcome::Wait),
        "three in all"
    );
}

#[test]
fn an_object_that_is_too_large_is_refused_at_its_manifest() {
    let (mut store, now) = (Store::new(small()), Instant::now());
    let refused = store
        .take(PEER, manifest_frame(&[0; 2049], 1000), now)
        .unwrap_err();
    assert_eq!(refused.code(), StreamCode::TooLarge);
    // Its shards cost more than its bytes.
    let refused = store
        .take(PEER, manifest_frame(&[0; 100], 1), now)
        .unwrap_err();
    assert_eq!(refused.code(), StreamCode::TooLarge);
    assert_eq!(store.cost(), 0);
}

#[test]
fn a_transfer_of_somebody_else_is_refused_unless_it_is_shared() {
    let object = Bytes::from_static(b"abcdef");
    let (mut store, now) = (Store::new(small()), Instant::now());
    ready(store.take(PEER, manifest_frame(&object, 3), now));
    let shards: Vec<_> = cut(ID, &object, 3, &whole(&object)).collect();
    let refused = store.take(OTHER, shards[0].clone(), now).unwrap_err();
    assert_eq!(
        (refused, refused.code()),
        (Refusal::NotTheirs, StreamCode::Denied)
    );
    store.share(ID);
    ready(store.take(OTHER, shards[0].clone(), now));
    assert!(ready(store.take(PEER, shards[1].clone(), now)).1);
}

#[test]
fn a_transfer_that_stands_still_or_drips_is_dropped() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut store = Store::new(Limits::default());
    ready(store.take(PEER, bulk(0, b"x"), start));
    assert_eq!(store.next_expiry(), Some(at(10)));
    assert!(store.expire(at(9)).is_empty());
    for second in (5..300).step_by(5) {
        ready(store.take(PEER, bulk(second / 5, b"x"), at(second)));
        assert!(store.expire(at(second)).is_empty());
    }
    assert_eq!(store.next_expiry(), Some(at(300)));
    assert_eq!(store.expire(at(300)), [ID]);
    assert_eq!(
        store.take(PEER, bulk(60, b"x"), at(301)),
        Ok(Outcome::Repeated)
    );
    assert_eq!(store.missing(ID), None);
}

#[test]
fn a_repetition_does_not_keep_a_transfer_alive() {
    let start = Instant::now();
    let mut store = Store::new(Limits::default());
    ready(store.take(PEER, bulk(5, b"x"), start));
    let later = start + Duration::from_secs(9);
    assert_eq!(
        store.take(PEER, bulk(5, b"x"), later),
        Ok(Outcome::Repeated)
    );
    assert_eq!(store.expire(start + Duration::from_secs(10)), [ID]);
}

#[test]
fn an_object_is_not_cut_into_more_shards_than_a_manifest_lists() {
    assert!(manifest(&[0; 4096], 1).is_ok());
    for (object, shard_size) in [(4097, 1), (10, 0), (10, (1 << 20) + 1)] {
        let refused = manifest(&vec![0; object], shard_size).unwrap_err();
        assert!(matches!(refused, FrameError::Value { .. }), "{refused}");
    }
}

#[test]
fn what_a_lost_lane_had_goes_over_the_others() {
    let mut lanes = Lanes::new(2);
    (0..6).for_each(|shard| lanes.push(shard));
    let next = |lanes: &mut Lanes<i32>, lane| lanes.next(lane);
    assert_eq!(next(&mut lanes, 1), Some(0));
    assert_eq!(next(&mut lanes, 2), Some(1));
    assert_eq!(next(&mut lanes, 1), Some(2));
    assert_eq!(next(&mut lanes, 1), None, "two are in flight");
    lanes.arrived(1, &0);
    lanes.lost(1);
    assert_eq!(next(&mut lanes, 2), Some(2));
    lanes.arrived(2, &1);
    lanes.arrived(2, &2);
    for shard in 3..6 {
        assert!(!lanes.is_done());
        assert_eq!(next(&mut lanes, 2), Some(shard));
        lanes.arrived(2, &shard);
    }
    assert!(lanes.is_done());
}

#[test]
fn a_first_frame_that_is_refused_begins_nothing() {
    let (mut store, now) = (Store::new(small()), Instant::now());
    let wrong = Shard {
        transfer: ID,
        body: ShardBody::Bulk {
            offset: 0,
            digest: [0; 32],
            data: Bytes::from_static(b"x"),
        },
    };
    assert_eq!(store.take(PEER, wrong, now), Err(Refusal::Corrupt(0)));
    assert_eq!((store.cost(), store.next_expiry()), (0, None));
    let far = bulk(9, &[0; 4000]);
    assert_eq!(store.take(PEER, far, now), Ok(Outcome::Wait));
    assert_eq!(store.next_expiry(), None);
    ready(store.take(OTHER, bulk(0, b"x"), now));
}

#[test]
fn what_the_peer_has_is_neither_sent_nor_sent_again() {
    let mut lanes = Lanes::new(3);
    (0..6).for_each(|shard| lanes.push(shard));
    let first: Vec<_> = (0..3).filter_map(|_| lanes.next(1)).collect();
    assert_eq!(first, [0, 1, 2]);
    lanes.keep(|shard| [1, 4].contains(shard));
    lanes.lost(1);
    let rest: Vec<_> = std::iter::from_fn(|| lanes.next(2)).collect();
    assert_eq!(rest, [1, 4]);
    lanes.keep(|_| false);
    assert!(lanes.is_done());
}

#[test]
fn a_store_knows_what_is_under_way_and_what_has_ended() {
    let (mut store, now) = (Store::new(small()), Instant::now());
    assert!(!store.knows(ID));
    let object = Bytes::from_static(b"object");
    store.take(PEER, manifest_frame(&object, 6), now).unwrap();
    assert!(store.knows(ID));
    let shard = cut(ID, &object, 6, &whole(&object)).next().unwrap();
    assert!(ready(store.take(PEER, shard, now)).1);
    assert!(store.knows(ID));
}
