//! From the UDP sockets to the connections.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::{DatagramEvent, EcnCodepoint, Transmit};

use super::Worker;
use crate::cid::owner_of;
use crate::mailbox::Forwarded;
use crate::socket::udp::Sent;
use crate::transport::DATAGRAMS_RECEIVED;

/// Reads per socket and turn: enough to keep up, few enough that relays drain in
/// between and the bytes are still in the cache when they are written.
const READS: usize = 8;

/// Largest datagram, or GRO batch of them, that the kernel delivers.
const LARGEST: usize = 65_536;

// What one turn reads has room until the turn comes to it.
const _: () = assert!(READS * LARGEST <= DATAGRAMS_RECEIVED);

/// Where a datagram came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) port: usize,
    pub(super) remote: SocketAddr,
    pub(super) local_ip: Option<IpAddr>,
    pub(super) ecn: Option<EcnCodepoint>,
}

impl Worker {
    /// Takes what the sockets have, up to the budget; `true` when there was anything.
    pub(super) fn receive(&mut self, now: Instant) -> bool {
        let mut any = false;
        for port in 0..self.ports.len() {
            for _ in 0..READS {
                if !self.ports[port].readable {
                    break;
                }
                any |= self.read(port, now);
            }
        }
        any
    }

    fn read(&mut self, port: usize, now: Instant) -> bool {
        let space = self.blocks.space(LARGEST);
        let received = match self.ports[port].datagrams.receive(space) {
            Ok(Some(received)) => received,
            Ok(None) => {
                self.ports[port].readable = false;
                return false;
            }
            Err(error) => {
                // An ICMP error for an earlier datagram, or a truncated one. Neither says
                // that nothing else waits; the budget bounds how often we come back.
                self.shared.log.debug(format_args!("receive: {error}"));
                return true;
            }
        };
        let mut data = self.blocks.take(received.length);
        if self.shared.settings.ipv6_only && received.remote.is_ipv4() {
            return true;
        }
        // A zero-length datagram has no stride; it counts against the budget only.
        let stride = received.stride.max(1);
        let origin = Origin {
            port,
            remote: received.remote,
            local_ip: received.local_ip,
            ecn: received.ecn,
        };
        let mut count = 0;
        while !data.is_empty() {
            let datagram = data.split_to(stride.min(data.len()));
            count += 1;
            self.route(origin, datagram, now);
        }
        self.counters().received(count, received.length as u64);
        true
    }

    /// Keeps a datagram or sends it to the worker that owns its connection. This has
    /// to happen before the endpoint sees it: the reset key is shared, so a stateless
    /// reset for another worker's connection would be valid and end it.
    pub(super) fn route(&mut self, origin: Origin, data: BytesMut, now: Instant) {
        let workers = self.shared.mailboxes.len();
        match owner_of(&data, workers) {
            Some(owner) if owner != self.index => {
                let Origin {
                    port,
                    remote,
                    local_ip,
                    ecn,
                } = origin;
                let forwarded = Forwarded {
                    port,
                    remote,
                    local_ip,
                    ecn,
                    data,
                };
                let taken = self.shared.mailboxes[owner].forward(forwarded);
                self.counters().misrouted(taken);
            }
            _ => self.handle(origin, data, now),
        }
    }

    /// Takes the datagrams that other workers forwarded.
    pub(super) fn take_forwarded(&mut self, now: Instant) {
        let shared = std::sync::Arc::clone(&self.shared);
        while let Some(forwarded) = shared.mailboxes[self.index].next_datagram() {
            let Forwarded {
                port,
                remote,
                local_ip,
                ecn,
                data,
            } = forwarded;
            self.handle(
                Origin {
                    port,
                    remote,
                    local_ip,
                    ecn,
                },
                data,
                now,
            );
        }
    }

    fn handle(&mut self, origin: Origin, data: BytesMut, now: Instant) {
        let Origin {
            port,
            remote,
            local_ip,
            ecn,
        } = origin;
        let Some(data) = self.take_bare(remote, data, now) else {
            return;
        };
        let mut response = std::mem::take(&mut self.outgoing);
        response.clear();
        let event = self
            .endpoint
            .handle(now, remote, local_ip, ecn, data, &mut response);
        self.outgoing = response;
        match event {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                self.connection_event(handle.0, event, now);
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.incoming(port, incoming),
            Some(DatagramEvent::Response(transmit)) => self.respond(port, transmit),
            None => {}
        }
    }

    /// Sends what the endpoint has put into the outgoing buffer: a Retry, a version
    /// negotiation, a refusal or a stateless reset. Dropped when the socket is full.
    pub(super) fn respond(&mut self, port: usize, transmit: Transmit) {
        let mut contents = std::mem::take(&mut self.outgoing);
        let datagrams = self.datagrams(port);
        if !datagrams.is_blocked() {
            let sent = datagrams.send(transmit, &mut contents);
            if let Sent::Refused(error) = sent {
                self.shared.log.debug(format_args!("send: {error}"));
            }
        }
        self.outgoing = contents;
    }
}
