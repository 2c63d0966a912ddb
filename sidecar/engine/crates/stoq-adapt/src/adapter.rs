//! One connection's decisions: measurements, a policy and the time in, a change with its cause
//! out. Applying it is the driver's.

use std::time::Instant;

use crate::handle::PathHandle;
use crate::meter::Measurement;
use crate::policy::Policy;
use crate::tier::Tier;
use crate::tier::detector::Detector;
use crate::tier::table::Parameters;

/// Why parameters change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The path is in another tier.
    Measured,
    /// The policy has changed.
    Policy,
    /// Somebody asked for it.
    Manual,
}

impl Cause {
    /// The name in logs and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Policy => "policy",
            Self::Manual => "manual",
        }
    }
}

/// A decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Before, and from now on.
    pub from: Tier,
    /// See `from`.
    pub to: Tier,
    /// Why.
    pub cause: Cause,
    /// What holds from now on.
    pub parameters: Parameters,
    /// Whether it is only to be counted.
    pub dry_run: bool,
}

/// Decides for one connection.
#[derive(Debug, Clone)]
pub struct Adapter {
    policy: Policy,
    detector: Detector,
    tier: Tier,
    /// Whether the tier was ever decided on, rather than assumed.
    decided: bool,
}

impl Adapter {
    /// For a connection that begins now.
    pub fn new(policy: Policy, now: Instant) -> Self {
        let detector = Detector::new(now);
        Self {
            tier: policy.tier(detector.tier()),
            decided: policy.tiers.least == policy.tiers.most,
            policy,
            detector,
        }
    }

    /// The tier the parameters are from.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// The tier the path is in, whatever the policy, and how sure that is, 0 to 1.
    pub fn measured_tier(&self) -> (Tier, f64) {
        (self.detector.tier(), self.detector.confidence())
    }

    /// What holds now.
    pub fn parameters(&self) -> Parameters {
        self.policy.parameters(self.tier)
    }

    /// Prepares a connection that was made with `first`, and tells what holds from the beginning: a
    /// pinned tier, a congestion controller and bounds of the policy do. The rest stays as it is
    /// until the tier is found.
    pub fn begin(&self, path: &PathHandle, first: Parameters) -> Parameters {
        if self.policy.dry_run {
            return first;
        }
        let parameters = if self.decided {
            self.parameters()
        } else {
            self.policy.bounded(first)
        };
        path.set_congestion(parameters.congestion);
        self.bound(path, &parameters);
        parameters
    }

    /// Takes in a measurement. The first time a tier is found that is a change, also from Standard
    /// to Standard. Call it when [`Looks`](crate::Looks) says so; it costs well below a
    /// microsecond.
    pub fn observe(&mut self, measured: &Measurement, now: Instant) -> Option<Change> {
        self.detector.observe(measured, now)?;
        self.settle(Cause::Measured)
    }

    /// Another policy is in force.
    pub fn set_policy(&mut self, policy: Policy) -> Option<Change> {
        let before = (self.parameters(), self.policy.max_rate);
        // What was only counted so far is to be done.
        let begins = self.decided && self.policy.dry_run && !policy.dry_run;
        self.policy = policy;
        self.settle(Cause::Policy).or_else(|| {
            let changed = begins || (self.parameters(), self.policy.max_rate) != before;
            changed.then(|| self.change(self.tier, Cause::Policy))
        })
    }

    /// Decides at once, by one measurement and without regard to what was found before.
    pub fn trigger(&mut self, measured: &Measurement, now: Instant) -> Change {
        let from = self.tier;
        let found = self.detector.find_anew(measured, now);
        self.tier = self.policy.tier(found);
        self.change(from, Cause::Manual)
    }

    /// Carries a change out as far as the controller goes: which one, and the bounds of window and
    /// rate. A manual one has BBR search anew. One that was measured has not: by the time a better
    /// tier is measured BBR has found the rate, and a new search would only fill the queue.
    pub fn apply(&self, change: &Change, path: &PathHandle) {
        if change.dry_run {
            return;
        }
        path.set_congestion(change.parameters.congestion);
        self.bound(path, &change.parameters);
        if change.cause == Cause::Manual {
            path.restart_startup();
        }
    }

    fn bound(&self, path: &PathHandle, parameters: &Parameters) {
        path.set_limits(Some(parameters.send_window), self.policy.max_rate);
    }

    fn settle(&mut self, cause: Cause) -> Option<Change> {
        let from = self.tier;
        self.tier = self.policy.tier(self.detector.tier());
        let first = cause == Cause::Measured && !std::mem::replace(&mut self.decided, true);
        (first || self.tier != from).then(|| self.change(from, cause))
    }

    fn change(&self, from: Tier, cause: Cause) -> Change {
        Change {
            from,
            to: self.tier,
            cause,
            parameters: self.parameters(),
            dry_run: self.policy.dry_run,
        }
    }
}

#[cfg(test)]
mod tests;
