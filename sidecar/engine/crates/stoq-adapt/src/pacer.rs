//! When the driver may send next: draft-ietf-ccwg-bbr, 5.6.2.
//!
//! quinn-proto's own pacer knows only the window and the round trip, spreads 1.25 windows over one,
//! and makes up for no late wake-up. Under BBR it is switched off (`AdaptiveController::window`), and
//! the driver holds back, before it calls `poll_transmit`.

use std::time::{Duration, Instant};

/// Time that may always be made up for: epoll's timeouts are whole milliseconds, rounded up.
/// quinn-proto's burst interval is 2 ms for the same reason.
const CREDIT: Duration = Duration::from_millis(2);

/// Time that may be made up for after a wake-up that came so much later than it was asked for:
/// a worker that has to share its CPU. Without it such a flow would send a fraction of its rate,
/// measure that as the bandwidth of its path, and send a fraction of that. Bounded, since all of it
/// goes at once into the queue of the bottleneck; it also stays within the window.
const MOST_CREDIT: Duration = Duration::from_millis(25);

/// A schedule of departures for one connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pacer {
    next_send: Option<Instant>,
    /// Whether a departure has been held back.
    held: bool,
    /// When the last one that was held back could go, and how much too late that was.
    late: Option<(Instant, Duration)>,
}

impl Pacer {
    /// When the next aggregate may go: `None` is at once, otherwise ask again then.
    pub fn wait(&mut self, now: Instant) -> Option<Instant> {
        let next = self.next_send?;
        if next > now {
            self.held = true;
            return Some(next);
        }
        if std::mem::take(&mut self.held) {
            self.late = Some((now, now - next));
        }
        None
    }

    /// Notes what has been sent at `rate` bytes per second; `None` is unpaced.
    pub fn on_sent(&mut self, now: Instant, bytes: u64, rate: Option<u64>) {
        let Some(rate) = rate.filter(|rate| *rate > 0) else {
            *self = Self::default();
            return;
        };
        let earliest = now.checked_sub(self.credit(now)).unwrap_or(now);
        let from = self.next_send.map_or(now, |at| at.max(earliest));
        self.next_send = Some(from + Duration::from_secs_f64(bytes as f64 / rate as f64));
    }

    /// How far back a departure may be counted.
    fn credit(&self, now: Instant) -> Duration {
        match self.late {
            // Of this wake-up, not of a pause after it.
            Some((at, late)) if now.saturating_duration_since(at) <= CREDIT => {
                late.clamp(CREDIT, MOST_CREDIT)
            }
            _ => CREDIT,
        }
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
    fn what_a_late_worker_held_back_goes_at_once_up_to_a_bound() {
        for (late, made_up) in [(10, 10), (100, 25)] {
            let now = Instant::now();
            let mut pacer = Pacer::default();
            pacer.on_sent(now, 10_000, RATE);
            let due = pacer.wait(now).expect("held back");
            let woken = due + Duration::from_millis(late);
            for _ in 0..made_up {
                assert_eq!(pacer.wait(woken), None);
                pacer.on_sent(woken, 1_000, RATE);
            }
            assert_eq!(pacer.wait(woken), None, "just now");
            pacer.on_sent(woken, 1_000, RATE);
            let next = woken + Duration::from_millis(1);
            assert_eq!(pacer.wait(woken), Some(next));
        }
    }

    #[test]
    fn a_pause_after_a_late_wake_up_is_not_made_up_for() {
        let now = Instant::now();
        let mut pacer = Pacer::default();
        pacer.on_sent(now, 10_000, RATE);
        let due = pacer.wait(now).expect("held back");
        // The worker came late, and had nothing to send.
        assert_eq!(pacer.wait(due + Duration::from_millis(20)), None);
        let later = due + Duration::from_secs(1);
        assert_eq!(pacer.wait(later), None);
        pacer.on_sent(later, 10_000, RATE);
        assert_eq!(pacer.wait(later), Some(later + Duration::from_millis(8)));
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
