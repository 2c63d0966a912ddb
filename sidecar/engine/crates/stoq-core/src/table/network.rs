//! A network in CIDR notation.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An IPv4 or IPv6 network, such as `fd00::/64` or `10.0.0.1` (one address).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network: write an IPv4 or IPv6 address, or address/prefix")]
pub struct NetworkError(String);

impl Network {
    /// Whether `address` lies in the network; v4-mapped addresses count as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (ours, theirs, width) = match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
            _ => return false,
        };
        let different: u128 = ours ^ theirs;
        // The bits below the prefix do not count; a shift by 128 is not defined.
        different
            .checked_shr(width - u32::from(self.prefix))
            .unwrap_or(0)
            == 0
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || NetworkError(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| wrong())?,
            None => width,
        };
        if prefix > width {
            return Err(wrong());
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        let network: Network = network.parse().unwrap();
        network.contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_contains_what_shares_its_prefix() {
        assert!(contains("10.1.0.0/16", "10.1.200.3"));
        assert!(!contains("10.1.0.0/16", "10.2.0.1"));
        assert!(contains("fd00:1::/32", "fd00:1:ffff::9"));
        assert!(!contains("fd00:1::/32", "fd00:2::9"));
    }

    #[test]
    fn an_address_alone_is_a_network_of_one() {
        assert!(contains("fd00::1", "fd00::1"));
        assert!(!contains("fd00::1", "fd00::2"));
        assert!(!contains("10.0.0.1", "10.0.0.2"));
    }

    #[test]
    fn a_prefix_of_zero_contains_its_whole_family_and_no_other() {
        assert!(contains("::/0", "fd00::1"));
        assert!(contains("0.0.0.0/0", "192.0.2.1"));
        assert!(!contains("::/0", "192.0.2.1"));
    }

    #[test]
    fn a_v4_mapped_address_counts_as_ipv4() {
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
    }

    #[test]
    fn what_is_no_network_is_named() {
        for text in [
            "",
            "fd00::/129",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "host",
            "::/x",
        ] {
            let error = text.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn a_network_is_shown_as_it_is_written() {
        assert_eq!(
            "fd00::/64".parse::<Network>().unwrap().to_string(),
            "fd00::/64"
        );
    }
}
