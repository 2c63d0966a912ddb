//! What the settings allow the adaptation to do.

use serde::{Deserialize, Serialize};

use crate::congestion::Congestion;
use crate::tier::Tier;
use crate::tier::table::Parameters;

/// Bytes. Below it QUIC hardly moves: ten datagrams (RFC 9002, 7.2).
const LEAST_WINDOW: u64 = 12_000;

/// Bytes. What a peer may make us hold for one connection at most: 10 Gbit/s over 50 ms.
const MOST_WINDOW: u64 = 64_000_000;

/// Bits per second. Below it two datagrams of Ethernet's size, which the pacer lets go at once,
/// hold an ACK back for longer than QUIC's 25 ms (RFC 9000, 18.2).
const LEAST_RATE: u64 = 1_000_000;

/// Whether connections adapt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// They do.
    #[default]
    On,
    /// Decide and count, but change nothing.
    DryRun,
    /// Nothing is measured either.
    Off,
}

/// The settings of adaptation, as they are written. What is left out is for the tier to say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyDocument {
    /// Whether connections adapt.
    pub mode: Mode,
    /// The tier, whatever is measured.
    pub tier: Option<String>,
    /// The worst and the best tier that may be chosen.
    pub min_tier: Option<String>,
    /// See `min_tier`.
    pub max_tier: Option<String>,
    /// The congestion controller, whatever the tier.
    pub congestion: Option<String>,
    /// Bits per second that one connection may send at.
    pub max_rate: Option<u64>,
    /// Bytes: `[least, most]`.
    pub receive_window: Option<[u64; 2]>,
    /// Bytes: `[least, most]`.
    pub send_window: Option<[u64; 2]>,
}

/// A range, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds<T> {
    /// The least.
    pub least: T,
    /// The most.
    pub most: T,
}

/// A policy that makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Tiers that may be chosen; a pinned tier is both ends.
    pub tiers: Bounds<Tier>,
    /// The congestion controller, whatever the tier.
    pub congestion: Option<Congestion>,
    /// Bytes per second.
    pub max_rate: Option<u64>,
    /// Bytes.
    pub receive_window: Bounds<u64>,
    /// Bytes; also bounds what may be in flight.
    pub send_window: Bounds<u64>,
    /// Decide and count, but change nothing.
    pub dry_run: bool,
}

/// Why a policy is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct PolicyError {
    /// The field, as it is written in the settings.
    pub field: &'static str,
    /// The value, what is wrong with it and what would do.
    pub reason: String,
}

impl Default for Policy {
    fn default() -> Self {
        let window = Bounds {
            least: LEAST_WINDOW,
            most: MOST_WINDOW,
        };
        Self {
            tiers: Bounds {
                least: Tier::Slow,
                most: Tier::DataCenter,
            },
            congestion: None,
            max_rate: None,
            receive_window: window,
            send_window: window,
            dry_run: false,
        }
    }
}

impl Policy {
    /// The tier that comes nearest to a measured one.
    pub fn tier(&self, measured: Tier) -> Tier {
        measured.clamp(self.tiers.least, self.tiers.most)
    }

    /// What a tier sets, within the policy's bounds.
    pub fn parameters(&self, tier: Tier) -> Parameters {
        self.bounded(tier.parameters())
    }

    /// The same of any parameters.
    pub(crate) fn bounded(&self, mut set: Parameters) -> Parameters {
        set.congestion = self.congestion.unwrap_or(set.congestion);
        set.receive_window = self.receive_window.clamp(set.receive_window);
        set.send_window = self.send_window.clamp(set.send_window);
        set
    }
}

impl Bounds<u64> {
    fn clamp(self, value: u64) -> u64 {
        value.clamp(self.least, self.most)
    }
}

impl TryFrom<&PolicyDocument> for Policy {
    type Error = PolicyError;

    fn try_from(document: &PolicyDocument) -> Result<Self, PolicyError> {
        let default = Self::default();
        let tiers = Bounds {
            least: parsed("min_tier", &document.min_tier)?.unwrap_or(default.tiers.least),
            most: parsed("max_tier", &document.max_tier)?.unwrap_or(default.tiers.most),
        };
        if tiers.least > tiers.most {
            let reason = format!("{} is better than max_tier, {}", tiers.least, tiers.most);
            return Err(refused("min_tier", reason));
        }
        let pinned: Option<Tier> = parsed("tier", &document.tier)?;
        if let Some(tier) = pinned
            && tier != tiers.least.max(tier).min(tiers.most)
        {
            let reason = format!("{tier} is not within min_tier and max_tier: leave those out");
            return Err(refused("tier", reason));
        }
        if let Some(rate) = document.max_rate
            && rate < LEAST_RATE
        {
            let reason = format!("{rate} bit/s is too little: {LEAST_RATE} at least");
            return Err(refused("max_rate", reason));
        }
        Ok(Self {
            tiers: pinned.map_or(tiers, |tier| Bounds {
                least: tier,
                most: tier,
            }),
            congestion: parsed("congestion", &document.congestion)?,
            max_rate: document.max_rate.map(|bits| bits / 8),
            receive_window: window("receive_window", document.receive_window)?,
            send_window: window("send_window", document.send_window)?,
            dry_run: document.mode == Mode::DryRun,
        })
    }
}

fn parsed<T>(field: &'static str, name: &Option<String>) -> Result<Option<T>, PolicyError>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    name.as_deref()
        .map(|name| name.parse::<T>())
        .transpose()
        .map_err(|error| refused(field, error.to_string()))
}

fn window(field: &'static str, given: Option<[u64; 2]>) -> Result<Bounds<u64>, PolicyError> {
    let [least, most] = given.unwrap_or([LEAST_WINDOW, MOST_WINDOW]);
    if least > most {
        return Err(refused(
            field,
            format!("the least, {least}, exceeds the most, {most}"),
        ));
    }
    for bytes in [least, most] {
        if !(LEAST_WINDOW..=MOST_WINDOW).contains(&bytes) {
            let reason = format!("{bytes} bytes is not within {LEAST_WINDOW} and {MOST_WINDOW}");
            return Err(refused(field, reason));
        }
    }
    Ok(Bounds { least, most })
}

fn refused(field: &'static str, reason: String) -> PolicyError {
    PolicyError { field, reason }
}

#[cfg(test)]
mod tests;
