//! What a TransportPolicy allows the adaptation to do.

use serde::Deserialize;

use crate::congestion::Congestion;
use crate::tier::Tier;
use crate::tier::table::Parameters;

/// Bytes. Below it QUIC hardly moves: ten datagrams (RFC 9002, 7.2).
const LEAST_WINDOW: u64 = 12_000;

/// Bytes. What a peer may make us hold for one connection at most: 10 Gbit/s over 50 ms.
const MOST_WINDOW: u64 = 64_000_000;

/// Bits per second. Below it a datagram takes longer than the idle timeout.
const LEAST_RATE: u64 = 8_000;

/// The adaptation part of a policy, as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PolicyDocument {
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
    /// Decide and count, but change nothing.
    pub dry_run: bool,
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
    /// The field, as it is written in the policy.
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
        let mut set = tier.parameters();
        set.congestion = self.congestion.unwrap_or(set.congestion);
        set.receive_window = self.receive_window.clamp(set.receive_window);
        set.send_window = self.send_window.clamp(set.send_window);
        set.next.stream_window = set.next.stream_window.min(set.receive_window);
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
            least: parsed("minTier", &document.min_tier)?.unwrap_or(default.tiers.least),
            most: parsed("maxTier", &document.max_tier)?.unwrap_or(default.tiers.most),
        };
        if tiers.least > tiers.most {
            let reason = format!("{} is better than maxTier, {}", tiers.least, tiers.most);
            return Err(refused("minTier", reason));
        }
        let pinned: Option<Tier> = parsed("tier", &document.tier)?;
        if let Some(tier) = pinned
            && tier != tiers.least.max(tier).min(tiers.most)
        {
            let reason = format!("{tier} is not within minTier and maxTier: leave those out");
            return Err(refused("tier", reason));
        }
        if let Some(rate) = document.max_rate
            && rate < LEAST_RATE
        {
            let reason = format!("{rate} bit/s is too little: {LEAST_RATE} at least");
            return Err(refused("maxRate", reason));
        }
        Ok(Self {
            tiers: pinned.map_or(tiers, |tier| Bounds {
                least: tier,
                most: tier,
            }),
            congestion: parsed("congestion", &document.congestion)?,
            max_rate: document.max_rate.map(|bits| bits / 8),
            receive_window: window("receiveWindow", document.receive_window)?,
            send_window: window("sendWindow", document.send_window)?,
            dry_run: document.dry_run,
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
