//! Exchanging one congestion controller for another while data is in flight.
//!
//! | from | to | what goes along |
//! |---|---|---|
//! | one that still searches | CUBIC, NewReno | the window; it goes on in slow start |
//! | one that has met its limit | CUBIC, NewReno | the window, as what is left after a loss: it grows from there slowly, by its own curve |
//! | one behind a standing queue | BBR | window, rate and smallest round trip; it goes on in ProbeBW |
//! | any other | BBR | window and smallest round trip; it begins with Startup, for without a queue the rate tells what was dared, not what the path carries |
//!
//! The measurements belong to the connection and outlive every controller. Packets sent before the
//! exchange and found lost after it do not count against CUBIC or NewReno again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn_proto::congestion::{Controller, Cubic, CubicConfig, NewReno, NewRenoConfig};

use crate::bbr::{Bbr, Start};
use crate::congestion::Congestion;

/// What CUBIC leaves of a window upon loss (RFC 9438, 4.6).
const CUBIC_LEAVES: f64 = 0.7;

/// What NewReno leaves of it (RFC 9002, 7.3.2).
const NEW_RENO_LEAVES: f64 = 0.5;

/// The controller in force.
#[derive(Debug, Clone)]
pub(crate) enum Active {
    Cubic(Cubic),
    NewReno(NewReno),
    Bbr(Box<Bbr>),
}

impl Active {
    /// A controller that knows nothing.
    pub(crate) fn fresh(congestion: Congestion, start: Start) -> Self {
        match congestion {
            Congestion::Cubic => Self::Cubic(cubic(start)),
            Congestion::NewReno => Self::NewReno(new_reno(start)),
            Congestion::Bbr3 => Self::Bbr(Box::new(Bbr::new(start))),
        }
    }

    /// Another controller, with what this one and the measurements know. `rate`: bytes per second
    /// that the path carries, if it is known to be full.
    pub(crate) fn exchange(&self, to: Congestion, start: Start, rate: Option<u64>) -> Self {
        let searching = self.is_searching();
        match (to, rate) {
            (Congestion::Bbr3, Some(rate)) => Self::Bbr(Box::new(Bbr::resume(start, rate))),
            (Congestion::Cubic, _) if !searching => {
                let mut cubic = cubic(enlarged(start, CUBIC_LEAVES));
                settle(&mut cubic, start.now);
                Self::Cubic(cubic)
            }
            (Congestion::NewReno, _) if !searching => {
                let mut reno = new_reno(enlarged(start, NEW_RENO_LEAVES));
                settle(&mut reno, start.now);
                Self::NewReno(reno)
            }
            _ => Self::fresh(to, start),
        }
    }

    pub(crate) fn congestion(&self) -> Congestion {
        match self {
            Self::Cubic(_) => Congestion::Cubic,
            Self::NewReno(_) => Congestion::NewReno,
            Self::Bbr(_) => Congestion::Bbr3,
        }
    }

    /// Bytes that may be in flight.
    pub(crate) fn window(&self) -> u64 {
        match self {
            Self::Cubic(cubic) => cubic.window(),
            Self::NewReno(reno) => reno.window(),
            Self::Bbr(bbr) => bbr.cwnd(),
        }
    }

    /// Bytes; `None` while searching, and for BBR, which has none.
    pub(crate) fn slow_start_threshold(&self) -> Option<u64> {
        let threshold = match self {
            Self::Cubic(cubic) => cubic.metrics().ssthresh,
            Self::NewReno(reno) => reno.metrics().ssthresh,
            Self::Bbr(_) => None,
        };
        threshold.filter(|bytes| *bytes != u64::MAX)
    }

    /// Whether it still looks for the limit of the path.
    fn is_searching(&self) -> bool {
        match self {
            Self::Bbr(bbr) => !bbr.has_filled_the_pipe(),
            Self::Cubic(_) | Self::NewReno(_) => self
                .slow_start_threshold()
                .is_none_or(|threshold| self.window() < threshold),
        }
    }
}

/// With a window of which `leaves` is the present one.
fn enlarged(start: Start, leaves: f64) -> Start {
    Start {
        window: (start.window as f64 / leaves) as u64,
        ..start
    }
}

/// Takes a controller out of slow start, at the share of its window that a loss leaves. The loss
/// is told to be of a packet sent just now, or NewReno would not count it.
fn settle(controller: &mut dyn Controller, now: Instant) {
    controller.on_congestion_event(now, now + Duration::from_nanos(1), false, 0);
}

fn cubic(start: Start) -> Cubic {
    let mut config = CubicConfig::default();
    config.initial_window(start.window);
    Cubic::new(Arc::new(config), start.now, mtu(start))
}

fn new_reno(start: Start) -> NewReno {
    let mut config = NewRenoConfig::default();
    config.initial_window(start.window);
    NewReno::new(Arc::new(config), start.now, mtu(start))
}

/// A datagram's size as quinn-proto wants it.
fn mtu(start: Start) -> u16 {
    u16::try_from(start.mtu).unwrap_or(u16::MAX)
}
