//! When each request is due: fixed from the start, so that a slow answer delays no later request.

use std::time::{Duration, Instant};

/// Requests at equal intervals: first a warm-up that is sent but not recorded, then the measured
/// ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    rate: f64,
    warmup: u64,
    total: u64,
}

impl Schedule {
    /// A schedule of `rate` requests per second.
    pub(crate) fn new(rate: f64, warmup: Duration, measured: Duration) -> Self {
        let count = |duration: Duration| (rate * duration.as_secs_f64()).round() as u64;
        Self {
            rate,
            warmup: count(warmup),
            total: count(warmup) + count(measured),
        }
    }

    /// When request `index` is due, from the start; `None` after the last.
    pub(crate) fn due(&self, index: u64) -> Option<Duration> {
        (index < self.total).then(|| Duration::from_secs_f64(index as f64 / self.rate))
    }

    /// Position of a request among the measured ones, 0 to 1; `None` in the warm-up.
    pub(crate) fn progress(&self, index: u64) -> Option<f64> {
        let measured = index.checked_sub(self.warmup)?;
        Some(measured as f64 / (self.total - self.warmup) as f64)
    }
}

/// Hands out the requests of a [`Schedule`] as they become due.
#[derive(Debug)]
pub(crate) struct Clock {
    schedule: Schedule,
    start: Instant,
    next: u64,
}

impl Clock {
    /// Starts at `start`.
    pub(crate) fn new(schedule: Schedule, start: Instant) -> Self {
        Self {
            schedule,
            start,
            next: 0,
        }
    }

    /// The next request that is due at `now`: its index and the time it was due.
    pub(crate) fn take(&mut self, now: Instant) -> Option<(u64, Instant)> {
        let due = self.next_due().filter(|due| *due <= now)?;
        self.next += 1;
        Some((self.next - 1, due))
    }

    /// When the next request is due; `None` when all have been taken.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        Some(self.start + self.schedule.due(self.next)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> Schedule {
        Schedule::new(100.0, Duration::from_secs(1), Duration::from_secs(2))
    }

    #[test]
    fn requests_are_due_at_equal_intervals() {
        assert_eq!(schedule().due(0), Some(Duration::ZERO));
        assert_eq!(schedule().due(150), Some(Duration::from_millis(1500)));
        assert_eq!(schedule().due(300), None);
    }

    #[test]
    fn the_warm_up_has_no_progress() {
        assert_eq!(schedule().progress(99), None);
        assert_eq!(schedule().progress(100), Some(0.0));
        assert_eq!(schedule().progress(200), Some(0.5));
    }

    #[test]
    fn a_late_clock_hands_out_what_was_due_with_the_time_it_was_due() {
        let start = Instant::now();
        let mut clock = Clock::new(schedule(), start);
        let late = start + Duration::from_millis(15);
        assert_eq!(clock.take(late), Some((0, start)));
        assert_eq!(
            clock.take(late),
            Some((1, start + Duration::from_millis(10)))
        );
        assert_eq!(clock.take(late), None);
        assert_eq!(clock.next_due(), Some(start + Duration::from_millis(20)));
    }
}
