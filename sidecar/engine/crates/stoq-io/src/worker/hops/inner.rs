//! Connections of ours inside tunnels.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::DatagramEvent;
use rand_core::{OsRng, RngCore};
use stoq_frames::hop::Limits;
use stoq_wire::bare::{ID_LEN, is_short, long_ids};
use stoq_wire::cid::CID_LEN;
use stoq_wire::code::ConnectionCode;
use stoq_wire::frame::beside::InnerCid;
use stoq_wire::frame::hop::{Route, RouteId, packet_overhead};

use super::super::transmit::{Flush, LARGEST_SEND, SENDS};
use super::super::{Flow, PeerKey, Phase, Worker};
use super::ways::Way;
use super::{Far, Hop, Near};
use crate::counters::HopDrop;
use crate::endpoints::OpenTo;

/// Packets made at once: as many as a datagram buffer takes in a turn.
const BATCH: usize = 16;

/// How often a peer's choice among our connection IDs is followed: a server chooses once.
const MOST_CHOSEN: u8 = 16;

/// What a connection is inside of.
pub(crate) struct Inner {
    /// The flow of its tunnel; none: that is gone.
    pub(super) tunnel: Option<usize>,
    /// The gateway that its tunnel begins at.
    pub(super) gateway: SocketAddr,
    /// Gateways that the dial has failed at before.
    pub(super) tried: Vec<SocketAddr>,
    /// Whether it failed because of the way and not of its end.
    pub(super) failed: bool,
    /// Connection IDs of our side and of the peer's, as the peer's handshake has them.
    pub(super) ids: Option<(InnerCid, InnerCid)>,
    /// How often the peer has chosen another one of ours.
    chosen: u8,
    pub(super) open: OpenTo,
}

impl Worker {
    /// Puts a connection that was just dialled into a tunnel, and opens that.
    pub(in super::super) fn put_inside(
        &mut self,
        index: usize,
        address: SocketAddr,
        way: Way,
        now: Instant,
    ) {
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        let far = Far::Inner {
            index,
            serial: link.serial,
        };
        let mut id = [0; 16];
        OsRng.fill_bytes(&mut id);
        let route = Route {
            id: RouteId(id),
            position: 0,
            gateways: way.gateways,
            destination: address,
            identity: way.identity.as_str().to_owned(),
        };
        let gateway = way.first.address;
        let near = Near::Opening(PeerKey {
            address: gateway,
            expect: Some(way.first.spiffe_id),
            shadow: false,
            lane: 0,
        });
        let hop = Hop::new(near, far, route, Limits::default(), now);
        let open = self.shared.endpoints.open(gateway);
        let tunnel = self.insert_flow(Flow::Hop(Box::new(hop)), None);
        self.tunnels.inner += 1;
        if let Some(link) = self.links[index].as_mut() {
            link.inner = Some(Inner {
                tunnel: Some(tunnel),
                gateway,
                tried: way.tried,
                failed: false,
                ids: None,
                chosen: 0,
                open,
            });
        }
        self.place(tunnel, now);
    }

    /// A packet from the tunnel for the connection inside. Nothing else of ours hears of it: what is
    /// not for that connection is not from its peer, and is dropped and counted (G8).
    pub(super) fn inner_datagram(
        &mut self,
        index: usize,
        serial: u64,
        data: BytesMut,
        now: Instant,
    ) {
        let Some(link) = self.link_of(index, serial) else {
            return self.counters().hop_dropped(HopDrop::NoTunnel);
        };
        // Long headers tell the connection IDs until the handshake is over. What comes later is late, or
        // anybody's, and the two have moved on by then.
        let shaking_hands = link.phase == Phase::Handshake;
        let ids = long_ids(&data).filter(|_| shaking_hands);
        let remote = link.quic.remote_address();
        let under = data.get(1..=CID_LEN).filter(|_| is_short(&data));
        let under = under.and_then(InnerCid::new);
        let mut response = std::mem::take(&mut self.outgoing);
        response.clear();
        let event = self
            .endpoint
            .handle(now, remote, None, None, data, &mut response);
        self.outgoing = response;
        match event {
            Some(DatagramEvent::ConnectionEvent(handle, event)) if handle.0 == index => {
                if let Some(inner) = self.inner_of(index) {
                    inner.ids = ids.or(inner.ids);
                }
                self.connection_event(index, event, now);
                if let Some(cid) = under {
                    self.follow_cid(index, cid);
                }
                return;
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.endpoint.ignore(incoming),
            _ => {}
        }
        self.counters().hop_dropped(HopDrop::Foreign);
    }

    fn inner_of(&mut self, index: usize) -> Option<&mut Inner> {
        self.links.get_mut(index)?.as_mut()?.inner.as_mut()
    }

    /// The peer may choose another connection ID of ours: what goes beside the tunnel then has that one.
    fn follow_cid(&mut self, index: usize, cid: InnerCid) {
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let (Some(inner), Phase::Established) = (&mut link.inner, link.phase) else {
            return;
        };
        let (Some(tunnel), Some((ours, theirs))) = (inner.tunnel, inner.ids) else {
            return;
        };
        if ours != cid && inner.chosen < MOST_CHOSEN {
            inner.chosen += 1;
            inner.ids = Some((cid, theirs));
            self.ask_beside(tunnel, (cid, theirs));
        }
    }

    /// Lets a connection inside a tunnel send.
    pub(in super::super) fn flush_inner(&mut self, index: usize, now: Instant) -> Flush {
        let mut outgoing = std::mem::take(&mut self.outgoing);
        let mut flush = Flush::More;
        for _ in 0..SENDS {
            flush = self.send_inner(index, &mut outgoing, now);
            // Before more is made: a socket that is full then has more wait, instead of having it dropped.
            self.flush_bare();
            // What goes in a tunnel is sent by the connection around it, in its own turn.
            if !matches!(flush, Flush::More) || self.beside_of(index).is_none() {
                break;
            }
        }
        self.outgoing = outgoing;
        if let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) {
            link.active = !matches!(flush, Flush::Done);
        }
        self.arm(index);
        flush
    }

