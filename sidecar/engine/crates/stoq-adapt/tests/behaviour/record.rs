//! What quinn-proto tells a controller, written down to be told to another.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory};
use stoq_adapt::{AdaptiveConfig, Congestion};

/// One call.
#[derive(Clone, Copy)]
pub(crate) enum Event {
    Sent {
        now: Instant,
        bytes: u64,
        last: u64,
    },
    Ack {
        now: Instant,
        sent: Instant,
        bytes: u64,
        limited: bool,
        rtt: RttEstimator,
    },
    EndAcks {
        now: Instant,
        in_flight: u64,
        limited: bool,
        largest: Option<u64>,
    },
    Congestion {
        now: Instant,
        sent: Instant,
        persistent: bool,
        lost: u64,
    },
}

impl Event {
    /// Tells it to a controller.
    pub(crate) fn tell(&self, controller: &mut dyn Controller) {
        match *self {
            Self::Sent { now, bytes, last } => controller.on_sent(now, bytes, last),
            Self::Ack {
                now,
                sent,
                bytes,
                limited,
                rtt,
            } => controller.on_ack(now, sent, bytes, limited, &rtt),
            Self::EndAcks {
                now,
                in_flight,
                limited,
                largest,
            } => controller.on_end_acks(now, in_flight, limited, largest),
            Self::Congestion {
                now,
                sent,
                persistent,
                lost,
            } => controller.on_congestion_event(now, sent, persistent, lost),
        }
    }
}

/// Everything that a connection's controller was told.
pub(crate) type Tape = Arc<Mutex<Vec<Event>>>;

/// Makes our controllers, and writes down what they are told.
pub(crate) struct Recorded {
    pub(crate) congestion: Congestion,
    pub(crate) initial_window: u64,
    pub(crate) tape: Tape,
}

impl ControllerFactory for Recorded {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        let config = AdaptiveConfig::new(self.congestion, self.initial_window, 1);
        Box::new(Recorder {
            inner: Arc::new(config).build(now, mtu),
            tape: self.tape.clone(),
        })
    }
}

struct Recorder {
    inner: Box<dyn Controller>,
    tape: Tape,
}

impl Recorder {
    fn pass_on(&mut self, event: Event) {
        let mut tape = self.tape.lock().unwrap_or_else(PoisonError::into_inner);
        tape.push(event);
        event.tell(&mut *self.inner);
    }
}

impl Controller for Recorder {
    fn on_sent(&mut self, now: Instant, bytes: u64, last: u64) {
        self.pass_on(Event::Sent { now, bytes, last });
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        limited: bool,
        rtt: &RttEstimator,
    ) {
        let rtt = *rtt;
        self.pass_on(Event::Ack {
            now,
            sent,
            bytes,
            limited,
            rtt,
        });
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, limited: bool, largest: Option<u64>) {
        self.pass_on(Event::EndAcks {
            now,
            in_flight,
            limited,
            largest,
        });
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, persistent: bool, lost: u64) {
        self.pass_on(Event::Congestion {
            now,
            sent,
            persistent,
            lost,
        });
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.inner.on_mtu_update(mtu);
    }

    fn window(&self) -> u64 {
        self.inner.window()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            inner: self.inner.clone_box(),
            tape: self.tape.clone(),
        })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self.inner.into_any()
    }
}
