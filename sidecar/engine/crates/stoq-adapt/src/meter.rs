//! What a connection measures of its path, from the events of its congestion controller: no
//! packet is sent for it.

mod slots;

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use crate::delivery::RateSample;
use crate::filter::{WindowedMax, WindowedMin};
use slots::Slots;

/// Window of the smallest round trip: BBR's (draft-ietf-ccwg-bbr, 2.14.1), long enough to hold a
/// moment with an empty queue.
const MIN_RTT_WINDOW: Duration = Duration::from_secs(10);

/// Window of the delivery rate, in smallest round trips: a round in which a controller drains its
/// queue passes within it. Not in smoothed ones: when a path becomes slower its queue fills, and
/// the change would hide behind that.
const RATE_ROUNDS: u32 = 3;

/// Bounds of that window: shorter holds too few ACKs, longer hides a change.
const RATE_WINDOW: (Duration, Duration) = (Duration::from_millis(15), Duration::from_secs(2));

/// How long a rate is believed when the application has not filled the path since.
const RATE_MEMORY: Duration = Duration::from_secs(30);

/// Bytes below which a share of loss says nothing: a hundred of QUIC's smallest full datagrams.
const LOSS_EVIDENCE: u64 = 100 * 1200;

/// What has been measured. A share is in parts per million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measurement {
    /// ACKs taken in since the connection began: tells whether anything is new.
    pub samples: u64,
    /// Smoothed round trip (RFC 6298: a new sample counts an eighth), ACK delay included.
    pub smoothed_rtt: Duration,
    /// Smallest round trip of the last 10 s; or QUIC's smoothed one, which is without the delays
    /// that the peer reports of its ACKs, if that is less: where little is sent each ACK is late.
    pub min_rtt: Duration,
    /// The last round trip.
    pub latest_rtt: Duration,
    /// Smoothed difference of one round trip to the next (RFC 3550, 6.4.1: a sixteenth).
    pub jitter: Duration,
    /// Largest recent delivery rate while the path, and not the application, was the limit, in
    /// bytes per second; `None` when that was not the case within 30 s.
    pub rate: Option<u64>,
    /// Share of bytes lost over 2 s, without the half second that lost most: a burst is a queue
    /// that ran over, what remains is the path. `None` below 120,000 bytes, which prove nothing.
    pub loss_ppm: Option<u32>,
    /// Share of the last 2 s in which the application was the limit.
    pub app_limited_ppm: u32,
    /// Bytes delivered since the connection began.
    pub delivered: u64,
    /// Bytes found lost since then. quinn-proto does not tell which of them arrived after all.
    pub lost: u64,
    /// ACKs on which the count of ECN marks grew.
    pub marks: u64,
}

/// Takes the measurements of one connection.
#[derive(Debug, Clone)]
pub(crate) struct PathMeter {
    samples: u64,
    smoothed_rtt: Option<Duration>,
    latest_rtt: Duration,
    jitter: Duration,
    min_rtt: Option<WindowedMin<Instant, Duration>>,
    without_delays: Option<Duration>,
    rate: Option<(WindowedMax<Instant, u64>, Instant)>,
    slots: Slots,
    last_ack: Instant,
    delivered: u64,
    lost: u64,
    marks: u64,
}

