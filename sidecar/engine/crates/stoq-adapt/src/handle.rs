//! What a connection's controller and those outside it tell each other.
//!
//! quinn-proto owns the controller. The driver and the adapter hold this handle instead: they read
//! the rate and the measurements from it and leave their wishes in it. All of it is single words
//! read and written without ordering, which costs a plain load or store: no two of them have to
//! agree at any instant.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use quinn_proto::congestion::Controller;

use crate::congestion::Congestion;
use crate::controller::AdaptiveController;
use crate::meter::Measurement;

/// A value that says that nothing is known.
const UNKNOWN: u64 = u64::MAX;

/// Bytes: two datagrams of Ethernet's size.
const LEAST_QUANTUM: u64 = 3_000;

/// The shared part of one connection's [`AdaptiveController`].
#[derive(Debug)]
pub struct PathHandle {
    wanted: AtomicU8,
    active: AtomicU8,
    restart: AtomicBool,
    window_limit: AtomicU64,
    rate_limit: AtomicU64,
    window: AtomicU64,
    pacing_rate: AtomicU64,
    send_quantum: AtomicU64,
    measured: Measured,
}

#[derive(Debug)]
struct Measured {
    samples: AtomicU64,
    smoothed_rtt: AtomicU64,
    min_rtt: AtomicU64,
    latest_rtt: AtomicU64,
    jitter: AtomicU64,
    rate: AtomicU64,
    loss_ppm: AtomicU64,
    app_limited_ppm: AtomicU64,
    delivered: AtomicU64,
    lost: AtomicU64,
    marks: AtomicU64,
}

impl PathHandle {
    pub(crate) fn new(congestion: Congestion) -> Self {
        let zero = || AtomicU64::new(0);
        let unknown = || AtomicU64::new(UNKNOWN);
        Self {
            wanted: AtomicU8::new(congestion as u8),
            active: AtomicU8::new(congestion as u8),
            restart: AtomicBool::new(false),
            window_limit: unknown(),
            rate_limit: unknown(),
            window: zero(),
            pacing_rate: zero(),
            send_quantum: unknown(),
            measured: Measured {
                samples: zero(),
                smoothed_rtt: zero(),
                min_rtt: zero(),
                latest_rtt: zero(),
                jitter: zero(),
                rate: unknown(),
                loss_ppm: unknown(),
                app_limited_ppm: zero(),
                delivered: zero(),
                lost: zero(),
                marks: zero(),
            },
        }
    }

    /// The handle of a connection, from `Connection::congestion_state`; `None` for a controller
    /// that is not ours. It copies the controller once: ask when a connection is made and again
    /// when its remote address has changed, for then quinn-proto may have built a new controller.
    pub fn of(controller: &dyn Controller) -> Option<Arc<Self>> {
        let copy = controller.clone_box().into_any();
        let copy = copy.downcast::<AdaptiveController>().ok()?;
        Some(copy.handle().clone())
    }

    /// Asks for a congestion controller; in force from the next packet sent or acknowledged on.
    pub fn set_congestion(&self, congestion: Congestion) {
        self.wanted.store(congestion as u8, Relaxed);
    }

    /// The controller in force.
    pub fn congestion(&self) -> Congestion {
        Congestion::from_number(self.active.load(Relaxed))
    }

    /// Has BBR search for the bandwidth anew. The others have no such phase and ignore it.
    pub fn restart_startup(&self) {
        self.restart.store(true, Relaxed);
    }

    /// Bounds the window, in bytes, and the rate, in bytes per second, whichever the controller:
    /// what ACKs claim can then not exceed. `None`: no bound of ours.
    pub fn set_limits(&self, window: Option<u64>, rate: Option<u64>) {
        self.window_limit.store(window.unwrap_or(UNKNOWN), Relaxed);
        self.rate_limit.store(rate.unwrap_or(UNKNOWN), Relaxed);
    }

    /// Bytes that may be in flight. quinn-proto's own statistics do not tell: under BBR it is mostly
    /// told of a window without end.
    pub fn window(&self) -> u64 {
        self.window.load(Relaxed).min(self.window_limit())
    }