    fn send_inner(&mut self, index: usize, outgoing: &mut Vec<u8>, now: Instant) -> Flush {
        let tunnel = self.links.get(index).and_then(Option::as_ref);
        let tunnel = tunnel.and_then(|link| link.inner.as_ref()?.tunnel);
        let beside = self.beside_of(index);
        if let Some(port) = beside
            && self.ports[port].datagrams.is_blocked()
        {
            self.ports[port].starved.push(index);
            return Flush::Blocked;
        }
        let room = tunnel.map(|key| self.hop_room(key));
        let most = self.shared.settings.transport.gso_segments;
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else {
            return Flush::Done;
        };
        let mtu = usize::from(link.quic.current_mtu());
        // Without a tunnel what it says goes nowhere; it says no more than its farewell.
        let room = room.map_or(BATCH, |room| {
            room / (mtu + packet_overhead(u64::MAX >> 2, mtu))
        });
        let room = match beside {
            Some(_) => usize::from(most).min(LARGEST_SEND / (mtu + ID_LEN)),
            None => room.min(BATCH),
        };
        if let (0, Some(key)) = (room, tunnel) {
            self.wait_for_room(key);
            return Flush::Done;
        }
        let mut segments = room;
        if let Some(path) = &mut link.path {
            if !path.may_send(now, link.phase == Phase::Established) {
                return Flush::Done;
            }
            segments = segments.min(path.segments(mtu)).max(1);
        }
        outgoing.clear();
        let Some(transmit) = link.quic.poll_transmit(now, segments, outgoing) else {
            return Flush::Done;
        };
        if let Some(path) = &mut link.path {
            path.sent(now, transmit.size as u64);
        }
        let packet = transmit.segment_size.unwrap_or(transmit.size).max(1);
        let packets = outgoing[..transmit.size].chunks(packet);
        match tunnel {
            Some(key) => packets.for_each(|packet| self.hop_send(key, packet, now)),
            None => self
                .counters()
                .hops_dropped(HopDrop::NoTunnel, packets.len()),
        }
        Flush::More
    }

    /// The socket by which a connection's packets leave beside its tunnel, if they do now.
    fn beside_of(&self, index: usize) -> Option<usize> {
        let link = self.links.get(index)?.as_ref()?;
        let longest = usize::from(link.quic.current_mtu());
        self.beside_port(link.inner.as_ref()?.tunnel?, longest)
    }

    /// A connection is forgotten: its tunnel ends.
    pub(in super::super) fn leave_tunnel(&mut self, inner: &Inner, now: Instant) {
        if let Some(key) = inner.tunnel {
            self.finish_hop(key, now);
        }
    }

    /// Says farewell on connections inside tunnels, before the connections around them end.
    pub(in super::super) fn end_inner(&mut self, code: ConnectionCode, now: Instant) {
        for index in 0..self.links.len() {
            let link = self.links[index].as_ref();
            if link.is_some_and(|link| link.inner.is_some()) {
                self.close(index, code, "shutting down", now);
                self.flush_inner(index, now);
            }
        }
        self.transmit(now);
    }
}
