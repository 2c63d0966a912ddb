//! The controller that quinn-proto drives: it measures, and passes on to the one in force.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerMetrics};

use crate::bbr::Start;
use crate::congestion::Congestion;
use crate::delivery::Sampler;
use crate::handle::PathHandle;
use crate::meter::PathMeter;
use crate::swap::Active;

/// Least time between two publications of everything measured: it takes a quarter of a microsecond,
/// and on a fast path there are tens of thousands of ACKs a second. Nobody looks more often.
const PUBLICATION: Duration = Duration::from_millis(1);

/// A window at which quinn-proto's pacer rests: it lets everything go above `u32::MAX`.
const UNPACED: u64 = 1 << 32;

/// Measures the path and lets one of CUBIC, NewReno and BBRv3 control it, exchangeable at any time
/// through its [`PathHandle`].
///
/// Under BBR quinn-proto paces nothing: whoever drives the connection has to, by
/// [`PathHandle::pacing_rate`] and no more than [`PathHandle::send_quantum`] at once.
#[derive(Debug, Clone)]
pub struct AdaptiveController {
    initial_window: u64,
    mtu: u64,
    seed: u64,
    handle: Arc<PathHandle>,
    sampler: Sampler,
    meter: PathMeter,
    active: Active,
    /// Whether CUBIC's or NewReno's window is not to grow (RFC 9002, 7.8). One that grew all the same
    /// would take a loss in each of a dozen round trips to come down to a path that has become slower.
    wide: bool,
    /// When everything measured was last published.
    published: Option<Instant>,
}

impl AdaptiveController {
    /// A controller for a connection that begins now.
    pub(crate) fn new(congestion: Congestion, start: Start) -> Self {
        let controller = Self {
            initial_window: start.window,
            mtu: start.mtu,
            seed: start.seed,
            handle: Arc::new(PathHandle::new(congestion)),
            sampler: Sampler::new(start.now),
            meter: PathMeter::new(start.now),
            active: Active::fresh(congestion, start),
            wide: false,
            published: None,
        };
        controller.publish_pacing();
        controller
    }

    /// What it shares with the driver. Copies of a controller, which quinn-proto makes when a
    /// peer's port changes, share it too: only the newest of them gets events.
    pub fn handle(&self) -> &Arc<PathHandle> {
        &self.handle
    }

    /// Does what was asked for through the handle.
    fn obey(&mut self, now: Instant) {
        let wanted = self.handle.wanted();
        if wanted != self.active.congestion() {
            let rate = self.meter.rate(now).filter(|_| self.meter.path_is_full());
            let start = Start {
                now,
                mtu: self.mtu,
                window: self.active.window(),
                min_rtt: Some(self.meter.min_rtt()).filter(|rtt| !rtt.is_zero()),
                seed: self.seed,
            };
            self.active = self.active.exchange(wanted, start, rate);
            self.handle.set_active(wanted);
        }
        if self.handle.take_restart()
            && let Active::Bbr(bbr) = &mut self.active
        {
            bbr.restart_startup();
        }
    }

    /// Whether less than half of what was allowed is in flight before an ACK. quinn-proto tells
    /// only whether its last attempt to send ran dry, and an ACK may come between two writes of an
    /// application that asks for little.
    fn is_underused(&self, in_flight: u64) -> bool {
        let mut allowed = self.allowed();
        if let Active::Bbr(bbr) = &self.active {
            let seconds = self.meter.min_rtt().as_secs_f64();
            allowed = allowed.min((bbr.pacing_rate() as f64 * seconds) as u64);
        }
        (in_flight + self.sampler.newly_acked()) * 2 < allowed
    }

    /// Whether the window is wider than what it is used for now that data has left: than our limit, or
    /// than twice what is in flight, as where a stream's own window is smaller.
    fn is_wide(&self) -> bool {
        let window = self.active.window();
        window >= self.handle.window_limit() || self.sampler.in_flight() * 2 < window
    }

    /// Bytes that may be in flight.
    fn allowed(&self) -> u64 {
        // Two datagrams always: quinn-proto's own controllers never go lower (RFC 9002, 7.2).
        self.active
            .window()
            .min(self.handle.window_limit())
            .max(2 * self.mtu)
    }

