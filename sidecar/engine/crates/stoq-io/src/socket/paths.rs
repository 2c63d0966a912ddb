//! What the pod's kernel knows of the way to an address. Routers tell it how long packets may be, in answer
//! to an application's datagrams as to anybody's, and it keeps that for all that goes there.

use std::io;
use std::net::SocketAddrV6;

use socket2::{Domain, Socket, Type};

use super::options;

/// Asks the kernel.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    /// Sends nothing. Made when it is needed first.
    asking: Option<Socket>,
}

impl Paths {
    /// Bytes of the longest packet that gets to `to`, as far as is known: of the link, until a router
    /// has said less.
    ///
    /// # Errors
    /// ENETUNREACH without a route, and what else the kernel says.
    pub(crate) fn mtu(&mut self, to: SocketAddrV6) -> io::Result<usize> {
        let asking = match self.asking.take() {
            Some(socket) => socket,
            None => Socket::new(Domain::IPV6, Type::DGRAM.nonblocking(), None)?,
        };
        // Looks for the route, and sends nothing (connect(2)).
        let connected = asking.connect(&to.into());
        let asking = self.asking.insert(asking);
        connected?;
        let mtu = options::get(asking, libc::IPPROTO_IPV6, libc::IPV6_MTU)?;
        usize::try_from(mtu).map_err(|_| io::ErrorKind::InvalidData.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_loopback_it_is_that_of_its_device_however_often_it_is_asked() {
        let mut paths = Paths::default();
        let to: SocketAddrV6 = "[::1]:9".parse().unwrap();
        let device = std::fs::read_to_string("/sys/class/net/lo/mtu").unwrap();
        for _ in 0..3 {
            assert_eq!(
                paths.mtu(to).unwrap(),
                device.trim().parse::<usize>().unwrap()
            );
        }
    }
}
