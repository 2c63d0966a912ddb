//! How many handshakes may begin: the guard's settings, and how they are written for it.

use std::time::Duration;

use crate::error::Error;
use crate::shared::GuardConfig;

/// How many Initials pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Initials a second in the long run, 1 to 1,000,000,000.
    pub per_second: u32,
    /// Initials at once after a pause, at least 1.
    pub burst: u32,
}

/// The guard's settings. The default limits nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For each source prefix; `None`: no limit.
    pub source: Option<Rate>,
    /// For all sources together, those of the allow list apart; `None`: no limit.
    pub ceiling: Option<Rate>,
    /// Bits of a source's IPv4 address that make its prefix, at most 32.
    pub source_bits_v4: u8,
    /// Bits of a source's IPv6 address that make its prefix, at most 128.
    pub source_bits_v6: u8,
    /// Deny every source that is on no list.
    pub listed_only: bool,
}

impl Default for Limits {
    /// One prefix is a host in IPv4 and a network of hosts in IPv6, where a host has 2^64 addresses.
    fn default() -> Self {
        Self {
            source: None,
            ceiling: None,
            source_bits_v4: 32,
            source_bits_v6: 64,
            listed_only: false,
        }
    }
}

impl Limits {
    /// As the program reads it.
    pub(crate) fn encode(&self) -> Result<GuardConfig, Error> {
        for (bits, most, family) in [(self.source_bits_v4, 32, 4), (self.source_bits_v6, 128, 6)] {
            if bits > most {
                return Err(Error::Value(format!(
                    "a source prefix of {bits} bits: an address of IPv{family} has {most}"
                )));
            }
        }
        let (source_interval_ns, source_burst_ns) = Rate::encode(self.source)?;
        let (ceiling_interval_ns, ceiling_burst_ns) = Rate::encode(self.ceiling)?;
        Ok(GuardConfig {
            source_interval_ns,
            source_burst_ns,
            ceiling_interval_ns,
            ceiling_burst_ns,
            source_bits_v4: 96 + u32::from(self.source_bits_v4),
            source_bits_v6: self.source_bits_v6.into(),
            listed_only: self.listed_only.into(),
            reserved: 0,
        })
    }
}

impl Rate {
    /// Nanoseconds between two, and how many a burst is worth; zeros for no limit.
    fn encode(rate: Option<Self>) -> Result<(u64, u64), Error> {
        let Some(Self { per_second, burst }) = rate else {
            return Ok((0, 0));
        };
        let second = Duration::from_secs(1).as_nanos() as u64;
        if per_second == 0 || u64::from(per_second) > second || burst == 0 {
            return Err(Error::Value(format!(
                "a rate of {per_second} a second with a burst of {burst}: both must be at least 1, the \
                 rate at most {second}"
            )));
        }
        let interval = second / u64::from(per_second);
        Ok((interval, interval * u64::from(burst)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limits_are_zeros_and_prefixes_of_hosts() {
        let config = Limits::default().encode().unwrap();
        assert_eq!(
            (config.source_interval_ns, config.ceiling_interval_ns),
            (0, 0)
        );
        assert_eq!((config.source_bits_v4, config.source_bits_v6), (128, 64));
        assert_eq!(config.listed_only, 0);
    }

    #[test]
    fn a_rate_is_the_time_between_two_and_a_burst_as_many_of_them() {
        let rate = Rate {
            per_second: 50,
            burst: 10,
        };
        assert_eq!(Rate::encode(Some(rate)).unwrap(), (20_000_000, 200_000_000));
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let rate = |per_second, burst| Rate::encode(Some(Rate { per_second, burst }));
        for bad in [rate(0, 1), rate(1, 0), rate(1_000_000_001, 1)] {
            assert!(bad.unwrap_err().to_string().contains("at least 1"));
        }
        let wide = Limits {
            source_bits_v4: 33,
            ..Limits::default()
        };
        let error = wide.encode().unwrap_err().to_string();
        assert_eq!(
            error,
            "a source prefix of 33 bits: an address of IPv4 has 32"
        );
    }
}
