//! A histogram of durations, in the shape Prometheus wants.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::Serialize;

use super::add;

/// Upper bounds of the buckets, in microseconds. A handshake takes one round
/// trip and about 2 ms of public-key work; a lost packet adds a PTO.
pub const BOUNDS: [u64; 11] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000,
];

/// Durations by bucket; one thread writes.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        add(&self.buckets[bucket], 1);
        add(&self.micros, micros);
    }
}

/// A histogram read once.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HistogramSample {
    /// Upper bounds in seconds; one more bucket without a bound follows.
    pub bounds: Vec<f64>,
    /// How many durations fell into each bucket, not added up.
    pub counts: Vec<u64>,
    /// Sum of all durations, in seconds.
    pub sum: f64,
}

impl Default for HistogramSample {
    fn default() -> Self {
        Self {
            bounds: BOUNDS.iter().map(|micros| *micros as f64 / 1e6).collect(),
            counts: vec![0; BOUNDS.len() + 1],
            sum: 0.0,
        }
    }
}

impl HistogramSample {
    /// Adds another worker's.
    pub(crate) fn add(&mut self, histogram: &Histogram) {
        for (count, bucket) in self.counts.iter_mut().zip(&histogram.buckets) {
            *count += bucket.load(Relaxed);
        }
        self.sum += histogram.micros.load(Relaxed) as f64 / 1e6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_whose_bound_it_does_not_exceed() {
        let histogram = Histogram::default();
        for micros in [1, 500, 501, 5_000_000, 5_000_001] {
            histogram.record(Duration::from_micros(micros));
        }
        let mut sample = HistogramSample::default();
        sample.add(&histogram);
        assert_eq!(sample.counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert!((sample.sum - 10.001_003).abs() < 1e-9);
    }
}
