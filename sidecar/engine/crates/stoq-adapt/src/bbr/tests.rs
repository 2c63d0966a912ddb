mod doubt;
mod hostile;
mod probing;
mod startup;

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
