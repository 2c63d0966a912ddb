//! Extremes over a sliding window, in constant memory.
//!
//! The method is Kathleen Nichols's (Linux `lib/win_minmax.c`): the best sample of the window and
//! the best of its later parts, so that when the best one ages out its heir is at hand. The answer
//! is never better than the true extreme and never older than the window.

use std::cmp::Reverse;
use std::ops::Sub;

/// The largest value seen within a window of `W`, over time stamps of `T`.
///
/// Time may be [`std::time::Instant`] or a count of rounds; it must not run backwards.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowedMax<T, V> {
    best: [(T, V); 3],
}

/// The smallest value seen within a window: a maximum of the reversed order.
pub(crate) type WindowedMin<T, V> = WindowedMax<T, Reverse<V>>;

impl<T, V> WindowedMax<T, V>
where
    T: Copy + Ord + Sub,
    <T as Sub>::Output: Ord + Copy + std::ops::Div<u32, Output = <T as Sub>::Output>,
    V: Copy + Ord,
{
    /// A filter that has seen one value.
    pub(crate) fn new(now: T, value: V) -> Self {
        Self {
            best: [(now, value); 3],
        }
    }

    /// The largest value of the window.
    pub(crate) fn get(&self) -> V {
        self.best[0].1
    }

    /// Takes in a value, forgets what is older than `window` and returns the largest.
    pub(crate) fn update(&mut self, now: T, value: V, window: <T as Sub>::Output) -> V {
        let sample = (now, value);
        if value >= self.best[0].1 || now - self.best[2].0 > window {
            self.best = [sample; 3];
            return value;
        }
        if value >= self.best[1].1 {
            self.best[1] = sample;
            self.best[2] = sample;
        } else if value >= self.best[2].1 {
            self.best[2] = sample;
        }
        self.age(sample, window);
        self.get()
    }

    fn age(&mut self, sample: (T, V), window: <T as Sub>::Output) {
        let age = sample.0 - self.best[0].0;
        if age > window {
            self.best = [self.best[1], self.best[2], sample];
            if sample.0 - self.best[0].0 > window {
                self.best = [self.best[1], self.best[2], sample];
            }
        } else if self.best[1].0 == self.best[0].0 && age > window / 4 {
            // A quarter has passed without a second best: take one from its second quarter on.
            self.best[1] = sample;
            self.best[2] = sample;
        } else if self.best[2].0 == self.best[1].0 && age > window / 2 {
            self.best[2] = sample;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_maximum_is_forgotten_when_its_window_has_passed() {
        let start = Instant::now();
        let window = Duration::from_secs(10);
        let at = |s| start + Duration::from_secs(s);
        let mut filter = WindowedMax::new(start, 100_u64);
        for second in 1..=10 {
            assert_eq!(filter.update(at(second), 50, window), 100);
        }
        assert_eq!(filter.update(at(11), 50, window), 50);
    }

    #[test]
    fn a_minimum_is_a_reversed_maximum() {
        let start = Instant::now();
        let window = Duration::from_secs(1);
        let mut filter = WindowedMin::new(start, Reverse(7_u64));
        filter.update(start + Duration::from_millis(10), Reverse(9), window);
        assert_eq!(filter.get().0, 7);
        filter.update(start + Duration::from_millis(20), Reverse(3), window);
        assert_eq!(filter.get().0, 3);
    }

    proptest! {
        #[test]
        fn it_never_exceeds_the_true_maximum_and_never_misses_the_newest(
            steps in proptest::collection::vec((0_u64..400, 0_u64..1000), 1..200)
        ) {
            let start = Instant::now();
            let window = Duration::from_millis(1000);
            let mut now = start;
            let mut seen = Vec::new();
            let mut filter: Option<WindowedMax<Instant, u64>> = None;
            for (gap, value) in steps {
                now += Duration::from_millis(gap);
                seen.push((now, value));
                let got = match &mut filter {
                    None => { filter = Some(WindowedMax::new(now, value)); value }
                    Some(filter) => filter.update(now, value, window),
                };
                let truth = seen.iter().filter(|(at, _)| now - *at <= window)
                    .map(|(_, v)| *v).max().unwrap_or(0);
                prop_assert!(got <= truth, "{got} > {truth}");
                prop_assert!(got >= value);
            }
        }
    }
}
