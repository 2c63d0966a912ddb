//! Connections that an application of this pod opens.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Token};
use quinn_proto::Dir;
use rand_core::{OsRng, RngCore};
use stoq_core::table::{Outbound, Reason};
use stoq_wire::head::{FlowId, StreamKind};

use super::failover::ANSWER_TIMEOUT;
use super::labels::{encode, named, note_proven, party};
use super::observe::Outcome;
use super::peers::{Load, Placement, PoolLimits};
use super::{
    Captured, Client, Direction, FLOWS, Flow, FlowInfo, ListenerKind, PeerKey, Phase, Trial, Worker,
};
use crate::counters::{Party, ResponseFlag, SecurityPolicy};
use crate::mailbox::Command;
use crate::original_destination::original_destination;
use crate::relay::stream::StreamRelay;
use crate::relay::up::Said;
use crate::socket::tcp;
use crate::socket::udp::canonical;

/// The port that capture redirects to the outbound listener and nobody listens on:
/// connecting to it proves that capture works.
const PROBE_PORT: u16 = 14002;

/// A connection of the application that is on its way out.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) tcp: TcpStream,
    source: SocketAddr,
    /// What the application dialled.
    dialled: SocketAddr,
    /// What was read of it already.
    said: Said,
    /// Its flow's id and beginning, when it has been elsewhere.
    begun: Option<(FlowId, Instant)>,
    /// Where it has been.
    pub(super) earlier: Option<Box<Trial>>,
}

impl Outgoing {
    fn new(tcp: TcpStream, source: SocketAddr, dialled: SocketAddr) -> Self {
        Self {
            tcp,
            source,
            dialled,
            said: Said::default(),
            begun: None,
            earlier: None,
        }
    }

    /// One that failed where it was: it goes elsewhere as the same flow.
    pub(super) fn again(tcp: TcpStream, said: Said, info: &FlowInfo, trial: Box<Trial>) -> Self {
        Self {
            tcp,
            source: info.source,
            dialled: trial.dialled,
            said,
            begun: Some((info.flow, info.started)),
            earlier: Some(trial),
        }
    }
}

impl Worker {
    /// A captured connection: decides where it goes.
    pub(super) fn accept_outbound(&mut self, stream: TcpStream, source: SocketAddr, now: Instant) {
        let Ok(dialled) = dialled_address(&stream) else {
            tcp::reset_on_close(&stream);
            return;
        };
        if dialled.port() == PROBE_PORT && dialled.ip().is_loopback() {
            self.answer_probe(stream);
            return;
        }
        if self.undecided() {
            self.keep_early(ListenerKind::Outbound, stream, source, now);
            return;
        }
        let table = Arc::clone(&self.table);
        let outbound = self.decide(&table, dialled, None, now);
        self.pursue(Outgoing::new(stream, source, dialled), outbound, now);
    }

    /// Sends a connection where it was decided that it goes.
    pub(super) fn pursue(&mut self, outgoing: Outgoing, outbound: Outbound<'_>, now: Instant) {
        match outbound {
            Outbound::Mesh {
                peer,
                stoq,
                expect,
                destination,
                ..
            } => {
                let lanes = peer.lanes;
                let mut info = self.outgoing_info(&outgoing, destination, now);
                info.peer = party(peer);
                info.policy = SecurityPolicy::MutualTls;
                let peer = PeerKey {
                    address: stoq,
                    expect: Some(expect),
                    shadow: false,
                    lane: 0,
                };
                let client = self.client(outgoing, &info, true);
                let captured = Captured {
                    client,
                    peer,
                    info,
                    lanes,
                };
                self.relay_to_owner(captured, now);
            }
            Outbound::Passthrough { destination, .. } => {
                let info = self.outgoing_info(&outgoing, destination, now);
                self.counters().passed_through();
                let client = self.client(outgoing, &info, false);
                self.connect_plain(client, destination, info, now);
            }
            Outbound::Own { destination } => {
                let info = self.outgoing_info(&outgoing, destination, now);
                let client = self.client(outgoing, &info, false);
                self.connect_plain(client, destination, info, now);
            }
            Outbound::Refuse(reason) => self.refuse(outgoing.tcp, outgoing.dialled, reason),
        }
    }

    fn outgoing_info(
        &self,
        outgoing: &Outgoing,
        destination: SocketAddr,
        now: Instant,
    ) -> FlowInfo {
        let mut info = self.info(Direction::Outbound, outgoing.source, destination, now);
        info.service = self.table.service_at(outgoing.dialled.ip()).map(named);
        if let Some((flow, started)) = outgoing.begun {
            (info.flow, info.started) = (flow, started);
        }
        info
    }

