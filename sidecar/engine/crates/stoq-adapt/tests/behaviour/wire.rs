//! The bottleneck: one queue that drops at its tail, a rate, a delay and random loss.

use std::time::{Duration, Instant};

/// What a late datagram takes longer: several datagrams' time on the paths here, so that QUIC
/// takes it for lost (RFC 9002, 6.1.1: three packets).
const DETOUR: Duration = Duration::from_millis(5);

/// What a path is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    /// Megabits per second.
    pub(crate) mbit: f64,
    /// Round trip without a queue.
    pub(crate) rtt: Duration,
    /// Bytes that the queue holds.
    pub(crate) buffer: u64,
    /// Share of datagrams lost at random, 0 to 1.
    pub(crate) loss: f64,
    /// Share of datagrams that take [`DETOUR`] longer, and so arrive after later ones.
    pub(crate) late: f64,
    /// Bytes queued from which datagrams are marked; none: never.
    pub(crate) mark_above: Option<u64>,
    /// What either way takes longer at most, at random; the order is kept.
    pub(crate) jitter: Duration,
}

impl Path {
    /// A path whose buffer holds some bandwidth-delay products, without loss or marks.
    pub(crate) fn new(mbit: f64, rtt_ms: u64, products: f64) -> Self {
        let rtt = Duration::from_millis(rtt_ms);
        let product = mbit * 125_000.0 * rtt.as_secs_f64();
        Self {
            mbit,
            rtt,
            buffer: (product * products) as u64,
            loss: 0.0,
            late: 0.0,
            mark_above: None,
            jitter: Duration::ZERO,
        }
    }

    /// A path whose buffer holds some milliseconds at its rate.
    pub(crate) fn queued(mbit: f64, rtt_ms: u64, queue_ms: u64) -> Self {
        Self::new(mbit, rtt_ms, queue_ms as f64 / rtt_ms as f64)
    }

    pub(crate) fn loss(self, loss: f64) -> Self {
        Self { loss, ..self }
    }
}

/// What becomes of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Dropped,
    Arrives { at: Instant, marked: bool },
}

/// The bottleneck's queue.
pub(crate) struct Bottleneck {
    pub(crate) path: Path,
    backlog: f64,
    looked: Instant,
    last_departure: Instant,
    /// The last arrivals there and back.
    last_arrivals: [Instant; 2],
    random: u64,
    /// Datagrams dropped because the queue was full.
    pub(crate) overflowed: u64,
    /// Sum and number of the queueing delays since they were last taken.
    delays: (Duration, u32),
}

impl Bottleneck {
    pub(crate) fn new(path: Path, now: Instant, seed: u64) -> Self {
        Self {
            path,
            backlog: 0.0,
            looked: now,
            last_departure: now,
            last_arrivals: [now; 2],
            random: seed,
            overflowed: 0,
            delays: (Duration::ZERO, 0),
        }
    }

    /// A datagram enters.
    pub(crate) fn enter(&mut self, now: Instant, size: usize) -> Fate {
        self.drain(now);
        if self.draw() < self.path.loss {
            return Fate::Dropped;
        }
        if self.backlog + size as f64 > self.path.buffer as f64 {
            self.overflowed += 1;
            return Fate::Dropped;
        }
        let marked = self
            .path
            .mark_above
            .is_some_and(|above| self.backlog > above as f64);
        self.backlog += size as f64;
        let wait = Duration::from_secs_f64(self.backlog / self.bytes_per_second());
        self.delays.0 += wait;
        self.delays.1 += 1;
        // After a step up nothing overtakes what was to leave at the old rate.
        self.last_departure = self.last_departure.max(now + wait);
        let detour = if self.draw() < self.path.late {
            DETOUR
        } else {
            Duration::ZERO
        };
        Fate::Arrives {
            at: self.arrival(0, self.last_departure) + detour,
            marked,
        }
    }

    /// When an acknowledgement that is sent now arrives: the way back has no bottleneck.
    pub(crate) fn back(&mut self, now: Instant) -> Instant {
        self.arrival(1, now)
    }

    fn arrival(&mut self, way: usize, departure: Instant) -> Instant {
        let jitter = if self.path.jitter.is_zero() {
            Duration::ZERO
        } else {
            self.path.jitter.mul_f64(self.draw())
        };
        let last = &mut self.last_arrivals[way];
        *last = (*last).max(departure + self.path.rtt / 2 + jitter);
        *last
    }

    /// Changes the path, from now on. What waits in the queue leaves at the new rate, what is on
    /// its way arrives as it would have.
    pub(crate) fn set_path(&mut self, now: Instant, path: Path) {
        self.drain(now);
        self.path = path;
    }

    /// Mean time in the queue since this was last asked.
    pub(crate) fn take_queueing(&mut self) -> Duration {
        let (sum, count) = std::mem::take(&mut self.delays);
        sum / count.max(1)
    }

    fn drain(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.looked);
        self.looked = now;
        let drained = elapsed.as_secs_f64() * self.bytes_per_second();
        self.backlog = (self.backlog - drained).max(0.0);
    }

    fn bytes_per_second(&self) -> f64 {
        self.path.mbit * 125_000.0
    }

    /// The next of a sequence of numbers in 0..1 (xorshift, Marsaglia 2003).
    fn draw(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }
}
