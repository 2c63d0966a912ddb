//! The life of connections: dialled or accepted, established, lost, closed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use quinn_proto::{
    ClientConfig, Connection, ConnectionError, ConnectionHandle, Event, NoneTokenStore,
    StreamEvent, VarInt,
};
use stoq_core::authorise::Expect;
use stoq_core::session::Evidence;
use stoq_wire::code::{ConnectionCode, StreamCode};

use super::{Link, Origin, PeerKey, Phase, PortKind, Timer, Worker, lost};
use crate::counters::ResponseFlag;

/// Name given to TLS for peers that have none: identity is the SPIFFE id.
const SERVER_NAME: &str = "stoq";

impl Worker {
    pub(super) fn insert_link(
        &mut self,
        handle: ConnectionHandle,
        quic: Connection,
        origin: Origin,
        port: usize,
        now: Instant,
    ) {
        let index = handle.0;
        if self.links.len() <= index {
            self.links.resize_with(index + 1, || None);
        }
        let serial = self.next_serial();
        let mut link = Box::new(Link::new(quic, origin, port, serial, now));
        link.path = self.adapting(&mut link.quic, now);
        self.links[index] = Some(link);
        self.activate(index);
    }

    /// Dials a peer; the flows that need it wait in the pool.
    pub(super) fn dial(&mut self, key: &PeerKey, now: Instant) -> Result<(), String> {
        self.dial_trying(key, Vec::new(), now)
    }

    /// As [`Worker::dial`], after the dial has failed at some gateways.
    pub(super) fn dial_trying(
        &mut self,
        key: &PeerKey,
        tried: Vec<SocketAddr>,
        now: Instant,
    ) -> Result<(), String> {
        let way = self.way_to(key, tried, now)?;
        let dial_port = |port: &super::Port| port.kind == PortKind::Dial;
        let port = self
            .ports
            .iter()
            .position(dial_port)
            .ok_or("no socket to dial from")?;
        let expect = key.expect.clone().map_or(Expect::AnyInMesh, Expect::Id);
        let identity = self.shared.tls.identity_version();
        let tls = &self.shared.tls;
        let mut config = ClientConfig::new(match way {
            Some(_) => tls.inner_config(expect, key.address, self.inner_payload),
            None => tls.client_config(expect, key.address),
        });
        let recording = self.record_dialled(&mut config, way.is_some(), now);
        config.token_store(Arc::new(NoneTokenStore));
        let (handle, quic) = self
            .endpoint
            .connect(now, config, key.address, SERVER_NAME)
            .map_err(|error| format!("cannot dial {}: {error}", key.address))?;
        self.insert_link(handle, quic, Origin::Dialled(key.clone()), port, now);
        if let Some(link) = self.links[handle.0].as_mut() {
            link.identity = identity;
            link.recording = recording;
        }
        self.peers.dialled(key, handle.0);
        self.counters().dialled();
        let timer = Timer::Dial {
            index: handle.0,
            serial: self.serial,
        };
        let timeout = self.shared.settings.transport.dial_timeout();
        self.set_link_timer(handle.0, now + timeout, timer);
        if let Some(way) = way {
            self.put_inside(handle.0, key.address, way, now);
        }
        Ok(())
    }

    /// Lets every active connection tell what has happened to it.
    pub(super) fn pump_active(&mut self, now: Instant) {
        let mut position = 0;
        while position < self.active.len() {
            let index = self.active[position];
            self.pump(index, now);
            self.check_packets(index, now);
            position += 1;
        }
    }

    fn pump(&mut self, index: usize, now: Instant) {
        loop {
            let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else {
                return;
            };
            if let Some(event) = link.quic.poll_endpoint_events() {
                let handle = ConnectionHandle(index);
                if event.is_drained() {
                    self.hear_out(index, now);
                    self.endpoint.handle_event(handle, event);
                    self.remove_link(index, now);
                    return;
                }
                if let Some(answer) = self.endpoint.handle_event(handle, event) {
                    link.quic.handle_event(answer);
                }
                continue;
            }
            match link.quic.poll() {
                Some(event) => self.connection_told(index, event, now),
                None => return,
            }
        }
    }

    /// Lets a connection tell why it has ended, before the endpoint forgets it: flows that end with it
    /// may dial again, and the endpoint gives its index to the next connection.
    fn hear_out(&mut self, index: usize, now: Instant) {
        while let Some(link) = self.links.get_mut(index).and_then(Option::as_mut)
            && let Some(event) = link.quic.poll()
        {
            self.connection_told(index, event, now);
        }
        let why = "the connection has ended".into();
        self.retire(index, &why, ResponseFlag::Reset, now);
    }

    fn connection_told(&mut self, index: usize, event: Event, now: Instant) {
        match event {
            Event::Connected => self.established(index, now),
            Event::ConnectionLost { reason } => self.lost(index, &reason, now),
            Event::Stream(event) => self.stream_told(index, event, now),
            Event::DatagramReceived => self.take_datagrams(index, now),
            _ => {}
        }
    }

    fn stream_told(&mut self, index: usize, event: StreamEvent, now: Instant) {
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        match event {
            StreamEvent::Opened { .. } => self.accept_streams(index, now),
            StreamEvent::Readable { id } => {
                if let Some(key) = link.flow_of(id) {
                    self.flow_readable(key);
                }
            }
            StreamEvent::Writable { id } => {
                if let Some(key) = link.flow_of(id) {
                    self.flow_writable(key);
                }
            }
            StreamEvent::Stopped { id, error_code } => {
                if let Some(key) = link.flow_of(id) {
                    self.flow_stopped(key, StreamCode::from_u64(error_code.into_inner()), now);
                }
            }
            StreamEvent::Available { .. } => {
                self.prove_if_due(index);
                self.place_waiting(index, now);
            }
            StreamEvent::Finished { .. } => {}
        }
    }