    fn client(&self, outgoing: Outgoing, info: &FlowInfo, meshed: bool) -> Client {
        let trial = self.trial(outgoing.dialled, outgoing.earlier, info, meshed);
        Client {
            tcp: outgoing.tcp,
            said: outgoing.said,
            trial,
        }
    }

    pub(super) fn info(
        &self,
        direction: Direction,
        source: SocketAddr,
        destination: SocketAddr,
        now: Instant,
    ) -> FlowInfo {
        let mut flow = [0; 16];
        OsRng.fill_bytes(&mut flow);
        FlowInfo {
            direction,
            flow: FlowId(flow),
            source,
            destination,
            peer: Party::default(),
            service: None,
            policy: SecurityPolicy::Unknown,
            suite: None,
            started: now,
            counters: None,
            moved: (0, 0),
        }
    }

    /// Whether the table or the settings allow IPv6 alone and `address` is IPv4.
    pub(super) fn refuses_ipv4(&self, address: SocketAddr) -> bool {
        address.is_ipv4() && (self.shared.settings.ipv6_only || self.table.ipv6_only())
    }

    /// Resets a captured connection that the table refuses.
    pub(super) fn refuse(&mut self, stream: TcpStream, destination: SocketAddr, reason: Reason) {
        self.counters().refused(reason);
        self.turn_away(stream, destination, format_args!("{reason}"));
    }

    /// Resets a captured connection that cannot be relayed.
    pub(super) fn turn_away(
        &mut self,
        stream: TcpStream,
        destination: SocketAddr,
        why: std::fmt::Arguments<'_>,
    ) {
        self.shared
            .log
            .debug(format_args!("refused {destination}: {why}"));
        tcp::reset_on_close(&stream);
    }

    /// Proves to whoever set capture up that it leads here, and to this process.
    fn answer_probe(&mut self, mut stream: TcpStream) {
        if let Some(nonce) = self.shared.nonce {
            self.counters().capture_probed();
            // 16 bytes fit the empty buffer of a new socket.
            let _ = stream.write(&nonce);
        }
    }

    /// Hands the connection to the worker that holds the connections to its peer.
    fn relay_to_owner(&mut self, captured: Captured, now: Instant) {
        let owner = captured.peer.owner(self.shared.mailboxes.len());
        if owner == self.index {
            self.begin_relay(captured, now);
        } else {
            self.shared.mailboxes[owner].post(Command::Relay(Box::new(captured)));
        }
    }

    pub(super) fn begin_relay(&mut self, captured: Captured, now: Instant) {
        let info = captured.info.clone();
        let address = captured.peer.address;
        if self.refuses_ipv4(address) {
            self.refuse(captured.client.tcp, address, Reason::Ipv4Refused);
            return;
        }
        let mut captured = captured;
        let trial = captured.client.trial.take();
        let key = self.insert_flow(Flow::Waiting(Box::new(captured)), Some(info));
        self.flows[key].trial = trial;
        self.set_deadline(key, now + self.opening_timeout());
        self.place(key, now);
    }

    /// How long a flow may wait: for a dial, and one more after a connection that
    /// turned out to be full.
    pub(super) fn opening_timeout(&self) -> Duration {
        self.shared.settings.transport.dial_timeout() * 2 + Duration::from_secs(1)
    }

    /// Finds a connection for a waiting flow.
    pub(super) fn place(&mut self, key: usize, now: Instant) {
        let Some(peer) = self.awaited(key) else {
            return;
        };
        let pool = &self.shared.settings.pool;
        let limits = PoolLimits {
            streams: pool.streams_per_connection as usize,
            connections: pool.connections_per_peer as usize,
        };
        let limits = match &self.flows[key].flow {
            Flow::LaneWaiting(lane) => lane.limits(limits),
            _ => limits,
        };
        let placement = self.peers.place(&peer, limits, |index| self.load(index));
        match placement {
            Placement::Use(index) => self.open(key, index, now),
            Placement::Wait => self.peers.wait(&peer, key),
            Placement::Dial => {
                self.peers.wait(&peer, key);
                if let Err(error) = self.dial(&peer, now) {
                    self.connection_gone(key, &error.into(), ResponseFlag::Connect, now);
                }
            }
        }
    }

