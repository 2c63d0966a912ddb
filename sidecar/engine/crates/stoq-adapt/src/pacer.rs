//! When the driver may send next: draft-ietf-ccwg-bbr, 5.6.2.
//!
//! quinn-proto's own pacer knows only the window and the round trip, and spreads 1.25 windows over
//! one. Under BBR, whose window is two bandwidth-delay products, that is 2.5 times the bandwidth:
//! it rarely holds back, so the driver does, before it calls `poll_transmit`.

use std::time::{Duration, Instant};

/// Time that a late wake-up may make up for: epoll's timeouts are whole milliseconds, rounded up,
/// and a busy worker comes later still. quinn-proto's burst interval is 2 ms for the same reason.
const CREDIT: Duration = Duration::from_millis(2);

/// A schedule of departures for one connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pacer {
    next_send: Option<Instant>,
}

impl Pacer {
    /// When the next aggregate may go: `None` is at once, otherwise ask again then.
    pub fn wait(&self, now: Instant) -> Option<Instant> {
        self.next_send.filter(|at| *at > now)
    }

    /// Notes what has been sent at `rate` bytes per second; `None` is unpaced.
    pub fn on_sent(&mut self, now: Instant, bytes: u64, rate: Option<u64>) {
        let Some(rate) = rate.filter(|rate| *rate > 0) else {
            self.next_send = None;
            return;
        };
        let earliest = now.checked_sub(CREDIT).unwrap_or(now);
        let from = self.next_send.map_or(now, |at| at.max(earliest));
        self.next_send = Some(from + Duration::from_secs_f64(bytes as f64 / rate as f64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Option<u64> = Some(1_000_000);

    #[test]
    fn a_second_aggregate_waits_for_the_time_the_first_takes() {
        let now = Instant::now();
        let mut pacer = Pacer::default();
        assert_eq!(pacer.wait(now), None);
        pacer.on_sent(now, 10_000, RATE);
        assert_eq!(pacer.wait(now), Some(now + Duration::from_millis(10)));
        assert_eq!(pacer.wait(now + Duration::from_millis(10)), None);
    }

    #[test]
    fn a_late_wake_up_is_made_up_for_and_a_pause_is_not() {
        let now = Instant::now();
        let mut pacer = Pacer::default();
        pacer.on_sent(now, 10_000, RATE);
        let late = now + Duration::from_micros(10_500);
        pacer.on_sent(late, 10_000, RATE);
        assert_eq!(pacer.wait(late), Some(now + Duration::from_millis(20)));
        let much_later = now + Duration::from_secs(1);
        pacer.on_sent(much_later, 10_000, RATE);
        assert_eq!(
            pacer.wait(much_later),
            Some(much_later + Duration::from_millis(8))
        );
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let now = Instant::now();
        let mut pacer = Pacer::default();
        pacer.on_sent(now, 10_000, RATE);
        pacer.on_sent(now, 10_000, None);
        assert_eq!(pacer.wait(now), None);
    }
}