    fn publish(&mut self, now: Instant) {
        self.publish_pacing();
        self.handle.publish_samples(self.meter.samples());
        let due = |at: Instant| now.saturating_duration_since(at) >= PUBLICATION;
        if self.published.is_none_or(due) {
            self.published = Some(now);
            self.handle.publish(&self.meter.measurement(now));
        }
    }

    fn publish_pacing(&self) {
        self.handle.publish_window(self.allowed());
        match &self.active {
            Active::Bbr(bbr) => self
                .handle
                .publish_pacing(bbr.pacing_rate(), bbr.send_quantum()),
            Active::Cubic(_) | Active::NewReno(_) => self.handle.publish_pacing(0, u64::MAX),
        }
    }
}

impl Controller for AdaptiveController {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.obey(now);
        match &mut self.active {
            Active::Bbr(bbr) => {
                let idle = self.sampler.is_app_limited();
                bbr.on_transmit(now, self.sampler.in_flight(), idle);
            }
            Active::Cubic(cubic) => cubic.on_sent(now, bytes, last_packet_number),
            Active::NewReno(reno) => reno.on_sent(now, bytes, last_packet_number),
        }
        self.publish_pacing();
        let before = self.sampler.in_flight();
        self.sampler.on_sent(now, bytes, self.meter.min_rtt());
        if self.sampler.in_flight() > before {
            self.wide = self.is_wide();
        }
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.sampler.on_ack(now, sent, bytes);
        self.meter.on_smoothed(rtt.get());
        let enough = app_limited || self.wide;
        match &mut self.active {
            Active::Cubic(cubic) => cubic.on_ack(now, sent, bytes, enough, rtt),
            Active::NewReno(reno) => reno.on_ack(now, sent, bytes, enough, rtt),
            // It takes in whole ACKs.
            Active::Bbr(_) => {}
        }
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        match &mut self.active {
            Active::Cubic(cubic) => {
                cubic.on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
            }
            Active::NewReno(reno) => {
                reno.on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
            }
            Active::Bbr(_) => {}
        }
        let min_rtt = self.meter.min_rtt();
        let idle = app_limited || self.is_underused(in_flight);
        let sample = self.sampler.on_end_acks(now, in_flight, idle, min_rtt);
        if let Some(sample) = sample {
            self.meter.on_ack(now, &sample, idle);
            if let Active::Bbr(bbr) = &mut self.active {
                bbr.on_ack(now, &sample);
                if let Some(rtt) = bbr.take_moved() {
                    self.meter.on_moved(now, rtt);
                }
                if bbr.holds_back() {
                    self.sampler.mark_app_limited();
                }
            }
        }
        self.obey(now);
        self.publish(now);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        let loss = self.sampler.on_lost(sent, lost_bytes);
        if lost_bytes == 0 {
            self.meter.on_mark();
        } else {
            self.meter.on_lost(now, lost_bytes);
        }
        match &mut self.active {
            Active::Cubic(cubic) => {
                cubic.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
            }
            Active::NewReno(reno) => {
                reno.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
            }
            Active::Bbr(bbr) => {
                if lost_bytes == 0 {
                    bbr.on_mark(now, &loss);
                } else {
                    bbr.on_loss(now, &loss);
                }
                if is_persistent_congestion {
                    bbr.on_persistent_congestion(self.sampler.in_flight());
                }
            }
        }
        self.publish(now);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = u64::from(new_mtu);
        match &mut self.active {
            Active::Cubic(cubic) => cubic.on_mtu_update(new_mtu),
            Active::NewReno(reno) => reno.on_mtu_update(new_mtu),
            Active::Bbr(bbr) => bbr.set_mtu(self.mtu),
        }
    }

    /// What quinn-proto compares with what is in flight, and paces by. Under BBR it must not pace
    /// (`docs/decisions/0048-bbr-paces-alone.md`), so it is told of no window as long as the next
    /// aggregate fits in any case.
    fn window(&self) -> u64 {
        let allowed = self.allowed();
        match &self.active {
            Active::Bbr(bbr) => {
                let after = self.sampler.in_flight_at_most() + bbr.send_quantum() + self.mtu;
                if after <= allowed { UNPACED } else { allowed }
            }
            Active::Cubic(_) | Active::NewReno(_) => allowed,
        }
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = ControllerMetrics::default();
        metrics.congestion_window = self.allowed();
        metrics.ssthresh = self.active.slow_start_threshold();
        metrics.pacing_rate = self.handle.pacing_rate().map(|rate| rate.saturating_mul(8));
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.initial_window
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
