//! Raw sockets from the broker, by which datagrams enter the pod with any source and leave it with
//! the application's.
//!
//! Each is of one family and one purpose: those that inject are bound to the loopback device, and
//! capture lets those that emit send nothing but UDP from an address of the pod.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use rand_core::{OsRng, RngCore};
use socket2::{Domain, SockAddr, Socket};
use stoq_core::udp::packet::{Fragments, packets};

use super::{adopt_raw, options};
use crate::error::EngineError;
use crate::settings::EngineSettings;

/// The loopback device's largest packet, with the IPv6 header that its MTU does not stop us from.
const LOOPBACK: Fragments = Fragments::Above(65_536);

/// One purpose's sockets.
#[derive(Debug, Default)]
struct RawPair {
    v6: Option<Socket>,
    v4: Option<Socket>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct RawSockets {
    inject: RawPair,
    emit: RawPair,
    mtu: usize,
    fragment: AtomicU32,
}

impl RawPair {
    fn adopt(field: &'static str, fds: &[RawFd]) -> Result<Self, EngineError> {
        let mut pair = Self::default();
        for fd in fds {
            let socket = adopt_raw(field, *fd)?;
            let domain = socket.domain().map_err(|source| EngineError::Adopt {
                field,
                fd: *fd,
                source,
            })?;
            match domain {
                Domain::IPV6 => pair.v6 = Some(socket),
                _ => pair.v4 = Some(socket),
            }
        }
        Ok(pair)
    }

    /// Has the kernel send what the link takes, whatever it knows of the path: an application that looks
    /// whether longer packets get through than a router has let is to hear it of that router. Those that do
    /// not look are held to the path by their own sockets, and IPv6 by [`super::paths`].
    fn probing(&self, field: &'static str) -> Result<(), EngineError> {
        let v6 = (
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_PROBE,
        );
        let v4 = (
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_PROBE,
        );
        for (socket, (level, option, value)) in [(&self.v6, v6), (&self.v4, v4)] {
            if let Some(socket) = socket {
                options::set(socket, level, option, value).map_err(|source| {
                    EngineError::Adopt {
                        field,
                        fd: socket.as_raw_fd(),
                        source,
                    }
                })?;
            }
        }
        Ok(())
    }
}

impl RawSockets {
    /// Takes over what the settings name; none when UDP is not captured.
    ///
    /// # Errors
    /// [`EngineError::Adopt`] for what is no socket.
    pub(crate) fn adopt(settings: &EngineSettings) -> Result<Option<Self>, EngineError> {
        let Some(udp) = &settings.udp else {
            return Ok(None);
        };
        let emit = RawPair::adopt("udp.emit", &udp.emit)?;
        emit.probing("udp.emit")?;
        Ok(Some(Self {
            inject: RawPair::adopt("udp.inject", &udp.inject)?,
            emit,
            mtu: settings.transport.mtu.into(),
            fragment: OsRng.next_u32().into(),
        }))
    }

    /// Bytes of the longest packet of the link.
    pub(crate) const fn mtu(&self) -> usize {
        self.mtu
    }

    /// Hands a datagram to an application of this pod.
    ///
    /// # Errors
    /// EMSGSIZE for a payload that no packet carries, EAFNOSUPPORT without a socket of its family,
    /// and what the kernel says.
    pub(crate) fn inject(
        &self,
        source: SocketAddr,
        destination: SocketAddr,
        payload: &[u8],
    ) -> io::Result<()> {
        self.send(&self.inject, source, destination, payload, LOOPBACK)
    }

    /// Sends a datagram out of the pod in the application's name.
    ///
    /// # Errors
    /// As [`RawSockets::inject`]; EMSGSIZE also for what is longer than the link takes and must not be
    /// divided.
    pub(crate) fn emit(
        &self,
        source: SocketAddr,
        destination: SocketAddr,
        payload: &[u8],
        fragments: Fragments,
    ) -> io::Result<()> {
        self.send(&self.emit, source, destination, payload, fragments)
    }

    fn send(
        &self,
        pair: &RawPair,
        source: SocketAddr,
        destination: SocketAddr,
        payload: &[u8],
        fragments: Fragments,
    ) -> io::Result<()> {
        let socket = match destination {
            SocketAddr::V4(_) => pair.v4.as_ref(),
            SocketAddr::V6(_) => pair.v6.as_ref(),
        };
        let socket = socket.ok_or_else(|| io::Error::from_raw_os_error(libc::EAFNOSUPPORT))?;
        let id = self.fragment.fetch_add(1, Relaxed);
        let made = packets(source, destination, payload, fragments, id)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EMSGSIZE))?;
        // A raw socket takes no port (raw(7)); for IPv6 anything but 0 is an error.
        let to = SockAddr::from(SocketAddr::new(destination.ip(), 0));
        for packet in &made {
            socket.send_to_with_flags(packet, &to, libc::MSG_DONTWAIT)?;
        }
        Ok(())
    }
}
