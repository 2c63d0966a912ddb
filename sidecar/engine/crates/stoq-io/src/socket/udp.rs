//! UDP towards peers: one socket with quinn-udp's batching, and the datagram the
//! kernel would not take yet.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};

use quinn_proto::{EcnCodepoint, Transmit};
use quinn_udp::{RecvMeta, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

/// Receive buffer asked for; the kernel caps it at `net.core.rmem_max`.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Send buffer asked for: some GSO batches, so that a full queue is noticed early.
const SEND_BUFFER: usize = 1 << 20;

/// What became of a datagram.
#[derive(Debug)]
pub(crate) enum Sent {
    /// The kernel has it.
    Done,
    /// The socket's buffer is full; wait until it is writable.
    Blocked,
    /// The kernel refused it. QUIC treats it as lost; the reason is worth telling.
    Refused(io::Error),
}

/// What one read brought: `length` bytes, datagrams of `stride` bytes each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    pub(crate) remote: SocketAddr,
    pub(crate) local_ip: Option<IpAddr>,
    pub(crate) ecn: Option<EcnCodepoint>,
    pub(crate) length: usize,
    pub(crate) stride: usize,
}

/// A UDP socket of one worker.
pub(crate) struct Datagrams {
    socket: UdpSocket,
    state: UdpSocketState,
    blocked: Option<(Transmit, Vec<u8>)>,
    v6: bool,
}

impl Datagrams {
    pub(crate) fn new(socket: Socket) -> io::Result<Self> {
        let socket = UdpSocket::from(socket);
        let state = UdpSocketState::new((&socket).into())?;
        // Smaller buffers than asked for are not an error: loss is counted, and
        // docs/operations.md says which sysctl raises the cap.
        let _ = state.set_recv_buffer_size((&socket).into(), RECEIVE_BUFFER);
        let _ = state.set_send_buffer_size((&socket).into(), SEND_BUFFER);
        let v6 = socket.local_addr()?.is_ipv6();
        Ok(Self {
            socket,
            state,
            blocked: None,
            v6,
        })
    }

    /// A socket to dial from: IPv6 with IPv4 mapped, or IPv4 where there is no IPv6.
    pub(crate) fn for_dialling(ipv6_only: bool) -> io::Result<Self> {
        let bind = |domain, address: SocketAddr| -> io::Result<Socket> {
            let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
            if domain == Domain::IPV6 {
                socket.set_only_v6(ipv6_only)?;
            }
            socket.bind(&address.into())?;
            Ok(socket)
        };
        let socket = match bind(Domain::IPV6, (Ipv6Addr::UNSPECIFIED, 0).into()) {
            Err(_) if !ipv6_only => bind(Domain::IPV4, (Ipv4Addr::UNSPECIFIED, 0).into()),
            result => result,
        }?;
        Self::new(socket)
    }

    /// A socket for one peer: the kernel takes nothing for it from anybody else.
    pub(crate) fn connected(peer: SocketAddr) -> io::Result<Self> {
        let domain = Domain::for_address(peer);
        let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        socket.connect(&peer.into())?;
        Self::new(socket)
    }

    pub(crate) fn raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// The port that it is bound to.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn port(&self) -> io::Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    pub(crate) fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    /// Datagrams the kernel takes in one send; 1 when it does no segmentation.
    pub(crate) fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Whether a datagram waits for the socket to become writable.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// One read into `space`; `None` when there is nothing more.
    pub(crate) fn receive(&self, space: &mut [u8]) -> io::Result<Option<Received>> {
        let mut meta = [RecvMeta::default()];
        let mut slices = [IoSliceMut::new(space)];
        match self
            .state
            .recv((&self.socket).into(), &mut slices, &mut meta)
        {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        let [meta] = meta;
        Ok(Some(Received {
            remote: canonical(meta.addr),
            local_ip: meta.dst_ip.map(|ip| ip.to_canonical()),
            ecn: meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8)),
            length: meta.len,
            stride: meta.stride,
        }))
    }

    /// Sends `contents`, which `transmit` describes. When the kernel's buffer is full
    /// the bytes are kept, `contents` is left with another buffer, and nothing else
    /// can be sent until [`Datagrams::retry`] says so.
    pub(crate) fn send(&mut self, transmit: Transmit, contents: &mut Vec<u8>) -> Sent {
        debug_assert!(self.blocked.is_none());
        let sent = self.attempt(&transmit, &contents[..transmit.size]);
        if matches!(sent, Sent::Blocked) {
            self.blocked = Some((transmit, std::mem::take(contents)));
        }
        sent
    }

    /// Tries the waiting datagram again; `true` when none waits any more.
    pub(crate) fn retry(&mut self) -> bool {
        let Some((transmit, contents)) = self.blocked.take() else {
            return true;
        };
        if matches!(
            self.attempt(&transmit, &contents[..transmit.size]),
            Sent::Blocked
        ) {
            self.blocked = Some((transmit, contents));
            return false;
        }
        true
    }

    fn attempt(&self, transmit: &Transmit, contents: &[u8]) -> Sent {
        let datagram = quinn_udp::Transmit {
            destination: self.mapped(transmit.destination),
            ecn: transmit
                .ecn
                .and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8)),
            contents,
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        };
        match self.state.try_send((&self.socket).into(), &datagram) {
            Ok(()) => Sent::Done,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Sent::Blocked,
            Err(error) => Sent::Refused(error),
        }
    }

    /// An IPv6 socket reaches IPv4 peers by their mapped address.
    fn mapped(&self, destination: SocketAddr) -> SocketAddr {
        match destination {
            SocketAddr::V4(v4) if self.v6 => {
                SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port()))
            }
            other => other,
        }
    }
}

/// An IPv4-mapped address as the IPv4 address it stands for: the rest of the engine
/// compares addresses, and knows one form of each.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::from((v4, v6.port())),
            // The flow label varies between packets of one peer.
            None => SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id()).into(),
        },
        v4 => v4,
    }
}
