//! How much a peer may make us verify (R7, F6): eight at once, and one more each second.

use std::time::{Duration, Instant};

/// Verifications that may come at once.
const BURST: u32 = 8;

/// How long it takes until there may be one more.
const INTERVAL: Duration = Duration::from_secs(1);

/// What a peer has left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    left: u32,
    /// When `left` was right.
    since: Instant,
}

impl Budget {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            since: now,
        }
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since);
        let more = u32::try_from(passed.as_secs() / INTERVAL.as_secs()).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(more).min(BURST);
        self.since += INTERVAL * more;
        let taken = self.left.checked_sub(1);
        self.left = taken.unwrap_or(0);
        taken.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_at_once_and_one_each_second() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        assert_eq!((0..20).filter(|_| budget.take(start)).count(), 8);
        let at = |millis| start + Duration::from_millis(millis);
        assert!(!budget.take(at(999)));
        assert!(budget.take(at(1900)));
        assert!(!budget.take(at(1999)));
        assert!(budget.take(at(2000)));
        assert_eq!((0..20).filter(|_| budget.take(at(1_000_000))).count(), 8);
    }
}
