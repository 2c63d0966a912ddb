//! Addresses on the wire: a family byte (4 or 6), a port of 2 bytes and 4 or 16 bytes of address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf, BufMut};

/// Why bytes are no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The input ends first.
    Short,
    /// A family other than 4 and 6.
    Family(u8),
}

/// Appends an address: 7 or 19 bytes.
pub(crate) fn write(address: SocketAddr, out: &mut Vec<u8>) {
    out.put_u8(if address.is_ipv4() { 4 } else { 6 });
    out.put_u16(address.port());
    match address.ip() {
        IpAddr::V4(ip) => out.put_slice(&ip.octets()),
        IpAddr::V6(ip) => out.put_slice(&ip.octets()),
    }
}

/// Takes an address off the front of `rest`.
pub(crate) fn read(rest: &mut &[u8]) -> Result<SocketAddr, Stop> {
    let family = rest.try_get_u8().map_err(|_| Stop::Short)?;
    if family != 4 && family != 6 {
        return Err(Stop::Family(family));
    }
    let port = rest.try_get_u16().map_err(|_| Stop::Short)?;
    let ip = if family == 4 {
        Ipv4Addr::from(rest.try_get_u32().map_err(|_| Stop::Short)?).into()
    } else {
        Ipv6Addr::from(rest.try_get_u128().map_err(|_| Stop::Short)?).into()
    };
    Ok(SocketAddr::new(ip, port))
}
