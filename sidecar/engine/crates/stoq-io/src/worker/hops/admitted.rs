//! Routes that peers ask this endpoint to forward.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use mio::unix::SourceFd;
use mio::{Interest, Token};
use stoq_core::authorise::Peer;
use stoq_core::table::WayDraw;
use stoq_frames::hop::{Limits, Next};
use stoq_wire::code::StreamCode;
use stoq_wire::frame::hop::Route;

use super::super::observe::Outcome;
use super::super::{FLOWS, Flow, PeerKey, Worker};
use super::{Far, Hop, Near, Proof, Workload};
use crate::socket::udp::Datagrams;

/// Why a route is not taken: what its stream is reset with, and for a person.
pub(super) type Refused = (StreamCode, String);

impl Worker {
    /// A peer's stream has brought a route: it is a tunnel from now on, or refused.
    pub(in super::super) fn take_route(
        &mut self,
        key: usize,
        index: usize,
        route: Route,
        now: Instant,
    ) {
        self.objects.forget(key);
        self.cancel_deadline(key);
        let proof = match &mut self.flows[key].flow {
            Flow::Frames(frames) => std::mem::take(&mut frames.proof),
            _ => Proof::default(),
        };
        let admitted = self.admit(index, &route, &proof, now);
        let reached = admitted.and_then(|(next, origin, limits)| {
            let far = self.lead_on(key, (&route, proof), next, limits, now);
            if far.is_err()
                && let Some(forwarder) = &self.shared.forwarder
            {
                forwarder.close(&route.id);
            }
            Ok((far?, origin, limits))
        });
        let (far, origin, limits) = match reached {
            Ok(found) => found,
            Err((code, why)) => {
                self.counters().route_refused();
                self.counters().stream_refused(code);
                let (id, count) = (&route.identity, route.gateways.len());
                self.shared.log.debug(format_args!(
                    "refused a route to {id} over {count} gateways: {why}"
                ));
                return self.end_flow(key, code, Outcome::Refused(why), now);
            }
        };
        let placeholder = Flow::Head {
            stream: quinn_proto::StreamId::from(quinn_proto::VarInt::from_u32(0)),
            seen: Vec::new(),
        };
        let Flow::Frames(frames) = std::mem::replace(&mut self.flows[key].flow, placeholder) else {
            return;
        };
        let stream = frames.stream;
        let next = match far {
            Far::Tunnel { key, .. } => Some(key),
            _ => None,
        };
        let mut hop = Hop::new(Near::Open(stream, frames.frames), far, route, limits, now);
        hop.admitted = true;
        hop.origin = origin;
        let ends = hop.queue.ends();
        self.flows[key].flow = Flow::Hop(Box::new(hop));
        self.tunnels.routes += 1;
        self.counters().route_opened();
        self.set_deadline(key, ends);
        for packet in self.early_of(key, stream) {
            self.hop_received(key, &packet, now);
        }
        if let Some(next) = next {
            self.place(next, now);
        }
        self.queue(key);
    }

    /// Holds a route against the rules and limits of this gateway.
    fn admit(
        &self,
        index: usize,
        route: &Route,
        proof: &Proof,
        now: Instant,
    ) -> Result<(Next, Option<Peer>, Limits), Refused> {
        let no_route = |why: &str| (StreamCode::NoRoute, why.to_owned());
        let forwarder = self.shared.forwarder.as_ref();
        let forwarder = forwarder.ok_or_else(|| no_route("this endpoint is no gateway"))?;
        let here = self.shared.tls.spiffe_id();
        let here = here.ok_or_else(|| no_route("this gateway has no identity yet"))?;
        let evidence = self.links[index]
            .as_ref()
            .and_then(|link| link.evidence.as_ref());
        let peer = evidence.and_then(|evidence| evidence.peer.as_ref());
        let peer = peer.ok_or_else(|| no_route("the peer has shown no certificate"))?;
        let from = peer.spiffe.as_str();
        let origin = self.origin_of(from, route, proof, now)?;
        let begun = origin.as_ref().map(|origin| origin.spiffe.as_str());
        let next = forwarder.open(here.as_str(), from, begun, route.clone());
        let next = next.map_err(|refusal| {
            let begun = begun.unwrap_or("it is not said who");
            let text = format!("{from} asks, {begun} began it, and {refusal}");
            (refusal.code(), text)
        })?;
        Ok((next, origin, forwarder.limits()))
    }