    /// Bytes per second at which the driver has to send: BBR's rate, within the bound; nothing else
    /// paces then. `None`: quinn-proto paces by itself.
    pub fn pacing_rate(&self) -> Option<u64> {
        let rate = match self.pacing_rate.load(Relaxed) {
            0 => UNKNOWN,
            rate => rate,
        };
        Some(rate.min(self.rate_limit.load(Relaxed))).filter(|rate| *rate != UNKNOWN)
    }

    /// Bytes to hand to the kernel at once, when paced: a millisecond's worth, two datagrams at
    /// least (draft-ietf-ccwg-bbr, 5.6.3).
    pub fn send_quantum(&self) -> u64 {
        let quantum = self.send_quantum.load(Relaxed);
        match self.rate_limit.load(Relaxed) {
            UNKNOWN => quantum,
            limit => quantum.min((limit / 1000).max(LEAST_QUANTUM)),
        }
    }

    /// ACKs taken in so far: [`Measurement::samples`] alone.
    pub fn samples(&self) -> u64 {
        self.measured.samples.load(Relaxed)
    }

    /// What has been measured so far.
    pub fn measurement(&self) -> Measurement {
        let get = |word: &AtomicU64| word.load(Relaxed);
        let known = |word: &AtomicU64| Some(get(word)).filter(|value| *value != UNKNOWN);
        let m = &self.measured;
        Measurement {
            samples: get(&m.samples),
            smoothed_rtt: Duration::from_nanos(get(&m.smoothed_rtt)),
            min_rtt: Duration::from_nanos(get(&m.min_rtt)),
            latest_rtt: Duration::from_nanos(get(&m.latest_rtt)),
            jitter: Duration::from_nanos(get(&m.jitter)),
            rate: known(&m.rate),
            loss_ppm: known(&m.loss_ppm).map(|ppm| ppm as u32),
            app_limited_ppm: get(&m.app_limited_ppm) as u32,
            delivered: get(&m.delivered),
            lost: get(&m.lost),
            marks: get(&m.marks),
        }
    }

    pub(crate) fn wanted(&self) -> Congestion {
        Congestion::from_number(self.wanted.load(Relaxed))
    }

    pub(crate) fn set_active(&self, congestion: Congestion) {
        self.active.store(congestion as u8, Relaxed);
    }

    pub(crate) fn take_restart(&self) -> bool {
        self.restart.load(Relaxed) && self.restart.swap(false, Relaxed)
    }

    pub(crate) fn window_limit(&self) -> u64 {
        self.window_limit.load(Relaxed)
    }

    pub(crate) fn publish_window(&self, window: u64) {
        self.window.store(window, Relaxed);
    }

    pub(crate) fn publish_pacing(&self, rate: u64, quantum: u64) {
        self.pacing_rate.store(rate, Relaxed);
        self.send_quantum.store(quantum, Relaxed);
    }

    pub(crate) fn publish_samples(&self, samples: u64) {
        self.measured.samples.store(samples, Relaxed);
    }

    pub(crate) fn publish(&self, measured: &Measurement) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(UNKNOWN);
        let m = &self.measured;
        self.publish_samples(measured.samples);
        m.smoothed_rtt.store(nanos(measured.smoothed_rtt), Relaxed);
        m.min_rtt.store(nanos(measured.min_rtt), Relaxed);
        m.latest_rtt.store(nanos(measured.latest_rtt), Relaxed);
        m.jitter.store(nanos(measured.jitter), Relaxed);
        m.rate.store(measured.rate.unwrap_or(UNKNOWN), Relaxed);
        let loss = measured.loss_ppm.map_or(UNKNOWN, u64::from);
        m.loss_ppm.store(loss, Relaxed);
        let app_limited = u64::from(measured.app_limited_ppm);
        m.app_limited_ppm.store(app_limited, Relaxed);
        m.delivered.store(measured.delivered, Relaxed);
        m.lost.store(measured.lost, Relaxed);
        m.marks.store(measured.marks, Relaxed);
    }
}
