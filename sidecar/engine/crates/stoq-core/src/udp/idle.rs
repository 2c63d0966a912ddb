//! How long a flow lives: UDP has no end of its own.

use std::time::{Duration, Instant};

/// How long a flow may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// When both sides have spoken.
    pub answered: Duration,
    /// When one of them never has.
    pub unanswered: Duration,
}

/// When each side of a flow last spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idle {
    last: Instant,
    sent: bool,
    received: bool,
}

impl Idle {
    /// A flow that begins.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            last: now,
            sent: false,
            received: false,
        }
    }

    /// This side has spoken.
    pub fn sent(&mut self, now: Instant) {
        self.last = now;
        self.sent = true;
    }

    /// The other side has spoken.
    pub fn received(&mut self, now: Instant) {
        self.last = now;
        self.received = true;
    }

    /// When it ends, if nobody speaks until then.
    #[must_use]
    pub fn ends(&self, patience: Patience) -> Instant {
        let answered = self.sent && self.received;
        self.last
            + if answered {
                patience.answered
            } else {
                patience.unanswered
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        answered: Duration::from_secs(60),
        unanswered: Duration::from_secs(30),
    };

    #[test]
    fn a_flow_that_nobody_answers_ends_sooner() {
        let now = Instant::now();
        let mut idle = Idle::new(now);
        idle.sent(now);
        assert_eq!(idle.ends(PATIENCE), now + PATIENCE.unanswered);
        idle.received(now);
        assert_eq!(idle.ends(PATIENCE), now + PATIENCE.answered);
    }

    #[test]
    fn whoever_speaks_prolongs_it() {
        let now = Instant::now();
        let later = now + Duration::from_secs(20);
        let mut idle = Idle::new(now);
        idle.received(now);
        idle.sent(later);
        assert_eq!(idle.ends(PATIENCE), later + PATIENCE.answered);
    }
}
