//! ProbeBW and ProbeRTT, losses and marks.

use super::*;
use crate::bbr::params::{BETA, PROBE_RTT_DURATION};

#[test]
fn a_cycle_probes_within_three_seconds_or_sixty_three_rounds_and_comes_back() {
    let mut trace = Trace::cruising();
    let before = trace.now;
    trace.until(State::ProbeBwRefill);
    let waited = trace.now - before;
    assert!(waited <= Duration::from_secs(3), "{waited:?}");
    trace.until(State::ProbeBwUp);
    assert!(trace.bbr.pacing_rate > trace.rate * 12 / 10);
    trace.until(State::ProbeBwDown);
    trace.until(State::ProbeBwCruise);
}

#[test]
fn a_maximum_is_forgotten_after_two_cycles() {
    let mut trace = Trace::cruising();
    trace.rate /= 2;
    trace.until(State::ProbeBwUp);
    trace.until(State::ProbeBwCruise);
    trace.until(State::ProbeBwUp);
    trace.until(State::ProbeBwCruise);
    assert_eq!(trace.bbr.max_bw, trace.rate);
}

#[test]
fn loss_while_cruising_lowers_the_bounds_once_per_round_and_a_probe_lifts_them() {
    let mut trace = Trace::cruising();
    let before = trace.bbr.bw;
    trace.rate = before / 10;
    // The first round with loss still remembers what was delivered before it.
    for kept in [1.0, BETA, BETA * BETA] {
        for _ in 0..3 {
            trace.bbr.on_loss(trace.now, &trace.loss(trace.bdp(), MTU));
        }
        trace.round();
        let bound = (before as f64 * kept) as u64;
        assert!(trace.bbr.bw_shortterm.abs_diff(bound) <= 1, "{kept}");
    }
    trace.until(State::ProbeBwRefill);
    assert_eq!(trace.bbr.bw_shortterm, UNBOUNDED);
}

#[test]
fn loss_above_the_threshold_ends_a_probe_at_the_volume_that_crossed_it() {
    let mut trace = Trace::cruising();
    trace.until(State::ProbeBwUp);
    let tx = 100_000;
    trace.bbr.on_loss(trace.now, &trace.loss(tx, 1_000));
    assert_eq!(
        trace.bbr.state,
        State::ProbeBwUp,
        "one percent is tolerated"
    );
    trace.bbr.on_loss(trace.now, &trace.loss(tx, 10_000));
    assert_eq!(trace.bbr.state, State::ProbeBwDown);
    // Before the batch 90,000 were in flight, none of them lost: 2 % of 91,836 are 1,836.
    assert_eq!(trace.bbr.inflight_longterm, 91_836);
    assert!(trace.bbr.prev_probe_too_high);
}

#[test]
fn after_a_probe_that_went_too_high_the_next_only_touches_that_volume_and_the_one_after_stays() {
    let mut trace = Trace::cruising();
    trace.until(State::ProbeBwUp);
    trace.bbr.on_loss(trace.now, &trace.loss(60_000, 10_000));
    let limit = trace.bbr.inflight_longterm;
    trace.until(State::ProbeBwUp);
    // The window holds a datagram less than the bound, and the ACK takes out what it names.
    let round = trace.bdp();
    trace.in_flight = Some(limit - round - MTU);
    trace.round();
    assert_eq!(trace.bbr.state, State::ProbeBwDown);
    assert!(trace.bbr.prev_probe_precautionary);
    trace.round();
    assert_eq!(
        trace.bbr.state,
        State::ProbeBwRefill,
        "no loss: it probes again at once"
    );
    trace.round();
    assert_eq!(trace.bbr.state, State::ProbeBwUp);
    trace.round();
    assert_eq!(trace.bbr.state, State::ProbeBwUp, "and stays this time");
}

#[test]
fn a_mark_ends_a_probe_with_what_was_in_flight() {
    let mut trace = Trace::cruising();
    trace.until(State::ProbeBwUp);
    trace.bbr.on_mark(trace.now, &trace.loss(70_000, 0));
    assert_eq!(trace.bbr.state, State::ProbeBwDown);
    assert_eq!(trace.bbr.inflight_longterm, 70_000);
}

#[test]
fn the_round_trip_is_probed_every_five_seconds_with_half_a_product_for_two_tenths() {
    let mut trace = Trace::cruising();
    trace.rtt = RTT * 2;
    trace.in_flight = None;
    trace.until(State::ProbeRtt);
    let entered = trace.now;
    trace.round();
    assert!(trace.bbr.cwnd <= trace.bdp() / 2 + 1);
    assert!(trace.bbr.holds_back());
    trace.until(State::ProbeBwCruise);
    assert!(trace.now - entered >= PROBE_RTT_DURATION);
    assert!(trace.bbr.cwnd > trace.bdp());
}

#[test]
fn after_probing_the_round_trip_in_startup_comes_startup() {
    let mut trace = Trace::new();
    trace.app_limited = true;
    trace.rounds(2);
    trace.rtt = RTT * 2;
    trace.until(State::ProbeRtt);
    trace.until(State::Startup);
}

#[test]
fn a_pause_stands_for_probing_the_round_trip_and_paces_at_the_bandwidth_after_it() {
    let mut trace = Trace::cruising();
    trace.rtt = RTT * 2;
    trace.now += Duration::from_secs(7);
    trace.bbr.on_transmit(trace.now, 0, true);
    assert_eq!(trace.bbr.pacing_rate, (trace.bbr.bw as f64 * 0.99) as u64);
    trace.round();
    assert_ne!(trace.bbr.state, State::ProbeRtt);
}

#[test]
fn persistent_congestion_takes_the_window_until_something_comes_through() {
    let mut trace = Trace::cruising();
    let before = trace.bbr.cwnd;
    trace.bbr.on_persistent_congestion(0);
    assert_eq!(trace.bbr.cwnd, 4 * MTU);
    trace.rounds(2);
    assert!(trace.bbr.cwnd >= before, "{} of {before}", trace.bbr.cwnd);
}

#[test]
fn searching_anew_forgets_the_bounds_but_not_the_bandwidth() {
    let mut trace = Trace::cruising();
    trace.until(State::ProbeBwUp);
    trace.bbr.on_loss(trace.now, &trace.loss(50_000, 10_000));
    trace.bbr.restart_startup();
    assert_eq!(trace.bbr.state, State::Startup);
    assert_eq!(trace.bbr.inflight_longterm, UNBOUNDED);
    trace.round();
    assert!(trace.bbr.pacing_rate > trace.rate * 27 / 10);
}
