//! When a path is judged: as its ACKs come, so that an idle connection costs nothing.

use std::time::{Duration, Instant};

/// Least time between two judgements: three of them, which have to agree, fit well into the 50 ms
/// in which a change of the path is to have been answered.
const INTERVAL: Duration = Duration::from_millis(5);

/// ACKs that have to have come within a while. A connection that sends less, such as one with pings
/// alone, keeps what it has.
const ACKS: u64 = 4;
const WITHIN: Duration = Duration::from_secs(1);

/// The looks at one path.
#[derive(Debug, Clone)]
pub struct Looks {
    /// Not judged before.
    due: Instant,
    /// ACKs when it was judged last.
    judged: u64,
    /// When ACKs were last counted, and how many there had been.
    counted: (Instant, u64),
    /// Until when it counts as used.
    used_until: Instant,
}

impl Looks {
    /// At a path of which nothing has been measured.
    pub fn new(now: Instant) -> Self {
        Self {
            due: now,
            judged: 0,
            counted: (now, 0),
            used_until: now,
        }
    }

    /// Whether the path is to be judged now that so many ACKs have come since the connection began:
    /// every 5 ms at most, if there is a new one and four came within a second not long ago.
    pub fn is_due(&mut self, now: Instant, acks: u64) -> bool {
        if now < self.due || acks == self.judged {
            return false;
        }
        self.due = now + INTERVAL;
        self.judged = acks;
        let (since, before) = self.counted;
        let enough = acks.saturating_sub(before) >= ACKS;
        let recent = now.saturating_duration_since(since) <= WITHIN;
        if enough && recent {
            self.used_until = now + WITHIN;
        }
        if enough || !recent {
            self.counted = (now, acks);
        }
        now < self.used_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks every millisecond while ACKs come this often, and counts the judgements from the fourth
    /// second on, for two.
    fn judged_with_an_ack_every(milliseconds: u64) -> u32 {
        let start = Instant::now();
        let mut looks = Looks::new(start);
        let mut judged = 0;
        for passed in 0..6000 {
            let now = start + Duration::from_millis(passed);
            let due = looks.is_due(now, passed / milliseconds);
            judged += u32::from(due && passed >= 4000);
        }
        judged
    }

    #[test]
    fn a_busy_path_is_judged_every_five_milliseconds() {
        assert_eq!(judged_with_an_ack_every(1), 400);
    }

    #[test]
    fn a_slow_one_is_judged_with_each_ack() {
        assert_eq!(judged_with_an_ack_every(20), 100);
        assert_eq!(judged_with_an_ack_every(200), 10);
    }

    #[test]
    fn one_that_is_hardly_used_is_not_judged() {
        assert_eq!(judged_with_an_ack_every(500), 0);
    }

    #[test]
    fn one_that_was_silent_is_judged_again_when_four_acks_came_within_a_second() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut looks = Looks::new(start);
        assert!(looks.is_due(at(5), 4));
        assert!(!looks.is_due(at(5000), 5));
        assert!(!looks.is_due(at(5010), 7));
        assert!(!looks.is_due(at(5020), 7));
        assert!(looks.is_due(at(5030), 9));
    }
}
