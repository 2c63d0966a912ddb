//! Captured UDP: datagrams of the pod's applications and for them.
//!
//! A flow is a pair of addresses. Towards a workload of the mesh it is a stream, which announces it
//! and ends with it, and QUIC datagrams; towards anybody else its datagrams leave as the
//! application sent them, if that is allowed. Everything enters the pod as a whole packet on its
//! loopback device, so the application sees the addresses it expects.

mod captured;
mod opened;
mod plain;
mod received;
mod sent;
mod unsent;

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use quinn_proto::StreamId;
use stoq_core::udp::packet::Fragments;
use stoq_core::udp::{Flows, Idle, Pair, Patience};

use self::unsent::Unsent;
use super::peers::PeerKey;
use crate::settings::UdpSettings;
use crate::socket::capture::CaptureSocket;
use crate::socket::paths::Paths;

/// Bytes that one flow may have waiting: for its connection, or on its stream.
const WAITING: usize = 256 * 1024;

/// The same, of all flows of a worker.
const ALL_WAITING: usize = 16 << 20;

/// Bytes of messages that are not whole yet, of all flows of a connection: what a peer has a worker keep by
/// beginning messages and not ending them.
const PARTIAL: usize = 4 << 20;

/// What one waiting datagram counts for beside its payload.
const ENTRY: usize = 64;

/// Bytes of a payload that goes to any address of IPv6 in one packet: its least MTU (RFC 8200, 5) less the
/// headers.
const EVERYWHERE: usize = 1280 - 40 - 8;

/// A worker's part of captured UDP.
pub(crate) struct Udp {
    pub(crate) socket: CaptureSocket,
    pub(crate) flows: Flows,
    pub(crate) patience: Patience,
    /// Whether the socket may have datagrams.
    pub(crate) readable: bool,
    /// Bytes that flows have waiting.
    held: usize,
    paths: Paths,
}

impl Udp {
    pub(crate) fn new(socket: CaptureSocket, settings: &UdpSettings) -> Self {
        Self {
            socket,
            flows: Flows::new(settings.limits()),
            patience: settings.patience(),
            readable: true,
            held: 0,
            paths: Paths::default(),
        }
    }

    /// In what packets a datagram leaves for `to`, over a link of `mtu` bytes; `whole` says that nobody may
    /// divide it. In IPv6 that is the sender's task alone, and the application's kernel has left it to us.
    fn fragments(&mut self, to: SocketAddr, sent: &Sent, whole: bool, mtu: usize) -> Fragments {
        match to {
            SocketAddr::V4(_) if whole => Fragments::Never,
            SocketAddr::V6(to) if sent.payload.len() > EVERYWHERE => {
                let known = self.paths.mtu(to).unwrap_or(mtu);
                Fragments::Above(known.min(mtu))
            }
            _ => Fragments::Above(mtu),
        }
    }
}

/// How a flow's datagrams go on.
#[derive(Debug)]
pub(crate) enum Way {
    /// It waits for a connection to its peer.
    Opening(PeerKey),
    /// By this stream and its connection.
    Mesh(StreamId),
    /// In plaintext to this address, which is not the one dialled when that is a service's.
    Plain(SocketAddr),
}

/// A flow of captured UDP.
#[derive(Debug)]
pub(crate) struct UdpFlow {
    pub(crate) pair: Pair,
    pub(crate) way: Way,
    idle: Idle,
    /// Waits for a connection.
    waiting: VecDeque<Sent>,
    /// Waits until the stream takes it.
    unsent: Unsent,
    /// Bytes of both.
    held: usize,
    /// The beginning of a message from the stream.
    partial: BytesMut,
    /// Bytes of it that its connection counts.
    counted: usize,
    /// Bytes of payload to the other end and from it.
    pub(crate) moved: (u64, u64),
}

impl UdpFlow {
    fn new(pair: Pair, way: Way, now: std::time::Instant) -> Self {
        Self {
            pair,
            way,
            idle: Idle::new(now),
            waiting: VecDeque::new(),
            unsent: Unsent::default(),
            held: 0,
            partial: BytesMut::new(),
            counted: 0,
            moved: (0, 0),
        }
    }

    /// Whether so many bytes more may wait, and counts them.
    fn hold(&mut self, bytes: usize, udp: &mut Udp) -> bool {
        let admitted = self.held + bytes <= WAITING && udp.held + bytes <= ALL_WAITING;
        if admitted {
            self.held += bytes;
            udp.held += bytes;
        }
        admitted
    }

    /// So many bytes no longer wait.
    fn release(&mut self, bytes: usize, udp: &mut Udp) {
        self.held = self.held.saturating_sub(bytes);
        udp.held = udp.held.saturating_sub(bytes);
    }

    /// Its stream, if it has one.
    pub(crate) fn stream(&self) -> Option<StreamId> {
        match self.way {
            Way::Mesh(stream) => Some(stream),
            _ => None,
        }
    }

    /// The pairs by which datagrams find it: that of the application, and that of the network
    /// where a service's address stands between.
    fn pairs(&self) -> [Pair; 2] {
        let remote = match self.way {
            Way::Plain(to) => to,
            _ => self.pair.remote,
        };
        [
            self.pair,
            Pair {
                remote,
                ..self.pair
            },
        ]
    }
}

/// A datagram that an application has sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) payload: Bytes,
    /// Whether it may not be divided on the way.
    pub(crate) whole: bool,
}

/// A datagram on its way to the worker that has its flow.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) pair: Pair,
    pub(crate) sent: Sent,
    /// Whether the application sent it.
    pub(crate) from_app: bool,
}
