//! When something is due. One ordered set per worker: ten thousand idle
//! connections are ten thousand entries that nobody looks at.

use std::collections::BTreeSet;
use std::time::Instant;

/// What is due. Indices are used again; the serial says for whom it was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// quinn-proto's own timers of a connection.
    Connection { index: usize, serial: u64 },
    /// A dial is not answered.
    Dial { index: usize, serial: u64 },
    /// A dialled connection may have been idle for long enough.
    PoolIdle { index: usize, serial: u64 },
    /// A peer should have answered.
    Silence { index: usize, serial: u64 },
    /// The peer's certificate expires.
    Expiry { index: usize, serial: u64 },
    /// A flow did not get through its opening phase.
    Flow { key: usize, serial: u64 },
    /// Accept again, after the process had run out of descriptors.
    Accept,
    /// A connection may have waited long enough for the first routing table.
    Early,
    /// A transfer may have taken too long.
    Transfers,
    /// Give memory back after a busy time.
    Trim,
    /// Draining has taken long enough.
    Drain,
}

/// Pending timers in order.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Instant, Timer)>,
}

impl Timers {
    /// Adds an entry; the same timer may be set for several instants.
    pub(crate) fn set(&mut self, at: Instant, timer: Timer) {
        self.due.insert((at, timer));
    }

    /// Removes an entry, if it is there.
    pub(crate) fn cancel(&mut self, at: Instant, timer: Timer) {
        self.due.remove(&(at, timer));
    }

    /// The next instant at which something is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes one entry that is due at `now`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        if self.next()? > now {
            return None;
        }
        self.due.pop_first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn entries_come_in_order_and_not_before_their_time() {
        let start = Instant::now();
        let later = start + Duration::from_millis(5);
        let mut timers = Timers::default();
        timers.set(later, Timer::Trim);
        timers.set(start, Timer::Drain);
        assert_eq!(timers.next(), Some(start));
        assert_eq!(timers.pop(start), Some((start, Timer::Drain)));
        assert_eq!(timers.pop(start), None);
        assert_eq!(timers.pop(later), Some((later, Timer::Trim)));
    }

    #[test]
    fn a_cancelled_entry_never_comes() {
        let at = Instant::now();
        let mut timers = Timers::default();
        timers.set(at, Timer::Trim);
        timers.cancel(at, Timer::Trim);
        assert_eq!(timers.pop(at), None);
    }
}
