//! Datagrams past the kernel's stack: AF_XDP beside the UDP sockets of a worker.
//!
//! A program in the kernel hands over what comes for the engine's ports; what goes is put on the link as
//! whole frames. Peers, ports and bytes are the same either way, so any datagram may go by the socket
//! instead, and does while the way past the stack is not open: the neighbour is not resolved, the rings
//! are full, the interface is down. Without capabilities: who has them lends the sockets
//! (`docs/decisions/0046-af-xdp.md`).

mod chain;
mod mapping;
mod neighbours;
mod netlink;
mod queue;
mod ring;
mod taken;
mod umem;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::Transmit;
use stoq_core::udp::frame::{self, Datagram, ETHERNET, MOST_HEADERS};

use crate::counters::{Counters, XskFallback};
use crate::pool::BlockPool;
use crate::settings::AfXdpSettings;
use chain::PARTS;
use neighbours::Neighbours;
use netlink::{Interface, Netlink};
use queue::Queue;
use taken::Taken;

/// Bytes of a chunk before a frame that comes (`XDP_PACKET_HEADROOM`).
const HEADROOM: u32 = 256;

/// How long the sockets send when the interface was found to be down.
const DOWN: Duration = Duration::from_secs(1);

/// How often the kernel is asked what it had no room for.
const ASKS: Duration = Duration::from_secs(1);

/// A worker's queues of an interface.
pub(crate) struct Xsk {
    queues: Vec<Queue>,
    interface: Interface,
    neighbours: Neighbours,
    netlink: Netlink,
    /// Chunks that a frame may take.
    parts: usize,
    taken: Arc<Taken>,
    counters: Arc<Counters>,
    down: Option<Instant>,
    /// When the kernel is asked what it dropped.
    asks: Instant,
    /// Whether a way led elsewhere, as all do when the interface is gone.
    astray: bool,
    /// Keeps the program attached.
    _program: Arc<OwnedFd>,
}

/// A datagram that has come.
pub(crate) struct Arrived {
    pub(crate) remote: SocketAddr,
    pub(crate) local: SocketAddr,
    /// The two bits of ECN.
    pub(crate) ecn: u8,
    pub(crate) data: BytesMut,
}

/// What became of frames.
pub(crate) enum Flushed {
    /// The driver has them, or takes them another time.
    Done,
    /// The interface was found to be down; for a while the sockets send.
    Down,
    /// The interface is gone, or nobody knows what happened: the sockets have everything.
    Gone(io::Error),
}

/// Takes over what was lent, and gives each of the workers, known by their counters, its share: the
/// queues go round. The sockets have everything until ports are added.
///
/// # Errors
/// What cannot be had of it, in words; then everything that was lent is given back.
pub(crate) fn adopt(
    settings: &AfXdpSettings,
    workers: &[Arc<Counters>],
    ipv6_only: bool,
) -> Result<Vec<Option<Xsk>>, String> {
    let owned =
        |fds: &[RawFd]| -> Result<Vec<OwnedFd>, String> { fds.iter().map(|fd| own(*fd)).collect() };
    let (sockets, memories) = (owned(&settings.sockets)?, owned(&settings.memories)?);
    let (program, map) = (Arc::new(own(settings.program)?), own(settings.taken)?);
    let netlink = || Netlink::open().map_err(|error| format!("netlink: {error}"));
    let mut interface = netlink()?
        .interface(&settings.interface)
        .map_err(|error| format!("{}: {error}", settings.interface))?;
    interface
        .addresses
        .retain(|address| address.is_ipv6() || !ipv6_only);
    let parts = if settings.scattered { PARTS } else { 1 };
    let room = (settings.chunk - HEADROOM).saturating_mul(parts as u32);
    let largest = interface.mtu.saturating_add(ETHERNET as u32).min(room);
    let taken = Taken::new(&map, largest, &interface.addresses);
    let taken = Arc::new(taken.map_err(|error| format!("its map: {error}"))?);
    let mut shares: Vec<Vec<Queue>> = workers.iter().map(|_| Vec::new()).collect();
    for (number, (socket, memory)) in sockets.into_iter().zip(&memories).enumerate() {
        let queue = Queue::adopt(socket, memory, settings.ring, settings.chunk, largest);
        let queue = queue.map_err(|error| format!("queue {number}: {error}"))?;
        shares[number % workers.len()].push(queue);
    }
    let mut given = Vec::new();
    for (queues, counters) in shares.into_iter().zip(workers) {
        if queues.is_empty() {
            given.push(None);
            continue;
        }
        given.push(Some(Xsk {
            queues,
            interface: interface.clone(),
            neighbours: Neighbours::default(),
            netlink: netlink()?,
            parts,
            taken: Arc::clone(&taken),
            counters: Arc::clone(counters),
            down: None,
            asks: Instant::now(),
            astray: false,
            _program: Arc::clone(&program),
        }));
    }
    Ok(given)
}

impl Xsk {
    /// The sockets to be watched, in the order of the queues.
    pub(crate) fn raw_fds(&self) -> impl Iterator<Item = RawFd> {
        self.queues.iter().map(Queue::raw_fd)
    }

    /// How many queues there are.
    pub(crate) fn queues(&self) -> usize {
        self.queues.len()
    }

    /// Has datagrams for a port come this way.
    pub(crate) fn take(&self, port: u16) {
        self.taken.add(port);
    }

    /// Whether those for a port come this way, of whichever worker it is.
    pub(crate) fn takes(&self, port: u16) -> bool {
        self.taken.has(port)
    }

