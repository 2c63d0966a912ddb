//! Which tier a path is in, with enough inertia that a flapping path does not thrash.
//!
//! Downwards is quick: too much in flight hurts at once. Upwards is slow, one tier at a time, and
//! slower after each time that going up did not last. Hence a bound on changes whatever the path
//! does: each way up takes a dwell that doubles from [`UP_DWELL`] to [`MOST_UP_DWELL`], and there
//! are no more ways down than there were up, and five.

use std::time::{Duration, Instant};

use super::Tier;
use super::table::{Threshold, row};
use crate::meter::Measurement;

/// How long a path must have been worse. With the window of the rate and the time between two looks
/// a decision is in effect within 50 ms of the first ACK that shows it.
const DOWN_DWELL: Duration = Duration::from_millis(10);

/// How long a path must have been better, at first.
const UP_DWELL: Duration = Duration::from_secs(1);

/// Longest such time, for a path that keeps flapping.
const MOST_UP_DWELL: Duration = Duration::from_secs(256);

/// Time without a change to the worse after which the dwell is halved again.
const CALM: Duration = Duration::from_secs(60);

/// Measurements, each with something new, that must agree.
const CONFIDENCE: u32 = 3;

/// Where every connection begins: neither extreme does harm.
const FIRST: Tier = Tier::Standard;

/// Finds the tier of one connection's path.
#[derive(Debug, Clone)]
pub(crate) struct Detector {
    tier: Tier,
    /// Whether `tier` was ever found, rather than assumed.
    found: bool,
    /// The tier that the path seems to be in, since when, and how many measurements say so.
    candidate: Option<(Tier, Instant, u32)>,
    up_dwell: Duration,
    last_samples: u64,
    /// The last change to the worse, or the last time the dwell was halved.
    calm_since: Instant,
}

impl Detector {
    /// A detector that assumes Standard until three measurements have told better.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            tier: FIRST,
            found: false,
            candidate: None,
            up_dwell: UP_DWELL,
            last_samples: 0,
            calm_since: now,
        }
    }

    /// The tier.
    pub(crate) fn tier(&self) -> Tier {
        self.tier
    }

    /// How sure it is that the tier is right, 0 to 1: 1 while no measurement speaks for another,
    /// less the more do.
    pub(crate) fn confidence(&self) -> f64 {
        match self.candidate {
            None if self.found => 1.0,
            None => 0.0,
            Some((_, _, seen)) => 1.0 - f64::from(seen.min(CONFIDENCE)) / f64::from(CONFIDENCE + 1),
        }
    }

    /// Takes in a measurement; the tier when it has been found for the first time, even if it is
    /// the one that was assumed, or has changed. A measurement without a new ACK changes nothing.
    pub(crate) fn observe(&mut self, measured: &Measurement, now: Instant) -> Option<Tier> {
        if measured.samples == self.last_samples {
            return None;
        }
        self.last_samples = measured.samples;
        self.calm_down(now);
        let fits = self.fitting(measured);
        if fits == self.tier && self.found {
            self.candidate = None;
            return None;
        }
        // Opinions in the same direction add up; the weaker of them is what they agree on.
        let (candidate, since, seen) = match self.candidate {
            Some((before, since, seen)) if (before > self.tier) == (fits > self.tier) => {
                let weaker = if fits > self.tier {
                    before.min(fits)
                } else {
                    before.max(fits)
                };
                (weaker, since, seen.saturating_add(1))
            }
            _ => (fits, now, 1),
        };
        self.candidate = Some((candidate, since, seen));
        let waited = now.saturating_duration_since(since);
        if seen < CONFIDENCE || waited < self.dwell(candidate) {
            return None;
        }
        self.change(candidate, now)
    }

    /// Drops what was found and takes the tier that one measurement speaks for, at once. Before the
    /// first ACK that is none.
    pub(crate) fn find_anew(&mut self, measured: &Measurement, now: Instant) -> Tier {
        *self = Self::new(now);
        if measured.samples == 0 {
            return self.tier;
        }
        self.tier = self.fitting(measured);
        self.found = true;
        self.last_samples = measured.samples;
        self.tier
    }

    fn change(&mut self, candidate: Tier, now: Instant) -> Option<Tier> {
        self.candidate = None;
        let before = self.tier;
        if !self.found {
            self.found = true;
            self.tier = candidate;
            return Some(candidate);
        }
        if candidate < before {
            self.tier = candidate;
            self.up_dwell = (self.up_dwell * 2).min(MOST_UP_DWELL);
            self.calm_since = now;
        } else {
            self.tier = before.better().unwrap_or(before);
        }
        (self.tier != before).then_some(self.tier)
    }

    fn dwell(&self, candidate: Tier) -> Duration {
        if candidate < self.tier {
            DOWN_DWELL
        } else if self.found {
            self.up_dwell
        } else {
            Duration::ZERO
        }
    }

    fn calm_down(&mut self, now: Instant) {
        if now.saturating_duration_since(self.calm_since) >= CALM {
            self.calm_since = now;
            self.up_dwell = (self.up_dwell / 2).max(UP_DWELL);
        }
    }

    /// The best tier whose thresholds the path meets: those to leave by up to the tier it is in,
    /// those to enter by above it.
    fn fitting(&self, measured: &Measurement) -> Tier {
        let meets = |tier: Tier| {
            let bounds = &row(tier).thresholds;
            let entering = tier > self.tier || !self.found;
            measured.min_rtt <= pick(bounds.rtt, entering)
                && measured
                    .rate
                    .is_none_or(|rate| rate >= pick(bounds.rate, entering))
                && measured
                    .loss_ppm
                    .is_none_or(|loss| loss <= pick(bounds.loss_ppm, entering))
        };
        let best_first = Tier::ALL.into_iter().rev();
        best_first
            .clone()
            .find(|tier| meets(*tier))
            .unwrap_or(Tier::Slow)
    }
}

fn pick<T>(threshold: Threshold<T>, entering: bool) -> T {
    if entering {
        threshold.enter
    } else {
        threshold.leave
    }
}

#[cfg(test)]
mod tests;
