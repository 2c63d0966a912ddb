//! What access policies had to say, by policy.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use stoq_core::table::{AccessTally, Ruling};

/// Policies counted by name per worker, each once per effect; what others say is counted
/// together as [`OTHER`]. Names come and go with policies, counters stay.
const MOST: usize = 1024;

/// The policy label beyond [`MOST`].
const OTHER: &str = "other";

/// Flows by policy. Written once per flow, by one worker; locked for a look-up.
#[derive(Debug, Default)]
pub(super) struct AccessCounts(Mutex<BTreeMap<AccessTally, u64>>);

/// A policy's count, read once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccessSample {
    /// `<namespace>/<name>`, or `other`.
    pub policy: String,
    /// `allow`, `deny` or `not_allowed`.
    pub action: &'static str,
    /// Whether the policy is only tried out.
    pub dry_run: bool,
    /// Flows that it had this to say about.
    pub flows: u64,
}

impl AccessCounts {
    /// Counts every policy's say about one flow.
    pub(super) fn count(&self, ruling: &Ruling) {
        if ruling.tallies.is_empty() {
            return;
        }
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for tally in &ruling.tallies {
            let key = match counts.len() < MOST || counts.contains_key(tally) {
                true => tally.clone(),
                false => AccessTally {
                    policy: OTHER.into(),
                    ..tally.clone()
                },
            };
            *counts.entry(key).or_default() += 1;
        }
    }

    /// Adds what was counted to `sums`.
    pub(super) fn add_to(&self, sums: &mut BTreeMap<AccessTally, u64>) {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (tally, flows) in counts.iter() {
            *sums.entry(tally.clone()).or_default() += flows;
        }
    }
}

/// Sums as they are told.
pub(super) fn samples(sums: BTreeMap<AccessTally, u64>) -> Vec<AccessSample> {
    let sample = |(tally, flows): (AccessTally, u64)| AccessSample {
        policy: tally.policy.to_string(),
        action: tally.effect.name(),
        dry_run: tally.dry_run,
        flows,
    };
    sums.into_iter().map(sample).collect()
}
