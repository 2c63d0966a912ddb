//! Which endpoint of a service gets a new connection, and which get none for a while.
//!
//! Power of two choices: two endpoints are drawn by weight, and the connection goes to the
//! first unless the second, with it, would still be no more loaded for its weight than the
//! first is without. So shares follow the weights however few connections there are, and
//! an endpoint that is slow to finish gets fewer.
//!
//! An endpoint that fails again and again is ejected for a time that doubles. Where all
//! are ejected none is: a bad endpoint is better than no service.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Refusals in a row after which an endpoint is ejected.
const REFUSALS: u32 = 3;

/// How long the first time.
const FIRST: Duration = Duration::from_secs(5);

/// How long at most; and how long after its end an ejection is remembered.
const LONGEST: Duration = Duration::from_secs(300);

/// How an endpoint stands when a connection is to be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Connections open to it.
    pub open: u32,
    /// Whether it is ejected now.
    pub ejected: bool,
}

/// An endpoint that may get a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) address: SocketAddr,
    /// Above 0.
    pub(super) weight: u32,
    pub(super) standing: Standing,
}

/// Chooses among `candidates` by the random number `pick`; `None` only where there are none.
pub(super) fn choose(mut candidates: Vec<Candidate>, pick: u64) -> Option<SocketAddr> {
    if !candidates.iter().all(|one| one.standing.ejected) {
        candidates.retain(|one| !one.standing.ejected);
    }
    let first = candidates.remove(draw(&candidates, pick)?);
    // The second number must not follow from the first.
    let second = draw(&candidates, mix(pick)).map(|position| candidates[position]);
    let open = |one: &Candidate, more: u64| u64::from(one.standing.open) + more;
    let better = second.filter(|second| {
        open(second, 1) * u64::from(first.weight) <= open(&first, 0) * u64::from(second.weight)
    });
    Some(better.unwrap_or(first).address)
}

/// The position of one candidate, drawn by weight.
fn draw(candidates: &[Candidate], pick: u64) -> Option<usize> {
    let total: u64 = candidates.iter().map(|one| u64::from(one.weight)).sum();
    let mut left = pick.checked_rem(total)?;
    candidates.iter().position(|one| {
        let here = left < u64::from(one.weight);
        left = left.saturating_sub(one.weight.into());
        here
    })
}

/// Another number, as good as random (the output function of SplitMix64).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// How an endpoint failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It, or its sidecar, said that it does not take the connection. Costs a round trip.
    Refused,
    /// Nothing answered, or not who should. Costs seconds, so once is enough.
    Unanswered,
}

/// How connections to an endpoint have gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Refusals since the last success.
    refusals: u32,
    /// Ejections since the last success.
    ejections: u32,
    until: Option<Instant>,
}

impl Health {
    /// A connection failed. Returns until when the endpoint is ejected, if by that.
    ///
    /// The third refusal in a row ejects, and after an ejection each further one; what is
    /// not answered ejects at once.
    pub fn failed(&mut self, failure: Failure, now: Instant) -> Option<Instant> {
        self.refusals = match failure {
            Failure::Refused => self.refusals.saturating_add(1),
            Failure::Unanswered => REFUSALS,
        };
        // What began before the ejection tells nothing new.
        if self.refusals < REFUSALS || self.is_ejected(now) {
            return None;
        }
        let times = 1u32.checked_shl(self.ejections).unwrap_or(u32::MAX);
        self.ejections = self.ejections.saturating_add(1);
        self.until = Some(now + FIRST.saturating_mul(times).min(LONGEST));
        self.until
    }

    /// The endpoint has answered.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Whether it gets no connections now.
    #[must_use]
    pub fn is_ejected(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Whether nothing is left to remember of it: no failure, or none for long.
    #[must_use]
    pub fn is_forgotten(&self, now: Instant) -> bool {
        match self.until {
            Some(until) => now >= until + LONGEST,
            None => self.refusals == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ejects, and returns for how long.
    fn ejected(health: &mut Health, failure: Failure, now: Instant) -> Option<Duration> {
        health.failed(failure, now).map(|until| until - now)
    }

    #[test]
    fn the_third_refusal_in_a_row_ejects() {
        let now = Instant::now();
        let mut health = Health::default();
        for _ in 0..2 {
            assert_eq!(health.failed(Failure::Refused, now), None);
        }
        health.succeeded();
        assert!(health.is_forgotten(now));
        for _ in 0..2 {
            assert_eq!(health.failed(Failure::Refused, now), None);
        }
        assert!(!health.is_ejected(now) && !health.is_forgotten(now));
        assert_eq!(ejected(&mut health, Failure::Refused, now), Some(FIRST));
        assert!(health.is_ejected(now + FIRST - Duration::from_millis(1)));
        assert!(!health.is_ejected(now + FIRST));
    }

    #[test]
    fn no_answer_ejects_at_once() {
        let now = Instant::now();
        let mut health = Health::default();
        assert_eq!(ejected(&mut health, Failure::Unanswered, now), Some(FIRST));
        assert_eq!(
            health.failed(Failure::Unanswered, now),
            None,
            "it is already"
        );
    }

    #[test]
    fn each_ejection_lasts_twice_as_long_up_to_a_bound_until_a_success() {
        let mut now = Instant::now();
        let mut health = Health::default();
        let mut expected = FIRST;
        for _ in 0..40 {
            let length = ejected(&mut health, Failure::Unanswered, now).unwrap();
            assert_eq!(length, expected);
            expected = (expected * 2).min(LONGEST);
            now += length;
            assert!(!health.is_ejected(now));
        }
        assert_eq!(expected, LONGEST);
        health.succeeded();
        assert_eq!(ejected(&mut health, Failure::Unanswered, now), Some(FIRST));
    }

    #[test]
    fn an_ejection_is_forgotten_some_time_after_its_end() {
        let now = Instant::now();
        let mut health = Health::default();
        health.failed(Failure::Unanswered, now);
        assert!(!health.is_forgotten(now + FIRST));
        assert!(health.is_forgotten(now + FIRST + LONGEST));
    }
}