    /// Whether frames may have come.
    pub(crate) fn is_readable(&self) -> bool {
        self.queues.iter().any(|queue| queue.readable)
    }

    /// Frames may have come by a queue.
    pub(crate) fn set_readable(&mut self, queue: usize) {
        self.queues[queue].readable = true;
    }

    /// The oldest datagram of a queue; none when no frame is whole, and none in it for a frame that holds
    /// no datagram. To be followed by [`Xsk::settle`].
    pub(crate) fn receive(
        &mut self,
        queue: usize,
        blocks: &mut BlockPool,
    ) -> Option<Option<Arrived>> {
        let queue = &mut self.queues[queue];
        let next = queue.next(|bytes| {
            let datagram = frame::read(bytes).ok()?;
            let length = datagram.payload.len();
            blocks.space(length)[..length].copy_from_slice(datagram.payload);
            Some(Arrived {
                remote: datagram.source,
                local: datagram.destination,
                ecn: datagram.ecn,
                data: blocks.take(length),
            })
        });
        queue.readable = next.is_some();
        Some(next?.unwrap_or_else(|why| {
            self.counters.xsk_dropped(why, 1);
            None
        }))
    }

    /// A turn of a queue is over, in which so many frames came.
    pub(crate) fn settle(&mut self, queue: usize, frames: u64, malformed: u64) {
        self.queues[queue].settle();
        self.counters.xsk_received(frames, malformed);
    }

    /// Puts what `transmit` describes on the link, from `port`; false when the socket has to send it.
    pub(crate) fn send(
        &mut self,
        port: u16,
        transmit: &Transmit,
        contents: &[u8],
        now: Instant,
    ) -> bool {
        match self.put(port, transmit, contents, now) {
            Ok(frames) => self.counters.xsk_sent(frames),
            Err(why) => {
                self.astray |= why == XskFallback::Route;
                self.counters.xsk_fell_back(why);
                return false;
            }
        }
        true
    }

    fn put(
        &mut self,
        port: u16,
        transmit: &Transmit,
        contents: &[u8],
        now: Instant,
    ) -> Result<u64, XskFallback> {
        if self.down.is_some_and(|until| now < until) {
            return Err(XskFallback::Link);
        }
        let destination = transmit.destination;
        let segment = transmit.segment_size.unwrap_or(transmit.size).max(1);
        let whole = frame::headers(destination.is_ipv6()) + segment;
        // One queue is enough to send by, and keeps the order.
        let chunks = self.queues[0].chunks(whole);
        // The socket knows what to say about it: this is how QUIC finds the path's MTU.
        if whole - ETHERNET > self.interface.mtu as usize || chunks > self.parts {
            return Err(XskFallback::Size);
        }
        let (netlink, own) = (&mut self.netlink, self.interface.index);
        let peer = destination.ip();
        let hop = self.neighbours.hop(peer, now, || netlink.way(peer, own))?;
        let source = transmit.src_ip.map_or(hop.source, |ip| ip.to_canonical());
        if !self.interface.addresses.contains(&source) {
            return Err(XskFallback::Route);
        }
        let frames = transmit.size.div_ceil(segment);
        let queue = &mut self.queues[0];
        if !queue.has_room(frames * chunks) {
            let flushed = queue.flush();
            flushed.map_err(|_| XskFallback::Link)?;
            if !queue.has_room(frames * chunks) {
                return Err(XskFallback::Ring);
            }
        }
        for payload in contents[..transmit.size].chunks(segment) {
            let datagram = Datagram {
                source: SocketAddr::new(source, port),
                destination,
                ecn: transmit.ecn.map_or(0, |ecn| ecn as u8),
                payload,
            };
            let from = self.interface.mac;
            let put = if chunks == 1 {
                queue.put(|space| frame::write(space, from, hop.mac, &datagram))
            } else {
                let mut head = [0; MOST_HEADERS];
                frame::head(&mut head, from, hop.mac, &datagram)
                    .is_some_and(|size| queue.put_scattered(&head[..size], payload))
            };
            // QUIC takes a datagram that comes twice for one.
            if !put {
                return Err(XskFallback::Size);
            }
        }
        Ok(frames as u64)
    }

    /// Sends what was put on the link in this turn.
    pub(crate) fn flush(&mut self, now: Instant) -> Flushed {
        if self.down.is_some_and(|until| now >= until) {
            self.down = None;
        }
        if now >= self.asks {
            self.asks = now + ASKS;
            for queue in &mut self.queues {
                for (why, frames) in queue.missed() {
                    self.counters.xsk_dropped(why, frames);
                }
            }
        }
        let astray = std::mem::take(&mut self.astray);
        for queue in &mut self.queues {
            let flushed = queue.flush();
            let called = if astray { queue.call() } else { Ok(()) };
            let Err(error) = flushed.and(called) else {
                continue;
            };
            if error.raw_os_error() != Some(libc::ENETDOWN) {
                return Flushed::Gone(error);
            }
            self.neighbours.clear();
            if self.down.is_none() {
                self.down = Some(now + DOWN);
                return Flushed::Down;
            }
        }
        Flushed::Done
    }
}

/// Takes over a descriptor.
fn own(fd: RawFd) -> Result<OwnedFd, String> {
    // SAFETY: no pointers; it says whether there is such a descriptor.
    if fd < 0 || unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(format!("descriptor {fd} is not open"));
    }
    // SAFETY: the settings' contract gives us the descriptor, which is open: nobody else closes or uses
    // it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
