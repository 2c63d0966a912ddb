//! Connections of ours inside tunnels.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::DatagramEvent;
use rand_core::{OsRng, RngCore};
use stoq_frames::hop::Limits;
use stoq_wire::code::ConnectionCode;
use stoq_wire::frame::hop::{Route, RouteId, packet_overhead};

use super::super::transmit::Flush;
use super::super::{Flow, PeerKey, Phase, Worker};
use super::ways::Way;
use super::{Far, Hop, Near};
use crate::endpoints::OpenTo;

/// Packets made at once: as many as a datagram buffer takes in a turn.
const BATCH: usize = 16;

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
                open,
            });
        }
        self.place(tunnel, now);
    }

    /// A packet from the tunnel for the connection inside. Nothing else of ours hears of it: what is
    /// not for that connection is not from its peer.
    pub(super) fn inner_datagram(
        &mut self,
        index: usize,
        serial: u64,
        packet: &[u8],
        now: Instant,
    ) {
        let Some(link) = self.link_of(index, serial) else {
            return;
        };
        let remote = link.quic.remote_address();
        let mut response = std::mem::take(&mut self.outgoing);
        response.clear();
        let data = BytesMut::from(packet);
        let event = self
            .endpoint
            .handle(now, remote, None, None, data, &mut response);
        self.outgoing = response;
        match event {
            Some(DatagramEvent::ConnectionEvent(handle, event)) if handle.0 == index => {
                self.connection_event(index, event, now);
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.endpoint.ignore(incoming),
            _ => {}
        }
    }

    /// Lets a connection inside a tunnel send.
    pub(in super::super) fn flush_inner(&mut self, index: usize, now: Instant) -> Flush {
        let mut outgoing = std::mem::take(&mut self.outgoing);
        let flush = self.send_inner(index, &mut outgoing, now);
        self.outgoing = outgoing;
        if let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) {
            link.active = matches!(flush, Flush::More);
        }
        self.arm(index);
        flush
    }

    fn send_inner(&mut self, index: usize, outgoing: &mut Vec<u8>, now: Instant) -> Flush {
        let tunnel = self.links.get(index).and_then(Option::as_ref);
        let tunnel = tunnel.and_then(|link| link.inner.as_ref()?.tunnel);
        let room = tunnel.map(|key| self.hop_room(key));
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else {
            return Flush::Done;
        };
        let mtu = usize::from(link.quic.current_mtu());
        // Without a tunnel what it says goes nowhere; it says no more than its farewell.
        let room = room.map_or(BATCH, |room| {
            room / (mtu + packet_overhead(u64::MAX >> 2, mtu))
        });
        if let (0, Some(key)) = (room, tunnel) {
            self.wait_for_room(key);
            return Flush::Done;
        }
        let mut segments = room.min(BATCH);
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
        if let Some(key) = tunnel {
            for packet in outgoing[..transmit.size].chunks(packet) {
                self.hop_send(key, packet, now);
            }
        }
        Flush::More
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
