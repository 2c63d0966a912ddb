//! One direction of a path: frames and times in, frames out. Pure; the same seed and the same
//! frames at the same times come out the same.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng;

use crate::schedule::Conditions;

/// Bytes on their way at most: 5 Gbit/s for 400 ms. Only a path without a rate can ask for more.
const MOST_FLYING: usize = 250_000_000;

/// What became of the frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Counters {
    /// That came in.
    pub(crate) offered: u64,
    /// That went out, copies included.
    pub(crate) delivered: u64,
    /// Dropped because the queue was full.
    pub(crate) overflowed: u64,
    /// Lost on the way.
    pub(crate) lost: u64,
    /// Held back, so that others could overtake them.
    pub(crate) reordered: u64,
    /// That went out twice.
    pub(crate) duplicated: u64,
}

/// A frame on its way. Ordered by when it arrives, then by when it left.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flying {
    arrives: Duration,
    number: u64,
    frame: Vec<u8>,
}

/// One direction. All times are since the same moment, whichever that is.
#[derive(Debug)]
pub(crate) struct Link {
    conditions: Conditions,
    chance: Pcg64Mcg,
    /// Waiting for the rate; the first of them is being sent.
    queue: VecDeque<Vec<u8>>,
    queued: usize,
    /// When the first of the queue will have been sent.
    sent: Duration,
    flying: BinaryHeap<Reverse<Flying>>,
    flying_bytes: usize,
    /// When the last frame that keeps the order arrives.
    in_order: Duration,
    launched: u64,
    counters: Counters,
}

impl Link {
    pub(crate) fn new(seed: u64, conditions: Conditions) -> Self {
        Self {
            conditions,
            chance: Pcg64Mcg::new(u128::from(seed) << 64 | 0x5bd1_e995),
            queue: VecDeque::new(),
            queued: 0,
            sent: Duration::ZERO,
            flying: BinaryHeap::new(),
            flying_bytes: 0,
            in_order: Duration::ZERO,
            launched: 0,
            counters: Counters::default(),
        }
    }

    /// What became of the frames so far.
    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// Is so from now on, also for what waits. What is on its way stays on it.
    pub(crate) fn set(&mut self, conditions: Conditions, now: Duration) {
        self.advance(now);
        let before = std::mem::replace(&mut self.conditions, conditions);
        if !self.queue.is_empty() {
            // The rest of the frame that is being sent goes at the new rate.
            let left = self.sent.saturating_sub(now);
            self.sent = match (before.rate, conditions.rate) {
                (_, 0) => now,
                (old, new) => now + left.mul_f64(old as f64 / new as f64),
            };
            self.advance(now);
        }
    }

    /// Takes a frame in.
    pub(crate) fn offer(&mut self, now: Duration, frame: Vec<u8>) {
        self.advance(now);
        self.counters.offered += 1;
        if self.conditions.rate == 0 {
            self.launch(now, frame);
        } else if self.queued + frame.len() > self.conditions.queue {
            self.counters.overflowed += 1;
        } else {
            if self.queue.is_empty() {
                self.sent = now + self.time_of(frame.len());
            }
            self.queued += frame.len();
            self.queue.push_back(frame);
        }
    }

    /// When something is due.
    pub(crate) fn next(&self) -> Option<Duration> {
        let arrival = self.flying.peek().map(|Reverse(flying)| flying.arrives);
        let departure = (!self.queue.is_empty()).then_some(self.sent);
        match (arrival, departure) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// A frame that has arrived.
    pub(crate) fn take(&mut self, now: Duration) -> Option<Vec<u8>> {
        self.advance(now);
        self.flying
            .peek()
            .filter(|Reverse(flying)| flying.arrives <= now)?;
        let Reverse(flying) = self.flying.pop()?;
        self.flying_bytes -= flying.frame.len();
        self.counters.delivered += 1;
        Some(flying.frame)
    }

    /// Sends what the rate has let through until now.
    fn advance(&mut self, now: Duration) {
        while self.sent <= now
            && let Some(frame) = self.queue.pop_front()
        {
            self.queued -= frame.len();
            let left = self.sent;
            self.launch(left, frame);
            if let Some(next) = self.queue.front() {
                self.sent = left + self.time_of(next.len());
            }
        }
    }

    fn time_of(&self, bytes: usize) -> Duration {
        match self.conditions.rate {
            0 => Duration::ZERO,
            rate => Duration::from_secs_f64(bytes as f64 * 8.0 / rate as f64),
        }
    }

    fn launch(&mut self, now: Duration, frame: Vec<u8>) {
        let is = self.conditions;
        // Drawn for every frame, whether it matters or not: what chance decides of later frames
        // does not depend on the conditions of earlier ones.
        let [lost, late, twice] = [is.loss, is.reorder, is.duplicate].map(|share| self.hit(share));
        let jitter = (is.jitter * u64::from(self.chance.next_u32())) >> 32;
        if lost {
            self.counters.lost += 1;
            return;
        }
        let mut arrives = now + Duration::from_micros(is.delay + jitter);
        if late {
            self.counters.reordered += 1;
            arrives += Duration::from_micros(is.reorder_by);
        } else {
            arrives = arrives.max(self.in_order);
            self.in_order = arrives;
        }
        if twice {
            self.counters.duplicated += 1;
            self.fly(arrives, frame.clone());
        }
        self.fly(arrives, frame);
    }

    fn fly(&mut self, arrives: Duration, frame: Vec<u8>) {
        if self.flying_bytes + frame.len() > MOST_FLYING {
            self.counters.overflowed += 1;
            return;
        }
        self.flying_bytes += frame.len();
        self.launched += 1;
        self.flying.push(Reverse(Flying {
            arrives,
            number: self.launched,
            frame,
        }));
    }

    fn hit(&mut self, share: u32) -> bool {
        (u64::from(self.chance.next_u32()) * 1_000_000) >> 32 < u64::from(share)
    }
}

#[cfg(test)]
mod tests;
