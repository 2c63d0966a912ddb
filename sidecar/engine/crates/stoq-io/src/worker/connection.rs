//! One QUIC connection of a worker.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_proto::{Connection, Dir, StreamId, VarInt};
use stoq_core::session::{Evidence, Packets};
use stoq_frames::token::TokenKeys;

use super::hops::Inner;
use super::objects::LinkSignatures;
use super::path::Path;
use super::peers::PeerKey;
use super::proofs::Proofs;
use super::timers::Timer;
use crate::qlog::Recording;

/// How a connection came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// We dialled.
    Dialled(PeerKey),
    /// A peer dialled the mesh's listener.
    Mesh,
    /// Somebody, perhaps without a certificate, dialled the bootstrap listener.
    Bootstrap,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Handshake,
    Established,
    /// Closed or lost; waits for quinn-proto to forget it.
    Gone,
}

/// A connection and what the worker knows about it.
pub(crate) struct Link {
    pub(crate) quic: Connection,
    pub(crate) origin: Origin,
    pub(crate) phase: Phase,
    /// Index of the socket it uses.
    pub(crate) port: usize,
    pub(crate) serial: u64,
    /// The flow of each stream.
    streams: HashMap<StreamId, usize>,
    /// The stream last looked up: packets of one stream come in runs.
    last: Option<(StreamId, usize)>,
    /// Whether it is in the list of connections to look after in this turn.
    pub(crate) active: bool,
    /// The entry in the worker's timers.
    pub(crate) armed: Option<Instant>,
    /// Its other entries there, to be taken out with it; those that fired may linger.
    pub(crate) timers: Vec<(Instant, Timer)>,
    pub(crate) evidence: Option<Arc<Evidence>>,
    /// What is at the end of its packets; none where nothing is.
    pub(crate) packets: Option<Arc<Packets>>,
    /// Keys of tokens on streams, once a stream has had any.
    pub(crate) token_keys: Option<TokenKeys>,
    pub(crate) started: Instant,
    pub(crate) established: Option<Instant>,
    /// The round trip as known when the handshake was complete.
    pub(crate) first_rtt: Duration,
    /// Since when it has carried no stream.
    pub(crate) idle_since: Option<Instant>,
    /// Whether a timer watches `idle_since`.
    pub(crate) idle_watched: bool,
    /// Handshake datagrams of it that wait for CPU time.
    pub(crate) queued_steps: usize,
    /// Why the kernel last refused a datagram.
    pub(crate) refused: Option<String>,
    /// Adaptation to its path; none: it is off.
    pub(crate) path: Option<Path>,
    /// Its qlog file, for events of ours; none: it is not recorded.
    pub(crate) recording: Option<Recording>,
    /// Bytes by which its receive window exceeds the configured one, or the adapted one.
    pub(crate) extra_window: u64,
    /// Number of our identity that its peer knows; an older one may be in its place.
    pub(crate) identity: u64,
    /// Re-authentications on it.
    pub(crate) proofs: Proofs,
    /// What it has brought of them.
    pub(crate) signatures: LinkSignatures,
    /// When the peer's certificate is looked at again.
    pub(crate) expiry: Option<Instant>,
    /// When the peer was last heard of.
    pub(crate) heard: Instant,
    /// Whether a timer waits for the peer to say something.
    pub(crate) silence_watched: bool,
    /// Whether the peer did not answer when it should have: no new flows go here.
    pub(crate) suspect: bool,
    /// Whether the peer allows no further stream for now.
    pub(crate) exhausted: bool,
    /// Streams of the peer's taken so far: the index of the next.
    pub(crate) accepted_streams: u64,
    /// Datagrams whose stream, with its head and what it begins with, has not come yet.
    pub(crate) early: VecDeque<(StreamId, Bytes)>,
    /// Bytes of captured datagrams that its streams have brought a part of.
    pub(crate) partial_udp: usize,
    /// What it is inside of; none: it goes by its socket.
    pub(crate) inner: Option<Inner>,
    /// Tunnels on it that wait until it takes more datagrams.
    pub(crate) full_tunnels: Vec<usize>,
    /// Streams opened or accepted so far.
    pub(crate) total_streams: u64,
}

impl Link {
    pub(crate) fn new(
        quic: Connection,
        origin: Origin,
        port: usize,
        serial: u64,
        now: Instant,
    ) -> Self {
        Self {
            quic,
            origin,
            phase: Phase::Handshake,
            port,
            serial,
            streams: HashMap::new(),
            last: None,
            active: false,
            armed: None,
            timers: Vec::new(),
            evidence: None,
            packets: None,
            token_keys: None,
            started: now,
            established: None,
            first_rtt: Duration::ZERO,
            idle_since: Some(now),
            idle_watched: false,
            queued_steps: 0,
            refused: None,
            path: None,
            recording: None,
            extra_window: 0,
            identity: 0,
            proofs: Proofs::new(now),
            signatures: LinkSignatures::default(),
            expiry: None,
            heard: now,
            silence_watched: false,
            suspect: false,
            exhausted: false,
            accepted_streams: 0,
            early: VecDeque::new(),
            partial_udp: 0,
            inner: None,
            full_tunnels: Vec::new(),
            total_streams: 0,
        }
    }

    /// The flow that a stream carries.
    pub(crate) fn flow_of(&mut self, stream: StreamId) -> Option<usize> {
        if let Some((id, key)) = self.last
            && id == stream
        {
            return Some(key);
        }
        let key = *self.streams.get(&stream)?;
        self.last = Some((stream, key));
        Some(key)
    }

    /// Binds a stream to its flow.
    pub(crate) fn attach(&mut self, stream: StreamId, key: usize) {
        self.streams.insert(stream, key);
        self.idle_since = None;
        self.total_streams += 1;
    }

    /// The stream's flow is gone.
    pub(crate) fn detach(&mut self, stream: StreamId, now: Instant) {
        self.streams.remove(&stream);
        if self.last.is_some_and(|(id, _)| id == stream) {
            self.last = None;
        }
        if self.streams.is_empty() {
            self.idle_since = Some(now);
            // Hash maps keep the room of their busiest time.
            self.streams = HashMap::new();
        }
    }

    /// How many streams have a flow.
    pub(crate) fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// The flows of every stream.
    pub(crate) fn flows(&self) -> Vec<usize> {
        self.streams.values().copied().collect()
    }

    /// Lets the peer open twice as many streams when it uses half of what it may, up
    /// to `most`: quinn-proto allocates for every allowed stream in advance.
    pub(crate) fn grow_stream_limit(&mut self, most: u32) {
        let allowed = self.quic.max_concurrent_streams(Dir::Bi);
        if allowed >= u64::from(most) {
            return;
        }
        if self.quic.streams().remote_open_streams(Dir::Bi) * 2 > allowed {
            let wanted = (allowed * 2).min(u64::from(most));
            if let Ok(count) = VarInt::from_u64(wanted) {
                self.quic.set_max_concurrent_streams(Dir::Bi, count);
            }
        }
    }
}
