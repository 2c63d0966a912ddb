//! What the path is like, and when it changes. `hack/netlab` checks a schedule and writes it so.

use std::time::Duration;

use serde::Deserialize;

/// One direction of the path. Shares are in parts per million, times in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Conditions {
    /// Bits per second; 0: as fast as it goes.
    pub(crate) rate: u64,
    /// Bytes that wait for the rate at most; more are dropped.
    pub(crate) queue: usize,
    /// One way.
    pub(crate) delay: u64,
    /// Added to it, evenly spread from nothing to this; the order is kept.
    pub(crate) jitter: u64,
    /// Frames that never arrive.
    pub(crate) loss: u32,
    /// Frames that come late, overtaken by others.
    pub(crate) reorder: u32,
    /// How late.
    pub(crate) reorder_by: u64,
    /// Frames that arrive twice.
    pub(crate) duplicate: u32,
}

/// Both directions for some time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// Microseconds; none: for good.
    pub(crate) lasts: Option<u64>,
    /// From the near end to the far end.
    pub(crate) up: Conditions,
    /// From the far end to the near end.
    pub(crate) down: Conditions,
}

/// Steps one after another; the last holds for good unless they are repeated.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Schedule {
    /// Of all that is left to chance.
    pub(crate) seed: u64,
    /// Begin anew after the last step.
    pub(crate) repeat: bool,
    /// One at least.
    pub(crate) steps: Vec<Step>,
}

impl Schedule {
    /// The number of the step at a time since the beginning, and when the next one begins.
    pub(crate) fn at(&self, elapsed: Duration) -> (usize, Option<Duration>) {
        let last = self.steps.len() - 1;
        let round: Option<u64> = self.steps.iter().map(|step| step.lasts).sum();
        let elapsed = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let (base, within) = match round {
            Some(round) if self.repeat && round > 0 => (elapsed - elapsed % round, elapsed % round),
            _ => (0, elapsed),
        };
        let mut ends = 0;
        for (number, step) in self.steps.iter().enumerate() {
            let Some(lasts) = step.lasts else {
                return (number, None);
            };
            ends += lasts;
            if within < ends {
                let next = number < last || self.repeat;
                return (number, next.then(|| Duration::from_micros(base + ends)));
            }
        }
        (last, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(repeat: bool, lasts: &[Option<u64>]) -> Schedule {
        let steps = lasts.iter().map(|lasts| Step {
            lasts: *lasts,
            up: Conditions::default(),
            down: Conditions::default(),
        });
        Schedule {
            seed: 1,
            repeat,
            steps: steps.collect(),
        }
    }

    fn micros(count: u64) -> Duration {
        Duration::from_micros(count)
    }

    #[test]
    fn steps_follow_each_other_and_the_last_holds() {
        let schedule = schedule(false, &[Some(10), Some(20), Some(5)]);
        assert_eq!(schedule.at(micros(0)), (0, Some(micros(10))));
        assert_eq!(schedule.at(micros(9)), (0, Some(micros(10))));
        assert_eq!(schedule.at(micros(10)), (1, Some(micros(30))));
        assert_eq!(schedule.at(micros(30)), (2, None));
        assert_eq!(schedule.at(micros(3000)), (2, None));
    }

    #[test]
    fn a_step_without_an_end_is_the_last() {
        let schedule = schedule(true, &[Some(10), None]);
        assert_eq!(schedule.at(micros(4000)), (1, None));
    }

    #[test]
    fn repeated_steps_begin_anew() {
        let schedule = schedule(true, &[Some(10), Some(20)]);
        assert_eq!(schedule.at(micros(29)), (1, Some(micros(30))));
        assert_eq!(schedule.at(micros(30)), (0, Some(micros(40))));
        assert_eq!(schedule.at(micros(305)), (0, Some(micros(310))));
    }
}
