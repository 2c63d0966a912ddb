//! What came back, and when.

use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::schedule::Schedule;

/// Parts of the run whose P99 is reported on its own, to show growth.
const PARTS: usize = 10;

/// The longest latency kept apart, nanoseconds; beyond, it counts as this.
const LONGEST: u64 = 60_000_000_000;

/// Latencies of the measured requests.
pub(crate) struct Recorder {
    schedule: Schedule,
    parts: Vec<Histogram<u64>>,
    errors: u64,
    first_error: Option<String>,
    lost: u64,
}

impl Recorder {
    /// An empty recorder.
    pub(crate) fn new(schedule: Schedule) -> Result<Self> {
        let histogram = Histogram::new_with_bounds(1, LONGEST, 3)?;
        Ok(Self {
            schedule,
            parts: vec![histogram; PARTS],
            errors: 0,
            first_error: None,
            lost: 0,
        })
    }

    /// Request `index`, due at `due`, was answered at `now`.
    pub(crate) fn answered(&mut self, index: u64, due: Instant, now: Instant) {
        if let Some(progress) = self.schedule.progress(index) {
            let latency = now.saturating_duration_since(due).as_nanos() as u64;
            let part = ((progress * PARTS as f64) as usize).min(PARTS - 1);
            self.parts[part].saturating_record(latency.max(1));
        }
    }

    /// A request failed.
    pub(crate) fn failed(&mut self, error: &std::io::Error) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
    }

    /// `count` requests were never answered.
    pub(crate) fn lost(&mut self, count: usize) {
        self.lost += count as u64;
    }

    /// Percentiles in microseconds.
    pub(crate) fn to_json(&self) -> Value {
        let mut all = self.parts[0].clone();
        for part in &self.parts[1..] {
            all.add(part).expect("all parts have the same bounds");
        }
        let micros = |nanos: u64| Duration::from_nanos(nanos).as_secs_f64() * 1e6;
        let at = |histogram: &Histogram<u64>, q: f64| micros(histogram.value_at_quantile(q));
        json!({
            "answered": all.len(),
            "errors": self.errors,
            "first_error": self.first_error,
            "lost": self.lost,
            "p50_us": at(&all, 0.5),
            "p90_us": at(&all, 0.9),
            "p99_us": at(&all, 0.99),
            "p999_us": at(&all, 0.999),
            "max_us": micros(all.max()),
            "mean_us": all.mean() / 1e3,
            "p99_us_by_tenth": self.parts.iter().map(|part| at(part, 0.99)).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder() -> Recorder {
        let schedule = Schedule::new(10.0, Duration::from_secs(1), Duration::from_secs(1));
        Recorder::new(schedule).expect("bounds are valid")
    }

    #[test]
    fn latency_counts_from_the_time_the_request_was_due() {
        let mut recorder = recorder();
        let due = Instant::now();
        recorder.answered(10, due, due + Duration::from_millis(5));
        let p50 = recorder.to_json()["p50_us"].as_f64().expect("a number");
        assert!((4990.0..5010.0).contains(&p50), "{p50}");
    }

    #[test]
    fn warm_up_requests_are_not_recorded() {
        let mut recorder = recorder();
        let due = Instant::now();
        recorder.answered(9, due, due + Duration::from_millis(5));
        assert_eq!(recorder.to_json()["answered"], 0);
    }

    #[test]
    fn failures_and_losses_are_counted_apart() {
        let mut recorder = recorder();
        recorder.failed(&std::io::Error::other("first"));
        recorder.failed(&std::io::Error::other("second"));
        recorder.lost(3);
        let json = recorder.to_json();
        assert_eq!((&json["errors"], &json["lost"]), (&json!(2), &json!(3)));
        assert_eq!(json["first_error"], "first");
    }
}
