//! Mirrors.

use std::time::{Duration, Instant};

use bytes::Bytes;
use stoq_frames::seed::{Next, SeedQueue, is_copied};

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
    let (mut queue, now) = (SeedQueue::new(1000, 4), Instant::now());
    assert!(queue.begin(1, now) && queue.begin(2, now));
    assert!(queue.push(1, data(600)) && queue.push(2, data(300)));
    assert!(!queue.push(1, data(110)), "a copy with a hole is none");
    assert!(!queue.push(1, data(1)), "it is over");
    assert!(!queue.end(1), "nor is it ended twice");
    assert_eq!(queue.kept(), 300);
    assert!(queue.push(2, data(700)));
    queue.finish(2);
    assert!(queue.is_finished(2) && !queue.is_finished(1));
    assert_eq!(queue.next(2), Next::Data(data(300)));
    assert_eq!(queue.next(2), Next::Data(data(700)));
    assert_eq!((queue.next(2), queue.kept()), (Next::End, 0));
}

#[test]
fn a_copy_that_nobody_reads_does_not_hold_up_another() {
    let (mut queue, now) = (SeedQueue::new(1000, 4), Instant::now());
    assert!(queue.begin(1, now) && queue.begin(2, now));
    assert!(queue.push(1, data(100)) && queue.push(2, data(200)));
    assert_eq!(queue.next(2), Next::Data(data(200)));
    assert_eq!((queue.next(2), queue.kept()), (Next::Nothing, 100));
}

#[test]
fn single_bytes_take_no_more_room_than_the_queue_has() {
    let (mut queue, now) = (SeedQueue::new(64 * 100, 1), Instant::now());
    assert!(queue.begin(1, now));
    let fitted = (0..6400).take_while(|_| queue.push(1, data(1))).count();
    assert_eq!(fitted, 100);
    assert_eq!(queue.kept(), 0, "the copy is given up");
}

#[test]
fn copies_at_once_are_bounded_until_they_are_over() {
    let (mut queue, now) = (SeedQueue::new(100, 1), Instant::now());
    assert!(queue.begin(1, now));
    assert!(!queue.begin(2, now));
    queue.finish(1);
    assert!(!queue.begin(2, now), "its end is not sent");
    assert!(queue.end(1) && queue.begin(2, now));
}

#[test]
fn a_peer_that_fails_is_left_alone_for_longer_each_time() {
    let (mut queue, mut now) = (SeedQueue::new(100, 9), Instant::now());
    for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
        assert!(queue.begin(1, now));
        assert!(queue.push(1, data(10)));
        assert_eq!(queue.failed(now), [1]);
        assert_eq!((queue.next(1), queue.kept()), (Next::Nothing, 0));
        let end = now + Duration::from_secs(pause);
        assert!(!queue.begin(1, end - Duration::from_millis(1)));
        now = end;
    }
    queue.succeeded();
    assert!(queue.begin(1, now));
    queue.failed(now);
    assert!(queue.begin(1, now + Duration::from_secs(1)));
}

#[test]
fn what_fails_together_is_one_failure() {
    let (mut queue, now) = (SeedQueue::new(100, 9), Instant::now());
    for _ in 0..5 {
        queue.failed(now);
    }
    assert!(queue.begin(1, now + Duration::from_secs(1)));
}

#[test]
fn a_failure_is_remembered_for_a_while_after_the_pause() {
    let (mut queue, now) = (SeedQueue::new(100, 9), Instant::now());
    assert!(queue.is_idle(now));
    queue.failed(now);
    assert!(!queue.is_idle(now + Duration::from_secs(60)));
    assert!(queue.is_idle(now + Duration::from_secs(61)));
    assert!(queue.begin(1, now + Duration::from_secs(61)));
    assert!(!queue.is_idle(now + Duration::from_secs(61)));
}
