//! Startup and Drain.

use super::*;

#[test]
fn startup_ends_after_three_rounds_without_growth_and_drain_when_the_queue_is_gone() {
    let mut trace = Trace::new();
    trace.rounds(3);
    assert_eq!(trace.bbr.state, State::Startup);
    trace.rounds(1);
    assert_eq!(trace.bbr.state, State::Drain);
    assert!(trace.bbr.pacing_rate < trace.rate * 51 / 100);
    trace.in_flight = Some(trace.bdp() + trace.bdp() / 10);
    trace.round();
    assert_eq!(trace.bbr.state, State::Drain);
    trace.in_flight = Some(trace.bdp());
    trace.round();
    assert!(trace.bbr.state.is_probe_bw());
}

#[test]
fn drain_ends_after_three_rounds_though_the_queue_stays() {
    let mut trace = Trace::new();
    trace.until(State::Drain);
    trace.in_flight = Some(10 * trace.bdp());
    trace.rounds(3);
    assert_eq!(trace.bbr.state, State::Drain);
    trace.round();
    assert_eq!(trace.bbr.state, State::ProbeBwDown);
}

#[test]
fn rounds_that_the_application_limits_never_end_startup() {
    let mut trace = Trace::new();
    trace.app_limited = true;
    trace.rounds(100);
    assert_eq!(trace.bbr.state, State::Startup);
}

#[test]
fn growth_of_a_quarter_keeps_startup_going() {
    let mut trace = Trace::new();
    for _ in 0..20 {
        trace.round();
        trace.rate = trace.rate * 5 / 4 + 1;
    }
    assert_eq!(trace.bbr.state, State::Startup);
    assert!(trace.bbr.pacing_rate > trace.rate * 2);
}

#[test]
fn six_losses_in_a_round_above_two_percent_end_startup_and_five_do_not() {
    for (losses, ends) in [(5, false), (6, true)] {
        let mut trace = Trace::new();
        trace.app_limited = true;
        trace.rounds(2);
        for _ in 0..losses {
            trace.bbr.on_loss(trace.now, &trace.loss(40_000, MTU));
        }
        trace.now += RTT;
        let sample = RateSample {
            rate: Some(trace.rate),
            delivered: 40_000,
            prior_delivered: trace.delivered,
            total_delivered: trace.delivered + 40_000,
            newly_acked: 40_000,
            in_flight: 40_000,
            tx_in_flight: 40_000,
            lost: losses * MTU,
            rtt: RTT,
            app_limited: true,
        };
        trace.bbr.on_ack(trace.now, &sample);
        assert_eq!(trace.bbr.state != State::Startup, ends, "{losses}");
        assert_eq!(trace.bbr.inflight_longterm != UNBOUNDED, ends);
    }
}
