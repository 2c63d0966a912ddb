//! Sums over the last two seconds, in eight slots.

use std::time::{Duration, Instant};

const SLOTS: usize = 8;

/// Slots that a burst of loss may fill: it is seldom longer than one, but may lie across two.
const BURSTS: usize = 2;

/// Length of a slot. Together 2 s: at 1 Mbit/s the bytes that a share of loss needs.
const SLOT: Duration = Duration::from_millis(250);

/// What happened within one slot.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slot {
    pub(super) delivered: u64,
    pub(super) lost: u64,
    pub(super) app_limited: Duration,
}

/// A ring of slots.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    ring: [Slot; SLOTS],
    begun: Instant,
    /// Number of the newest slot since `begun`.
    newest: u32,
    /// When that is over.
    ends: Instant,
}

impl Slots {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            ring: [Slot::default(); SLOTS],
            begun: now,
            newest: 0,
            ends: now + SLOT,
        }
    }

    /// The slot of an instant, which must not lie before an earlier one.
    pub(super) fn at(&mut self, now: Instant) -> &mut Slot {
        self.advance(now);
        &mut self.ring[self.newest as usize % SLOTS]
    }

    /// Delivered and lost, without the slots that lost most.
    pub(super) fn without_bursts(&mut self, now: Instant) -> Slot {
        self.advance(now);
        let mut ring = self.ring;
        ring.sort_unstable_by_key(|slot| slot.lost);
        let mut sums = Slot::default();
        for slot in &ring[..SLOTS - BURSTS] {
            sums.delivered += slot.delivered;
            sums.lost += slot.lost;
        }
        sums
    }

    /// Time in which the application was the limit.
    pub(super) fn app_limited(&mut self, now: Instant) -> Duration {
        self.advance(now);
        self.ring.iter().map(|slot| slot.app_limited).sum()
    }

    /// How much time the sums cover: less than 2 s while the connection is young.
    pub(super) fn covered(&self, now: Instant) -> Duration {
        let age = now.saturating_duration_since(self.begun);
        let newest = age.saturating_sub(SLOT * self.newest);
        (SLOT * (SLOTS as u32 - 1) + newest).min(age)
    }

    fn advance(&mut self, now: Instant) {
        // With each ACK; the division below is a large part of what one costs.
        if now < self.ends {
            return;
        }
        let age = now.saturating_duration_since(self.begun);
        let number = u32::try_from(age.as_millis() / SLOT.as_millis()).unwrap_or(u32::MAX);
        let passed = number.saturating_sub(self.newest);
        for step in 1..=passed.min(SLOTS as u32) {
            let slot = number
                .wrapping_sub(passed.min(SLOTS as u32))
                .wrapping_add(step);
            self.ring[slot as usize % SLOTS] = Slot::default();
        }
        self.newest = number;
        self.ends = self.begun + SLOT * number.saturating_add(1);
    }
}
