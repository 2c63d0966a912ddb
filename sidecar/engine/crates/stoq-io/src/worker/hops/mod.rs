//! Hops (`docs/wire-format.md`, section 14): connections inside others, and routes of peers that this
//! endpoint forwards as a gateway.
//!
//! A tunnel is a stream of kind 3 and the datagrams beside it. At its near side is the peer of its
//! connection; at its far side what the packets are for: a connection of ours inside it ([`inner`]), or,
//! at a gateway ([`admitted`]), the socket that leads to the workload, or the tunnel to the next
//! gateway. [`moved`] carries packets from one side to the other and can read none of them; [`ways`] says
//! over which gateways a peer is dialled, and [`proof`] who began a route. Short headers of a connection
//! inside may go past the encryption of the one around it: [`beside`] agrees on that, [`bare`] does it.

mod admitted;
mod bare;
mod batch;
mod beside;
mod inner;
mod moved;
mod opened;
mod proof;
mod run;
mod ways;
mod workload;

use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::StreamId;
use stoq_core::authorise::Peer;
use stoq_frames::hop::{Limits, Tunnel};
use stoq_wire::frame::hop::Route;

use super::PeerKey;
use super::objects::Frames;

use bare::BarePackets;
pub(crate) use bare::Mark;
use beside::BesideTunnel;
pub(crate) use inner::Inner;
pub(crate) use proof::Proof;
use workload::Workload;

/// A worker's tunnels.
#[derive(Debug)]
pub(super) struct Tunnels {
    /// Those with a connection of ours inside.
    inner: usize,
    /// Those at whose end or middle we are a gateway.
    routes: usize,
    /// What goes beside them.
    bare: BarePackets,
}

impl Tunnels {
    pub(super) fn new(mark: Mark) -> Self {
        Self {
            inner: 0,
            routes: 0,
            bare: BarePackets::new(mark),
        }
    }

    /// Tunnels with a connection of ours inside: no work of their own.
    pub(super) fn inner(&self) -> usize {
        self.inner
    }

    /// All of them.
    pub(super) fn count(&self) -> usize {
        self.inner + self.routes
    }

    /// Routes that are forwarded.
    pub(super) fn routes(&self) -> usize {
        self.routes
    }
}

/// The near side of a tunnel.
enum Near {
    /// It waits for a connection to a gateway.
    Opening(PeerKey),
    /// By this stream, and datagrams that name it; what comes on it is in the frames.
    Open(StreamId, Frames),
}

/// The far side.
enum Far {
    /// A connection of ours inside the tunnel.
    Inner { index: usize, serial: u64 },
    /// The workload at the end, by a socket that takes nothing from anybody else.
    Workload(Box<Workload>),
    /// The tunnel to the next gateway, or from there back to who asked: another flow.
    Tunnel { key: usize, serial: u64 },
}

/// A tunnel.
pub(crate) struct Hop {
    near: Near,
    far: Far,
    route: Route,
    /// Whether it was admitted here: the forwarder knows its route, and its time is watched.
    admitted: bool,
    /// Who began it, at a gateway where that is proven.
    origin: Option<Peer>,
    /// What goes before the route on a tunnel that we open for somebody else.
    proof: Proof,
    /// What goes beside it.
    beside: Option<Box<BesideTunnel>>,
    /// Packets for the near side that wait for room.
    queue: Tunnel,
    /// Frames for the stream.
    unsent: BytesMut,
    /// Most bytes of those.
    most: usize,
}

impl Hop {
    fn new(near: Near, far: Far, route: Route, limits: Limits, now: Instant) -> Self {
        Self {
            near,
            far,
            route,
            admitted: false,
            origin: None,
            proof: Proof::default(),
            beside: None,
            queue: Tunnel::new(limits, now),
            unsent: BytesMut::new(),
            most: limits.bytes,
        }
    }

    /// Its stream, if it has one.
    pub(crate) fn stream(&self) -> Option<StreamId> {
        match &self.near {
            Near::Open(stream, _) => Some(*stream),
            Near::Opening(_) => None,
        }
    }

    /// The gateway that it waits for a connection to.
    pub(crate) fn awaits(&self) -> Option<&PeerKey> {
        match &self.near {
            Near::Opening(peer) => Some(peer),
            Near::Open(..) => None,
        }
    }

    /// What the kernel says about its socket.
    pub(crate) fn note(&mut self, event: &mio::event::Event) {
        if let Far::Workload(workload) = &mut self.far {
            workload.readable |= event.is_readable();
            if event.is_writable() {
                workload.socket.retry();
            }
        }
    }
}

impl std::fmt::Debug for Hop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hop")
            .field("route", &self.route)
            .field("stream", &self.stream())
            .finish_non_exhaustive()
    }
}
