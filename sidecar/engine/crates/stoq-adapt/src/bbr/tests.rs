use proptest::prelude::*;

use super::params::{BETA, PROBE_RTT_DURATION};
use super::*;
use crate::delivery::{LossSample, RateSample};

const MTU: u64 = 1200;
const RTT: Duration = Duration::from_millis(40);

/// A flow that gets one ACK per round, which acknowledges a round's worth.
struct Trace {
    bbr: Bbr,
    now: Instant,
    delivered: u64,
    /// Bytes per second.
    rate: u64,
    app_limited: bool,
    /// Bytes in flight after each ACK; `None`: the whole window.
    in_flight: Option<u64>,
    rtt: Duration,
}

impl Trace {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            bbr: Bbr::new(start(now)),
            now,
            delivered: 0,
            rate: 1_000_000,
            app_limited: false,
            in_flight: None,
            rtt: RTT,
        }
    }

    /// In ProbeBW's first phase, with a filled pipe of 1 MB/s.
    fn cruising() -> Self {
        let mut trace = Self::new();
        trace.rounds(8);
        trace.in_flight = Some(trace.bdp() / 2);
        trace.rounds(3);
        assert_eq!(trace.bbr.state, State::ProbeBwCruise);
        trace
    }

    fn bdp(&self) -> u64 {
        (self.rate as f64 * RTT.as_secs_f64()) as u64
    }

    fn round(&mut self) {
        self.now += self.rtt;
        let newly_acked = (self.rate as f64 * self.rtt.as_secs_f64()) as u64;
        let prior_delivered = self.delivered;
        self.delivered += newly_acked;
        let in_flight = self.in_flight.unwrap_or(self.bbr.cwnd);
        self.bbr.on_ack(
            self.now,
            &RateSample {
                rate: Some(self.rate),
                delivered: newly_acked,
                prior_delivered,
                total_delivered: self.delivered,
                newly_acked,
                in_flight,
                tx_in_flight: in_flight,
                lost: 0,
                rtt: self.rtt,
                app_limited: self.app_limited,
            },
        );
    }

    fn rounds(&mut self, count: u32) {
        for _ in 0..count {
            self.round();
        }
    }

    fn until(&mut self, state: State) {
        for _ in 0..1000 {
            if self.bbr.state == state {
                return;
            }
            self.round();
        }
        panic!("never in {state:?}");
    }

    fn loss(&self, tx_in_flight: u64, size: u64) -> LossSample {
        LossSample {
            size,
            tx_in_flight,
            lost: size,
            app_limited: false,
            total_delivered: self.delivered,
        }
    }
}

fn start(now: Instant) -> Start {
    Start {
        now,
        mtu: MTU,
        window: 10 * MTU,
        min_rtt: None,
        seed: 1,
    }
}

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
fn regression_an_absurd_rate_and_round_trip_overflow_no_volume() {
    let mut trace = Trace::new();
    let sample = RateSample {
        rate: Some(1 << 50),
        delivered: 1,
        prior_delivered: 0,
        total_delivered: 1,
        newly_acked: 1,
        in_flight: 0,
        tx_in_flight: 0,
        lost: 0,
        rtt: Duration::from_secs(9_000),
        app_limited: false,
    };
    trace.bbr.on_ack(trace.now, &sample);
    assert!(trace.bbr.cwnd < 1 << 41);
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

#[derive(Debug, Clone)]
enum Heard {
    Ack {
        rate: u64,
        acked: u64,
        in_flight: u64,
        lost: u64,
        rtt_us: u64,
        app_limited: bool,
    },
    Loss {
        size: u64,
        tx_in_flight: u64,
    },
    Mark {
        tx_in_flight: u64,
    },
    Persistent,
    Sent {
        in_flight: u64,
    },
    Restart,
}

fn heard() -> impl Strategy<Value = Heard> {
    let volume = 0_u64..1 << 40;
    prop_oneof![
        6 => (0_u64..1 << 50, volume.clone(), volume.clone(), volume.clone(), 0_u64..1 << 33, any::<bool>())
            .prop_map(|(rate, acked, in_flight, lost, rtt_us, app_limited)| Heard::Ack {
                rate, acked, in_flight, lost, rtt_us, app_limited
            }),
        2 => (volume.clone(), volume.clone())
            .prop_map(|(size, tx_in_flight)| Heard::Loss { size, tx_in_flight }),
        1 => volume.clone().prop_map(|tx_in_flight| Heard::Mark { tx_in_flight }),
        1 => Just(Heard::Persistent),
        1 => volume.prop_map(|in_flight| Heard::Sent { in_flight }),
        1 => Just(Heard::Restart),
    ]
}

proptest! {
    /// A peer may claim what it likes: nothing panics, four datagrams may always fly, something
    /// may always be sent, and an aggregate stays within its bounds.
    #[test]
    fn no_peer_can_push_the_outputs_out_of_bounds(
        events in proptest::collection::vec((0_u64..10_000_000, heard()), 1..200)
    ) {
        let mut now = Instant::now();
        let mut delivered = 0;
        let mut bbr = Bbr::new(start(now));
        for (gap_us, event) in events {
            now += Duration::from_micros(gap_us);
            match event {
                Heard::Ack { rate, acked, in_flight, lost, rtt_us, app_limited } => {
                    let prior_delivered = delivered;
                    delivered += acked;
                    bbr.on_ack(now, &RateSample {
                        rate: Some(rate).filter(|rate| *rate > 0),
                        delivered: acked,
                        prior_delivered,
                        total_delivered: delivered,
                        newly_acked: acked,
                        in_flight,
                        tx_in_flight: in_flight,
                        lost,
                        rtt: Duration::from_micros(rtt_us),
                        app_limited,
                    });
                }
                Heard::Loss { size, tx_in_flight } => {
                    let total_delivered = delivered;
                    bbr.on_loss(now, &LossSample {
                        size, tx_in_flight, lost: size, app_limited: false, total_delivered,
                    });
                }
                Heard::Mark { tx_in_flight } => {
                    let total_delivered = delivered;
                    bbr.on_mark(now, &LossSample {
                        size: 0, tx_in_flight, lost: 0, app_limited: false, total_delivered,
                    });
                }
                Heard::Persistent => bbr.on_persistent_congestion(0),
                Heard::Sent { in_flight } => bbr.on_transmit(now, in_flight, true),
                Heard::Restart => bbr.restart_startup(),
            }
            prop_assert!(bbr.cwnd() >= 4 * MTU);
            prop_assert!(bbr.pacing_rate() > 0);
            prop_assert!((2 * MTU..=64 * 1024).contains(&bbr.send_quantum()));
        }
    }
}
