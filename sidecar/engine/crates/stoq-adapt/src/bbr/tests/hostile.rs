//! Peers that claim what they like.

use proptest::prelude::*;

use super::*;

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
