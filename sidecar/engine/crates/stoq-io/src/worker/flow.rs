//! Everything that moves bytes through a worker, by phase.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use mio::net::TcpStream;
use quinn_proto::StreamId;
use stoq_wire::head::FlowId;

use super::failover::Trial;
use super::hops::Hop;
use super::mirrors::{Mirror, MirrorWay};
use super::objects::{FrameStream, Lane, LanePlace};
use super::peers::PeerKey;
use super::stripes::{LaneTo, StripeLane};
use super::udp::{UdpFlow, Way};
use crate::api::Link;
use crate::counters::{FlowCounters, Party, SecurityPolicy, Suite};
use crate::objects::Asked;
use crate::relay::pipe::Pipe;
use crate::relay::stream::StreamRelay;
use crate::relay::stripe::StripeRelay;
use crate::relay::up::Said;

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) tcp: TcpStream,
    /// What was read of it already.
    pub(crate) said: Said,
    /// The endpoints it is tried at, when it goes to a service.
    pub(crate) trial: Option<Box<Trial>>,
}

impl From<TcpStream> for Client {
    fn from(tcp: TcpStream) -> Self {
        Self {
            tcp,
            said: Said::default(),
            trial: None,
        }
    }
}

/// A captured connection that is to be relayed over STOQ.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) client: Client,
    pub(crate) peer: PeerKey,
    pub(crate) info: FlowInfo,
    /// Lanes that it may have; below 2 it has none.
    pub(crate) lanes: u8,
}

/// Who initiated a flow, seen from this pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// An application of this pod dialled.
    Outbound,
    /// Somebody dialled an application of this pod.
    Inbound,
}

/// What is known about a relayed connection, for counters and the access log.
#[derive(Debug, Clone)]
pub(crate) struct FlowInfo {
    pub(crate) direction: Direction,
    pub(crate) flow: FlowId,
    /// The client's address.
    pub(crate) source: SocketAddr,
    /// Where the connection goes, after virtual addresses were translated.
    pub(crate) destination: SocketAddr,
    /// The other end, where the registry knows it; its SPIFFE id once proven.
    pub(crate) peer: Party,
    /// Name and namespace of the service that was dialled, if it was one.
    pub(crate) service: Option<(Arc<str>, Arc<str>)>,
    pub(crate) policy: SecurityPolicy,
    /// What protects it; none for plaintext.
    pub(crate) suite: Option<Suite>,
    pub(crate) started: Instant,
    /// Its counters, once it has begun.
    pub(crate) counters: Option<Arc<FlowCounters>>,
    /// Bytes counted so far, sent and received.
    pub(crate) moved: (u64, u64),
}

/// A flow's phase.
#[derive(Debug)]
pub(crate) enum Flow {
    /// A captured connection waits for a connection to its peer.
    Waiting(Box<Captured>),
    /// A stream from a peer whose head has not arrived whole.
    Head { stream: StreamId, seen: Vec<u8> },
    /// The application is being connected for a stream from a peer.
    Connecting(Box<StreamRelay>),
    /// A relay at work.
    Relay(Box<StreamRelay>),
    /// Plaintext: two TCP connections.
    Pipe(Box<Pipe>),
    /// A flow over several lanes, with the first: its application is being connected, or it is at
    /// work.
    Stripe(Box<StripeRelay>),
    /// A further lane waits for a connection to its peer.
    StripeWaiting(Box<LaneTo>),
    /// A further lane at work.
    StripeLane(Box<StripeLane>),
    /// Captured UDP.
    Udp(Box<UdpFlow>),
    /// An API stream that waits for a connection to its peer.
    ApiWaiting { link: Arc<Link>, peer: PeerKey },
    /// An API stream at work.
    Api(ApiStream),
    /// A stream from a peer that brings frames.
    Frames(Box<FrameStream>),
    /// An object is asked for, and waits for a connection to its peer.
    Asking(Box<Asked>),
    /// A copy of a flow, on its way to a shadow.
    Mirror(Box<Mirror>),
    /// A lane of an object waits for a connection to its peer.
    LaneWaiting(LanePlace),
    /// A lane of an object that is sent.
    Lane(Box<Lane>),
    /// A tunnel: its stream, or a stream that it waits for.
    Hop(Box<Hop>),
    /// Our renewed identity on its way to a peer; `pending` is not sent yet.
    Proof { stream: StreamId, pending: Bytes },
    /// A peer's control message that has not arrived whole.
    Control { stream: StreamId, seen: Vec<u8> },
}

impl Flow {
    /// Whether it is between an application that is connected and a peer.
    pub(crate) fn is_relayed(&self) -> bool {
        match self {
            Self::Relay(_) => true,
            Self::Stripe(relay) => !relay.connecting,
            _ => false,
        }
    }
}

/// An API stream on its connection.
#[derive(Debug)]
pub(crate) struct ApiStream {
    pub(crate) link: Arc<Link>,
    pub(crate) stream: StreamId,
    pub(crate) pending: Bytes,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) send_ended: bool,
    pub(crate) receive_ended: bool,
}

/// A flow in the worker's slab.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) flow: Flow,
    /// The STOQ connection that carries it, once there is one.
    pub(crate) connection: Option<usize>,
    pub(crate) info: Option<Box<FlowInfo>>,
    /// The endpoints it is tried at, when it goes to a service.
    pub(crate) trial: Option<Box<Trial>>,
    /// Tells this flow from an earlier one of the same key.
    pub(crate) serial: u64,
    /// Whether it is in the list of flows to run.
    pub(crate) queued: bool,
    /// When its opening phase must be over.
    pub(crate) deadline: Option<Instant>,
}

impl Slot {
    /// The peer that the flow waits for a connection to.
    pub(crate) fn awaits(&self) -> Option<&PeerKey> {
        match &self.flow {
            Flow::Waiting(captured) => Some(&captured.peer),
            Flow::StripeWaiting(place) => Some(&place.peer),
            Flow::ApiWaiting { peer, .. } => Some(peer),
            Flow::LaneWaiting(lane) => Some(&lane.peer),
            Flow::Asking(asked) => Some(&asked.peer),
            Flow::Mirror(mirror) if mirror.way == MirrorWay::Waiting => Some(&mirror.peer),
            Flow::Udp(flow) => match &flow.way {
                Way::Opening(peer) => Some(peer),
                _ => None,
            },
            Flow::Hop(hop) => hop.awaits(),
            _ => None,
        }
    }

    /// The stream that carries the flow, if it has one.
    pub(crate) fn stream(&self) -> Option<StreamId> {
        match &self.flow {
            Flow::Head { stream, .. }
            | Flow::Proof { stream, .. }
            | Flow::Control { stream, .. } => Some(*stream),
            Flow::Connecting(relay) | Flow::Relay(relay) => Some(relay.stream),
            Flow::Stripe(relay) => Some(relay.lane.stream),
            Flow::StripeLane(one) => Some(one.lane.stream),
            Flow::Api(api) => Some(api.stream),
            Flow::Udp(flow) => flow.stream(),
            Flow::Frames(frames) => Some(frames.stream),
            Flow::Lane(lane) => Some(lane.stream),
            Flow::Hop(hop) => hop.stream(),
            Flow::Mirror(mirror) => match mirror.way {
                MirrorWay::Open(stream) => Some(stream),
                MirrorWay::New | MirrorWay::Waiting => None,
            },
            Flow::Waiting(_)
            | Flow::Pipe(_)
            | Flow::ApiWaiting { .. }
            | Flow::LaneWaiting(_)
            | Flow::StripeWaiting(_)
            | Flow::Asking(_) => None,
        }
    }
}
