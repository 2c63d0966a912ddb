//! Whether packets get through beside a tunnel.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use stoq_frames::hop::{Answers, Probing};

fn at(start: Instant, millis: u64) -> Instant {
    start + Duration::from_millis(millis)
}

fn nonce(number: u64) -> impl FnOnce() -> [u8; 8] {
    move || number.to_be_bytes()
}

#[test]
fn packets_stay_in_the_tunnel_until_a_probe_was_seen() {
    let start = Instant::now();
    let mut probing = Probing::new(start);
    let first = probing.leaves(start, nonce(7));
    assert_eq!(
        (first.beside, first.probe),
        (false, Some(7_u64.to_be_bytes()))
    );
    assert!(!probing.leaves(at(start, 10), nonce(8)).beside);
    probing.seen(8_u64.to_be_bytes(), at(start, 20));
    assert!(!probing.beside(), "that one was never sent");
    probing.seen(7_u64.to_be_bytes(), at(start, 20));
    assert!(probing.beside());
    let next = probing.leaves(at(start, 30), nonce(9));
    assert!(next.beside && next.probe.is_none());
}

#[test]
fn who_sends_asks_again_each_second_and_goes_on_meanwhile() {
    let start = Instant::now();
    let mut probing = Probing::new(start);
    probing.leaves(start, nonce(1));
    probing.seen(1_u64.to_be_bytes(), start);
    assert_eq!(probing.leaves(at(start, 999), nonce(2)).probe, None);
    let asks = probing.leaves(at(start, 1000), nonce(3));
    assert!(asks.beside && asks.probe.is_some());
    assert_eq!(probing.leaves(at(start, 1299), nonce(4)).probe, None);
    let again = probing.leaves(at(start, 1300), nonce(5));
    assert_eq!(again.probe, Some(3_u64.to_be_bytes()), "the same nonce");
}

#[test]
fn what_is_not_seen_any_more_goes_by_the_tunnel_and_is_tried_ever_more_rarely() {
    let start = Instant::now();
    let mut probing = Probing::new(start);
    probing.leaves(start, nonce(1));
    probing.seen(1_u64.to_be_bytes(), start);
    probing.leaves(at(start, 1000), nonce(2));
    assert!(probing.leaves(at(start, 1300), nonce(3)).probe.is_some());
    let last = probing.leaves(at(start, 2000), nonce(3));
    assert!(last.given_up && !last.beside);
    assert_eq!(probing.leaves(at(start, 2999), nonce(4)).probe, None);
    assert!(probing.leaves(at(start, 3000), nonce(5)).probe.is_some());
    assert!(probing.leaves(at(start, 3300), nonce(5)).probe.is_some());
    let second = probing.leaves(at(start, 4000), nonce(6));
    assert!(!second.given_up, "nothing went beside the tunnel");
    assert_eq!(probing.leaves(at(start, 5999), nonce(7)).probe, None);
    assert!(probing.leaves(at(start, 6000), nonce(8)).probe.is_some());
}

#[test]
fn who_sends_little_asks_twice_before_it_gives_up() {
    let start = Instant::now();
    let mut probing = Probing::new(start);
    probing.leaves(start, nonce(1));
    probing.seen(1_u64.to_be_bytes(), start);
    let first = probing.leaves(at(start, 5000), nonce(2));
    assert!(first.beside && first.probe.is_some());
    let second = probing.leaves(at(start, 10_000), nonce(3));
    assert!(
        second.beside && !second.given_up,
        "that one may have been lost"
    );
    assert_eq!(second.probe, Some(2_u64.to_be_bytes()));
    let last = probing.leaves(at(start, 15_000), nonce(4));
    assert!(last.given_up && !last.beside);
}

#[test]
fn a_flood_of_probes_has_few_answers() {
    let (start, mut answers) = (Instant::now(), Answers::default());
    let answered = (0..1000).filter(|millis| answers.answers(at(start, *millis)));
    assert_eq!(answered.count(), 20);
}

proptest! {
    /// Whoever is never told that a probe was seen never sends a packet beside the tunnel, and few
    /// probes: three in a second at first, then fewer.
    #[test]
    fn where_nothing_gets_through_nothing_is_lost(steps in proptest::collection::vec(0..500_u64, 1..2000)) {
        let start = Instant::now();
        let mut probing = Probing::new(start);
        let (mut passed, mut probes) = (0, 0);
        for (fresh, step) in steps.into_iter().enumerate() {
            passed += step;
            let leaves = probing.leaves(at(start, passed), nonce(fresh as u64));
            prop_assert!(!leaves.beside && !leaves.given_up);
            probes += u64::from(leaves.probe.is_some());
        }
        prop_assert!(probes <= 4 + 4 * passed / 1000);
    }
}