    /// What a route leads to from here.
    fn lead_on(
        &mut self,
        key: usize,
        (route, proof): (&Route, Proof),
        next: Next,
        limits: Limits,
        now: Instant,
    ) -> Result<Far, Refused> {
        match next {
            Next::Destination { address, identity } => {
                self.lead_to_workload(key, address, &identity)
            }
            Next::Gateway {
                identity,
                route: further,
            } => {
                let table = Arc::clone(&self.table);
                let pick = self.pick();
                let draw = WayDraw {
                    pick,
                    standing: &|address| self.shared.endpoints.standing(address, now),
                    tried: &[],
                };
                let unknown = || {
                    (
                        StreamCode::NoRoute,
                        format!("no address of {identity} is known"),
                    )
                };
                let gateway = table.gateway(&identity, &draw).ok_or_else(unknown)?;
                let peer = PeerKey {
                    address: gateway.address,
                    expect: Some(gateway.spiffe_id.clone()),
                    shadow: false,
                    lane: 0,
                };
                debug_assert_eq!(further.id, route.id);
                let back = Far::Tunnel {
                    key,
                    serial: self.flows[key].serial,
                };
                let mut hop = Hop::new(Near::Opening(peer), back, further, limits, now);
                hop.proof = proof;
                let key = self.insert_flow(Flow::Hop(Box::new(hop)), None);
                self.tunnels.routes += 1;
                self.set_deadline(key, now + self.opening_timeout());
                Ok(Far::Tunnel {
                    key,
                    serial: self.flows[key].serial,
                })
            }
        }
    }

    fn lead_to_workload(
        &mut self,
        key: usize,
        address: SocketAddr,
        identity: &str,
    ) -> Result<Far, Refused> {
        if !self.table.ends_route(address, identity) {
            let why = format!("{identity} is not known to listen at {address}");
            return Err((StreamCode::Denied, why));
        }
        if self.refuses_ipv4(address) {
            let why = format!("{address} is IPv4, which is refused here");
            return Err((StreamCode::Unreachable, why));
        }
        let opened = Datagrams::connected(address).and_then(|socket| {
            let token = Token(FLOWS + key * 2);
            let both = Interest::READABLE | Interest::WRITABLE;
            let registry = self.poll.registry();
            registry.register(&mut SourceFd(&socket.raw_fd()), token, both)?;
            Ok(socket)
        });
        let socket = opened.map_err(|error: io::Error| {
            (
                StreamCode::Unreachable,
                format!("no socket to {address}: {error}"),
            )
        })?;
        Ok(Far::Workload(Box::new(Workload::new(socket, address))))
    }

    /// The table was replaced: ends the routes that its rules do not let pass, or whose end is known to
    /// be somebody else's address now.
    pub(in super::super) fn recheck_routes(&mut self, now: Instant) {
        let Some(forwarder) = &self.shared.forwarder else {
            return;
        };
        let stays = |hop: &Hop| {
            let ends = match &hop.far {
                Far::Workload(workload) => {
                    self.table.ends_route(workload.address, &hop.route.identity)
                }
                _ => true,
            };
            ends && forwarder.admits(&hop.route.id)
        };
        let ended = |(key, slot): (usize, &super::super::Slot)| match &slot.flow {
            Flow::Hop(hop) if hop.admitted && !stays(hop) => Some(key),
            _ => None,
        };
        let keys: Vec<usize> = self.flows.iter().filter_map(ended).collect();
        for key in keys {
            let why = "the gateway's rules do not let the route pass any more".to_owned();
            self.counters().stream_refused(StreamCode::Denied);
            self.end_flow(key, StreamCode::Denied, Outcome::Refused(why), now);
        }
    }

    /// A tunnel's time may be over: that of waiting for a gateway, or without packets (G5).
    pub(in super::super) fn hop_due(&mut self, key: usize, now: Instant) {
        let Flow::Hop(hop) = &self.flows[key].flow else {
            return;
        };
        let open = hop.stream().is_some();
        if open && now < hop.queue.ends() {
            let ends = hop.queue.ends();
            return self.set_deadline(key, ends);
        }
        self.end_flow(key, StreamCode::TimedOut, Outcome::TimedOut, now);
    }
}
