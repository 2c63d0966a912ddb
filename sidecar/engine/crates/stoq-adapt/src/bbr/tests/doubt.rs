//! Paths that become longer, and queues that look like it.

use super::*;
use crate::bbr::params::PROBE_RTT_DURATION;

/// A flow on a path that has become five times as long: its window lets less through.
fn longer() -> Trace {
    let mut trace = Trace::cruising();
    trace.rtt = RTT * 5;
    trace.rate /= 5;
    trace
}

#[test]
fn three_rounds_far_above_the_smallest_round_trip_have_it_probed_at_once() {
    let mut trace = longer();
    trace.rounds(2);
    assert!(trace.bbr.state.is_probe_bw());
    trace.round();
    assert_eq!(trace.bbr.state, State::ProbeRtt);
    // Half a product of what is delivered now, not of what was.
    assert!(trace.bbr.cwnd <= trace.bdp() / 2 + MTU);
}

#[test]
fn one_round_trip_that_fits_ends_the_suspicion() {
    let mut trace = longer();
    for _ in 0..3 {
        trace.rtt = RTT * 5;
        trace.rounds(2);
        trace.rtt = RTT;
        trace.round();
        assert!(trace.bbr.state.is_probe_bw());
    }
}

#[test]
fn twice_the_round_trip_fits_the_window_and_is_left_alone() {
    let mut trace = Trace::cruising();
    trace.rtt = RTT * 2;
    trace.rounds(10);
    assert_ne!(trace.bbr.state, State::ProbeRtt);
}

#[test]
fn a_round_trip_that_stays_without_a_queue_is_the_path_s_and_the_bandwidth_is_remembered() {
    let mut trace = longer();
    let before = trace.bbr.max_bw;
    trace.until(State::ProbeRtt);
    let entered = trace.now;
    trace.in_flight = Some(4 * MTU);
    trace.until(State::ProbeBwCruise);
    assert!(trace.now - entered >= PROBE_RTT_DURATION);
    assert_eq!(trace.bbr.min_rtt, Some(RTT * 5));
    assert_eq!(trace.bbr.take_moved(), Some(RTT * 5));
    assert_eq!(trace.bbr.take_moved(), None, "told once");
    assert_eq!(trace.bbr.max_bw, before);
    // The new product and as much again may fly as soon as it has been acknowledged.
    trace.in_flight = None;
    trace.rate = before;
    trace.rounds(4);
    assert!(trace.bbr.cwnd >= 5 * trace.bdp());
}

#[test]
fn a_queue_that_drains_ends_the_probe_at_once_and_there_is_none_for_a_second() {
    let mut trace = longer();
    trace.until(State::ProbeRtt);
    trace.rtt = RTT;
    trace.round();
    assert_eq!(trace.bbr.state, State::ProbeBwCruise);
    assert_eq!(trace.bbr.min_rtt, Some(RTT));
    assert_eq!(trace.bbr.take_moved(), None);
    let ended = trace.now;
    trace.rtt = RTT * 5;
    trace.until(State::ProbeRtt);
    assert!(trace.now - ended >= Duration::from_secs(1));
}

#[test]
fn a_bandwidth_that_only_the_window_let_through_is_searched_anew() {
    let mut trace = longer();
    // As after an exchange of controllers on a path that had become longer before.
    trace.bbr.max_bw_filter = [0, trace.rate];
    trace.bbr.max_bw = trace.rate;
    trace.bbr.cwnd = (trace.rate as f64 * trace.rtt.as_secs_f64()) as u64;
    trace.bbr.inflight_shortterm = trace.bbr.cwnd;
    trace.until(State::ProbeRtt);
    trace.in_flight = Some(4 * MTU);
    trace.until(State::Startup);
    assert_eq!(trace.bbr.min_rtt, Some(RTT * 5));
}

#[test]
fn late_acknowledgements_of_an_application_that_asks_for_little_raise_no_doubt() {
    let mut trace = longer();
    trace.app_limited = true;
    trace.rounds(20);
    assert_eq!(trace.bbr.min_rtt, Some(RTT));
    assert_ne!(trace.bbr.state, State::ProbeRtt);
}

#[test]
fn a_longer_path_that_was_believed_is_not_doubted_again_for_a_second() {
    let mut trace = longer();
    trace.until(State::ProbeRtt);
    trace.in_flight = Some(4 * MTU);
    trace.until(State::ProbeBwCruise);
    let ended = trace.now;
    // A single round trip as short as before, as jitter gives now and then.
    trace.rtt = RTT;
    trace.round();
    assert_eq!(trace.bbr.min_rtt, Some(RTT));
    trace.rtt = RTT * 5;
    trace.until(State::ProbeRtt);
    assert!(trace.now - ended >= Duration::from_secs(1));
}

#[test]
fn doubts_without_ground_do_not_put_off_the_probe_every_five_seconds() {
    let mut trace = Trace::cruising();
    let begun = trace.now;
    while trace.now < begun + Duration::from_secs(16) {
        // The path is a little longer than before, and a queue stands whenever nothing is probed.
        let probing = trace.bbr.state == State::ProbeRtt;
        trace.rtt = if probing { RTT * 9 / 5 } else { RTT * 5 };
        trace.in_flight = probing.then_some(4 * MTU);
        trace.round();
    }
    assert_eq!(trace.bbr.min_rtt, Some(RTT * 9 / 5));
}
