//! Addresses as the maps hold them: 16 bytes, IPv4 as `::ffff:a.b.c.d`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::error::Error;

/// Bits of a mapped address before those of IPv4.
const MAPPED_BITS: u32 = 96;

/// An address of either family as 16 bytes.
pub fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The address that 16 bytes of a map stand for.
pub fn unmapped(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).to_canonical()
}

/// A network: an address and how many of its bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// The network of the first `bits` bits of `address`.
    ///
    /// # Errors
    /// [`Error::Value`] if the family's addresses have fewer bits, or bits are set beyond.
    pub fn new(address: IpAddr, bits: u8) -> Result<Self, Error> {
        // One network has one form: what lies in ::ffff:0:0/96 is a network of IPv4.
        let (address, bits) = match address.to_canonical() {
            four @ IpAddr::V4(_) if address.is_ipv6() && bits >= MAPPED_BITS as u8 => {
                (four, bits - MAPPED_BITS as u8)
            }
            _ => (address, bits),
        };
        let all = if address.is_ipv4() { 32 } else { 128 };
        let network = Self { address, bits };
        if bits > all {
            return Err(Error::Value(format!(
                "network {network}: an address of its family has {all} bits"
            )));
        }
        let kept = u128::MAX
            .checked_shl(128 - network.prefix_bits())
            .unwrap_or(0);
        if u128::from_be_bytes(network.octets()) & !kept != 0 {
            return Err(Error::Value(format!(
                "network {network}: bits are set after the first {bits}"
            )));
        }
        Ok(network)
    }

    /// Its address as the maps hold it.
    pub(crate) fn octets(self) -> [u8; 16] {
        mapped(self.address)
    }

    /// The network of a key of a map; `None` for bits that no network has.
    pub(crate) fn from_key(bits: u32, octets: [u8; 16]) -> Option<Self> {
        Self::new(IpAddr::V6(octets.into()), u8::try_from(bits).ok()?).ok()
    }

    /// How many bits of [`Self::octets`] count.
    pub(crate) fn prefix_bits(self) -> u32 {
        let before = if self.address.is_ipv4() {
            MAPPED_BITS
        } else {
            0
        };
        before + u32::from(self.bits)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl FromStr for Network {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::Value(format!("network '{text}' is not written as address/bits"));
        let (address, bits) = text.split_once('/').ok_or_else(bad)?;
        let address = address.parse().map_err(|_| bad())?;
        Self::new(address, bits.parse().map_err(|_| bad())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_is_mapped_and_back() {
        let address: IpAddr = "10.1.2.3".parse().unwrap();
        assert_eq!(mapped(address)[10..], [0xff, 0xff, 10, 1, 2, 3]);
        assert_eq!(unmapped(mapped(address)), address);
        let six: IpAddr = "fd00::1".parse().unwrap();
        assert_eq!(unmapped(mapped(six)), six);
    }

    #[test]
    fn a_network_counts_its_bits_in_the_mapped_address() {
        let four: Network = "10.0.0.0/8".parse().unwrap();
        let six: Network = "fd00::/64".parse().unwrap();
        assert_eq!((four.prefix_bits(), six.prefix_bits()), (104, 64));
        assert_eq!("::/0".parse::<Network>().unwrap().prefix_bits(), 0);
        assert_eq!("0.0.0.0/0".parse::<Network>().unwrap().prefix_bits(), 96);
        assert_eq!(four.to_string(), "10.0.0.0/8");
    }

    #[test]
    fn a_network_of_mapped_addresses_is_one_of_ipv4_however_it_came() {
        for (text, same) in [
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
        ] {
            let four: Network = same.parse().unwrap();
            assert_eq!(text.parse::<Network>().unwrap(), four);
            let key = Network::from_key(four.prefix_bits(), four.octets());
            assert_eq!(key, Some(four));
        }
        let wide: Network = "::fffe:0:0/95".parse().unwrap();
        assert_eq!(wide.to_string(), "::fffe:0:0/95");
        assert_eq!(Network::from_key(129, [0; 16]), None);
    }

    #[test]
    fn what_is_no_network_is_named() {
        for text in [
            "10.0.0.0",
            "10.0.0.0/33",
            "fd00::/129",
            "10.0.0.1/8",
            "a/8",
            "::/x",
        ] {
            let error = text.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}