impl PathMeter {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            samples: 0,
            smoothed_rtt: None,
            latest_rtt: Duration::ZERO,
            jitter: Duration::ZERO,
            min_rtt: None,
            without_delays: None,
            rate: None,
            slots: Slots::new(now),
            last_ack: now,
            delivered: 0,
            lost: 0,
            marks: 0,
        }
    }

    /// ACKs taken in so far.
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }

    /// Takes in an ACK. `app_limited`: the application was the limit before it.
    pub(crate) fn on_ack(&mut self, now: Instant, rs: &RateSample, app_limited: bool) {
        self.samples += 1;
        self.delivered = rs.total_delivered;
        self.on_rtt(now, rs.rtt);
        // Before the first ACK there was a handshake, which computes for longer than it sends.
        if let Some(rate) = rs.rate
            && !rs.app_limited
            && rs.prior_delivered > 0
        {
            self.on_rate(now, rate);
        }
        let elapsed = now.saturating_duration_since(self.last_ack);
        self.last_ack = now;
        let slot = self.slots.at(now);
        slot.delivered += rs.newly_acked;
        if app_limited {
            slot.app_limited += elapsed;
        }
    }

    /// Takes in QUIC's smoothed round trip (RFC 9002, 5.3), which is made up before the first ACK.
    pub(crate) fn on_smoothed(&mut self, rtt: Duration) {
        if self.samples > 0 {
            self.without_delays = Some(rtt);
        }
    }

    /// The path has become longer: round trips before are of another one, and what was delivered
    /// lately is what a window for the shorter one let through.
    pub(crate) fn on_moved(&mut self, now: Instant, rtt: Duration) {
        self.min_rtt = Some(WindowedMin::new(now, Reverse(rtt)));
        self.rate = None;
    }

    /// Takes in lost bytes.
    pub(crate) fn on_lost(&mut self, now: Instant, bytes: u64) {
        self.lost += bytes;
        self.slots.at(now).lost += bytes;
    }

    /// Takes in an ACK with new congestion marks.
    pub(crate) fn on_mark(&mut self) {
        self.marks += 1;
    }

    /// Smallest round trip, ACK delays included, zero before the first.
    pub(crate) fn min_rtt(&self) -> Duration {
        self.min_rtt.map_or(Duration::ZERO, |filter| filter.get().0)
    }

    /// Whether a queue stands at the bottleneck: round trips are a quarter above the smallest.
    /// Then what is delivered is what the path can carry; without a queue it is what the
    /// congestion controller dared to send.
    pub(crate) fn path_is_full(&self) -> bool {
        self.smoothed_rtt.unwrap_or_default() * 4 > self.min_rtt() * 5
    }

    /// The path's rate as far as it is known: see [`Measurement::rate`].
    pub(crate) fn rate(&self, now: Instant) -> Option<u64> {
        let (filter, at) = self.rate?;
        (now.saturating_duration_since(at) <= RATE_MEMORY).then(|| filter.get())
    }

    /// Everything at once.
    pub(crate) fn measurement(&mut self, now: Instant) -> Measurement {
        let steady = self.slots.without_bursts(now);
        let total = steady.delivered + steady.lost;
        let window = self.slots.covered(now);
        let app_limited = self.slots.app_limited(now);
        Measurement {
            samples: self.samples,
            smoothed_rtt: self.smoothed_rtt.unwrap_or_default(),
            min_rtt: self
                .without_delays
                .map_or(self.min_rtt(), |rtt| rtt.min(self.min_rtt())),
            latest_rtt: self.latest_rtt,
            jitter: self.jitter,
            rate: self.rate(now),
            loss_ppm: (total >= LOSS_EVIDENCE).then(|| ppm(steady.lost as f64, total as f64)),
            app_limited_ppm: ppm(app_limited.as_secs_f64(), window.as_secs_f64()),
            delivered: self.delivered,
            lost: self.lost,
            marks: self.marks,
        }
    }

    fn on_rtt(&mut self, now: Instant, rtt: Duration) {
        self.smoothed_rtt = Some(match self.smoothed_rtt {
            None => rtt,
            Some(smoothed) => {
                self.jitter = (self.jitter * 15 + self.latest_rtt.abs_diff(rtt)) / 16;
                (smoothed * 7 + rtt) / 8
            }
        });
        self.latest_rtt = rtt;
        match &mut self.min_rtt {
            None => self.min_rtt = Some(WindowedMin::new(now, Reverse(rtt))),
            Some(filter) => {
                filter.update(now, Reverse(rtt), MIN_RTT_WINDOW);
            }
        }
    }

    fn on_rate(&mut self, now: Instant, rate: u64) {
        let (least, most) = RATE_WINDOW;
        let window = (self.min_rtt() * RATE_ROUNDS).clamp(least, most);
        match &mut self.rate {
            None => self.rate = Some((WindowedMax::new(now, rate), now)),
            Some((filter, at)) => {
                filter.update(now, rate, window);
                *at = now;
            }
        }
    }
}

fn ppm(part: f64, whole: f64) -> u32 {
    if whole <= 0.0 {
        return 0;
    }
    (part / whole * 1e6).min(1e6) as u32
}

#[cfg(test)]
mod tests;