    fn established(&mut self, index: usize, now: Instant) {
        self.handshake_over(index);
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        let data = link.quic.crypto_session().handshake_data();
        let evidence = data
            .and_then(|data| data.downcast::<Arc<Evidence>>().ok())
            .map(|evidence| *evidence);
        link.phase = Phase::Established;
        link.established = Some(now);
        link.first_rtt = link.quic.rtt();
        link.packets = evidence.as_ref().and_then(|e| e.packets.clone());
        link.evidence = evidence;
        let took = now - link.started;
        let expires = link
            .evidence
            .as_ref()
            .and_then(|e| e.peer.as_ref())
            .map(|p| p.not_after);
        if let Some(expires) = expires {
            self.watch_expiry(index, expires, now);
        }
        let evidence = self.links[index]
            .as_ref()
            .and_then(|link| link.evidence.clone());
        let resumed = evidence.as_ref().is_some_and(|evidence| evidence.resumed);
        self.counters().established(took, resumed);
        if evidence.is_some_and(|evidence| self.shared.tls.fell_back(&evidence)) {
            self.counters().crypto_fell_back();
        }
        // It may have been renewed since the handshake began.
        self.prove_later(index);
        if let Origin::Dialled(key) = self.origin(index) {
            self.peers.established(&key, index);
            self.inner_established(index);
            self.watch_idle(index, now);
            self.place_waiting(index, now);
        }
    }

    /// The connection has ended by the peer's doing, or nobody's.
    fn lost(&mut self, index: usize, reason: &ConnectionError, now: Instant) {
        let Some(link) = self.links[index].as_ref() else {
            return;
        };
        let text = lost::explain(link, reason);
        let flag = lost::flag_of(link, reason);
        if link.phase == Phase::Established {
            let code = match reason {
                ConnectionError::ApplicationClosed(close) => {
                    ConnectionCode::from_u64(close.error_code.into_inner())
                }
                ConnectionError::TimedOut => Some(ConnectionCode::Idle),
                _ => None,
            };
            self.counters()
                .connection_closed(code.unwrap_or(ConnectionCode::Protocol));
        }
        if flag == ResponseFlag::CryptoProfile {
            self.counters().crypto_refused();
        }
        self.shared.log.info(format_args!("{text}"));
        self.retire(index, &text.into(), flag, now);
    }

    /// Takes a connection out of use and ends its flows.
    pub(super) fn retire(
        &mut self,
        index: usize,
        why: &Arc<str>,
        flag: ResponseFlag,
        now: Instant,
    ) {
        self.handshake_over(index);
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        let was = std::mem::replace(&mut link.phase, Phase::Gone);
        let flows = link.flows();
        let origin = link.origin.clone();
        if was == Phase::Handshake {
            self.counters().handshake_failed();
        }
        for key in flows {
            self.connection_gone(key, why, flag, now);
        }
        if let Origin::Dialled(key) = origin {
            let mut orphans = self.peers.remove(&key, index);
            if was == Phase::Handshake {
                orphans = self.dial_elsewhere(&key, index, orphans, now);
            }
            for flow in orphans {
                self.connection_gone(flow, why, flag, now);
            }
        }
    }

    /// Closes a connection and says why to the peer.
    pub(super) fn close(&mut self, index: usize, code: ConnectionCode, why: &str, now: Instant) {
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        if link.phase == Phase::Gone {
            return;
        }
        let number = VarInt::from_u64(code.as_u64()).unwrap_or(VarInt::MAX);
        link.quic
            .close(now, number, Bytes::copy_from_slice(why.as_bytes()));
        let flag = match (link.phase, code) {
            (Phase::Handshake, _) => ResponseFlag::NetworkPolicy,
            (_, ConnectionCode::Revoked) => ResponseFlag::CertRevoked,
            (_, ConnectionCode::CryptoProfile) => ResponseFlag::CryptoProfile,
            (_, ConnectionCode::Expired | ConnectionCode::Unauthorised) => {
                ResponseFlag::IdentityError
            }
            _ => ResponseFlag::Reset,
        };
        if link.phase == Phase::Established {
            self.counters().connection_closed(code);
        }
        if code == ConnectionCode::CryptoProfile {
            self.counters().crypto_refused();
        }
        self.retire(index, &why.into(), flag, now);
        self.activate(index);
    }

    /// quinn-proto has forgotten the connection.
    fn remove_link(&mut self, index: usize, now: Instant) {
        if let Some(link) = self.links[index].take() {
            if let Some(at) = link.armed {
                self.timers.cancel(
                    at,
                    Timer::Connection {
                        index,
                        serial: link.serial,
                    },
                );
            }
            for (at, timer) in link.timers {
                self.timers.cancel(at, timer);
            }
            if let Some(inner) = &link.inner {
                self.leave_tunnel(inner, now);
            }
            self.release_window(link.extra_window);
            if let Some(path) = &link.path {
                self.counters().tier_left(path.tier());
            }
        }
    }

    pub(super) fn dial_due(&mut self, index: usize, serial: u64, now: Instant) {
        let Some(link) = self.link_of(index, serial) else {
            return;
        };
        if link.phase != Phase::Handshake {
            return;
        }
        let Some(link) = self.links[index].as_ref() else {
            return;
        };
        let text = lost::explain(link, &ConnectionError::TimedOut);
        self.shared.log.warn(format_args!("{text}"));
        self.counters().dial_failed();
        self.inner_unanswered(index, now);
        self.close(index, ConnectionCode::NoError, &text, now);
    }

    fn origin(&self, index: usize) -> Origin {
        self.links[index]
            .as_ref()
            .map_or(Origin::Mesh, |link| link.origin.clone())
    }
}
