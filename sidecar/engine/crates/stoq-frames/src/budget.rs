//! How much a peer may make us verify, or verify in vain (R7, F6): eight at once, and one more each
//! second, unless something else is said.

use std::time::{Duration, Instant};

/// How many verifications there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// At once.
    pub(crate) burst: u32,
    /// How long it takes until there may be one more.
    pub(crate) interval: Duration,
}

/// The numbers of R7.
const USUAL: Rate = Rate {
    burst: 8,
    interval: Duration::from_secs(1),
};

/// What a peer has left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    rate: Rate,
    left: u32,
    /// When `left` was right.
    since: Instant,
}

impl Budget {
    pub(crate) const fn new(now: Instant) -> Self {
        Self::of(USUAL, now)
    }

    pub(crate) const fn of(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            left: rate.burst,
            since: now,
        }
    }

    /// Whether there is one left.
    pub(crate) fn has(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.left > 0
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        let taken = self.left.checked_sub(1);
        self.left = taken.unwrap_or(0);
        taken.is_some()
    }

    /// Gives back one that was taken.
    pub(crate) fn give_back(&mut self) {
        self.left = self.left.saturating_add(1).min(self.rate.burst);
    }

    /// Whether nothing of it is used.
    pub(crate) fn is_whole(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.left == self.rate.burst
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since).as_nanos();
        let more = passed / self.rate.interval.as_nanos();
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(more).min(self.rate.burst);
        self.since += self.rate.interval * more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_full_until_one_is_taken_and_again_when_that_is_refilled() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        assert!(budget.is_whole(start) && budget.has(start));
        assert!((0..8).all(|_| budget.take(start)));
        assert!(!budget.is_whole(start) && !budget.has(start));
        let later = start + Duration::from_secs(8);
        assert!(budget.has(later) && budget.is_whole(later));
    }

    #[test]
    fn eight_at_once_and_one_each_second() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        assert!(budget.is_whole(start));
        assert_eq!((0..20).filter(|_| budget.take(start)).count(), 8);
        let at = |millis| start + Duration::from_millis(millis);
        assert!(!budget.take(at(999)));
        assert!(budget.take(at(1900)));
        assert!(!budget.take(at(1999)));
        assert!(budget.take(at(2000)));
        assert!(!budget.is_whole(at(9000)));
        assert_eq!((0..20).filter(|_| budget.take(at(1_000_000))).count(), 8);
    }
}
