//! Mirrors.

use std::time::{Duration, Instant};

use bytes::Bytes;
use stoq_frames::seed::{SeedQueue, is_copied};

fn data(length: usize) -> Bytes {
    Bytes::from(vec![1; length])
}

#[test]
fn a_share_of_all_ids_is_copied_and_a_larger_one_has_the_same() {
    let ids: Vec<[u8; 16]> = (0..10_000u128).map(u128::to_be_bytes).collect();
    let copied = |share| ids.iter().filter(|id| is_copied(id, share)).count();
    assert_eq!((copied(0), copied(10_000)), (0, 10_000));
    let tenth = copied(1000);
    assert!((900..1100).contains(&tenth), "{tenth}");
    assert!(
        ids.iter()
            .all(|id| !is_copied(id, 1000) || is_copied(id, 2000))
    );
}

#[test]
fn what_does_not_fit_ends_its_copy_and_no_other() {
    let (mut queue, now) = (SeedQueue::new(100, 4), Instant::now());
    assert!(queue.begin(1, now) && queue.begin(2, now));
    assert!(queue.push(1, data(60)) && queue.push(2, data(30)));
    assert!(!queue.push(1, data(11)), "a copy with a hole is none");
    assert!(!queue.push(1, data(1)), "it is over");
    assert_eq!((queue.dropped, queue.kept()), (1, 30));
    assert!(queue.push(2, data(70)));
    queue.finish(2);
    assert_eq!(queue.pop(), Some((2, data(30))));
    assert_eq!(queue.pop(), Some((2, data(70))));
    assert_eq!((queue.pop(), queue.kept()), (None, 0));
}

#[test]
fn copies_at_once_are_bounded() {
    let (mut queue, now) = (SeedQueue::new(100, 1), Instant::now());
    assert!(queue.begin(1, now));
    assert!(!queue.begin(2, now));
    queue.finish(1);
    assert!(queue.begin(2, now));
    assert_eq!(queue.skipped, 1);
}

#[test]
fn a_peer_that_fails_is_left_alone_for_longer_each_time() {
    let (mut queue, mut now) = (SeedQueue::new(100, 9), Instant::now());
    for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
        assert!(queue.begin(1, now));
        assert!(queue.push(1, data(10)));
        assert_eq!(queue.failed(now), [1]);
        assert_eq!((queue.pop(), queue.kept()), (None, 0));
        let end = now + Duration::from_secs(pause);
        assert!(!queue.begin(1, end - Duration::from_millis(1)));
        now = end;
    }
    queue.succeeded();
    assert!(queue.begin(1, now));
    queue.failed(now);
    assert!(queue.begin(1, now + Duration::from_secs(1)));
}