    /// Places the flows that waited for the peer of this connection.
    pub(super) fn place_waiting(&mut self, index: usize, now: Instant) {
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        link.exhausted = false;
        if let super::Origin::Dialled(peer) = link.origin.clone() {
            for key in self.peers.take_waiting(&peer) {
                self.place(key, now);
            }
        }
    }

    fn awaited(&self, key: usize) -> Option<PeerKey> {
        self.flows.get(key)?.awaits().cloned()
    }

    fn load(&self, index: usize) -> Load {
        let Some(link) = self.links.get(index).and_then(Option::as_ref) else {
            return Load::Stale;
        };
        // Another identity is ours since: the peer should see that one.
        let renewed = link.identity != self.shared.tls.identity_version();
        if link.phase != Phase::Established || link.suspect || renewed {
            return Load::Stale;
        }
        match link.exhausted {
            true => Load::Full,
            false => Load::Streams(link.stream_count()),
        }
    }

    /// Opens a stream for a waiting flow.
    fn open(&mut self, key: usize, index: usize, now: Instant) {
        if !(self.udp_possible(key, index, now)
            && self.lane_possible(key, index, now)
            && self.ask_possible(key, index, now)
            && self.mirror_possible(key, index, now)
            && self.hop_possible(key, index, now))
        {
            return;
        }
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        let Some(stream) = link.quic.streams().open(Dir::Bi) else {
            link.exhausted = true;
            self.place(key, now);
            return;
        };
        link.attach(stream, key);
        self.watch_silence(index, now);
        self.cancel_deadline(key);
        let tee = self.begin_mirrors(key, index, now);
        let striped = tee.is_none() && self.is_striped(key, index);
        let link = self.links[index].as_mut();
        let (evidence, tokens) = link.map_or((None, None), |link| {
            (link.evidence.clone(), link.stream_tokens(stream))
        });
        let slot = &mut self.flows[key];
        slot.connection = Some(index);
        if matches!(slot.flow, Flow::Udp(_)) {
            return self.begin_udp_stream(key, index, stream, now);
        }
        if matches!(slot.flow, Flow::Hop(_)) {
            return self.begin_tunnel(key, index, stream, now);
        }
        let placeholder = Flow::Head {
            stream,
            seen: Vec::new(),
        };
        match std::mem::replace(&mut slot.flow, placeholder) {
            Flow::Waiting(captured) if striped => {
                self.open_striped(key, index, stream, *captured, now);
            }
            Flow::Waiting(captured) => {
                let Captured { client, info, .. } = *captured;
                let Client { mut tcp, said, .. } = client;
                let keep = slot.trial.as_ref().is_some_and(|trial| trial.may_repeat);
                let unanswered = slot.trial.is_some();
                note_proven(slot, evidence.as_deref());
                let token = Token(FLOWS + key * 2);
                let both = Interest::READABLE | Interest::WRITABLE;
                let head = encode(StreamKind::Tcp, &info, tokens.is_some());
                let registered = self.poll.registry().register(&mut tcp, token, both);
                let relay = StreamRelay::opened(tcp, stream, head, said, keep, tokens, tee);
                slot.flow = Flow::Relay(Box::new(relay));
                self.count_opened(key);
                if unanswered {
                    self.set_deadline(key, now + ANSWER_TIMEOUT);
                }
                match registered {
                    Ok(()) => {
                        self.queue(key);
                        self.start_mirrors(key);
                    }
                    Err(error) => {
                        let code = stoq_wire::code::StreamCode::Cancelled;
                        self.end_flow(key, code, Outcome::Application(error), now);
                    }
                }
            }
            Flow::StripeWaiting(place) => self.open_stripe_lane(key, index, stream, *place, now),
            Flow::ApiWaiting { link, .. } => self.open_api(key, index, stream, link, now),
            Flow::LaneWaiting(lane) => self.open_lane(key, index, stream, &lane, now),
            Flow::Asking(asked) => self.open_ask(key, index, stream, *asked, now),
            Flow::Mirror(mirror) => self.open_mirror(key, stream, mirror, now),
            other => slot.flow = other,
        }
    }
}

/// Where a captured connection was going. One that was not redirected was going to
/// the listener itself: a virtual address bound here, or nowhere.
pub(super) fn dialled_address(stream: &TcpStream) -> std::io::Result<SocketAddr> {
    match original_destination(stream)? {
        Some(destination) => Ok(destination),
        None => stream.local_addr().map(canonical),
    }
}
