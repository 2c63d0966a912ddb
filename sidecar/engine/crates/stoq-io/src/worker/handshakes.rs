//! Handshakes cost milliseconds of public-key work on the thread that also moves
//! bytes. They wait in a queue and advance one step at a time, after the data.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use quinn_proto::{ConnectionEvent, Incoming};

use super::{Origin, Phase, PortKind, Worker};

/// Time for handshakes in a turn without data. A FALCON signature takes a third of
/// a millisecond; a datagram that arrives meanwhile waits no longer than this.
const IDLE_BUDGET: Duration = Duration::from_millis(2);

/// Handshake datagrams of one connection that may wait. A whole flight is six.
const STEPS_PER_CONNECTION: usize = 24;

/// What waits for CPU time.
#[derive(Default)]
pub(super) struct Handshakes {
    incoming: VecDeque<(usize, Incoming)>,
    steps: VecDeque<(usize, u64, ConnectionEvent)>,
    /// Accepted connections whose handshake is not complete.
    pub(super) in_flight: usize,
}

impl Handshakes {
    /// Whether a step could be taken now.
    pub(super) fn waiting(&self) -> bool {
        !self.incoming.is_empty() || !self.steps.is_empty()
    }

    /// Handshakes begun by peers and not complete.
    pub(super) fn pressure(&self) -> usize {
        self.in_flight + self.incoming.len()
    }
}

impl Worker {
    /// A client's first datagram. No public-key operation has happened yet.
    pub(super) fn incoming(&mut self, port: usize, incoming: Incoming) {
        let limits = &self.shared.settings.limits;
        let pressure = self.handshakes.pressure();
        let kind = self.ports[port].kind;
        // The table may forbid IPv4 on a socket that takes it. The control plane is not subject
        // to the table: it must stay reachable for another one.
        let remote = crate::socket::udp::canonical(incoming.remote_address());
        let forbidden = kind == PortKind::Mesh && self.refuses_ipv4(remote);
        if kind == PortKind::Dial || forbidden || pressure >= limits.handshakes as usize {
            self.endpoint.ignore(incoming);
            self.counters().handshake_dropped();
            return;
        }
        let full = self.endpoint.open_connections() >= limits.connections as usize;
        if self.draining || full {
            self.outgoing.clear();
            let refusal = self.endpoint.refuse(incoming, &mut self.outgoing);
            self.counters().handshake_refused();
            self.respond(port, refusal);
            return;
        }
        if pressure >= limits.handshakes_before_retry as usize && incoming.may_retry() {
            self.outgoing.clear();
            // `may_retry` was just asked, which is the only way this can fail.
            if let Ok(retry) = self.endpoint.retry(incoming, &mut self.outgoing) {
                self.counters().retry_sent();
                self.respond(port, retry);
            }
            return;
        }
        self.handshakes.incoming.push_back((port, incoming));
    }

    /// Something for a connection: at once when it is established, else in its turn.
    pub(super) fn connection_event(&mut self, index: usize, event: ConnectionEvent, now: Instant) {
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        link.heard = now;
        if let Some(path) = &mut link.path {
            path.on_packet(now);
        }
        if link.queued_steps == 0 && !link.quic.is_handshaking() {
            link.quic.handle_event(event);
            self.activate(index);
            return;
        }
        // More than any flight needs is a flood; QUIC retransmits what is dropped.
        if link.queued_steps < STEPS_PER_CONNECTION {
            link.queued_steps += 1;
            self.handshakes.steps.push_back((index, link.serial, event));
        }
    }

    /// Advances handshakes: one step in a turn that moves data, else as many as the
    /// budget allows.
    pub(super) fn advance_handshakes(&mut self, now: Instant) {
        if !self.handshakes.waiting() {
            return;
        }
        let busy = self.moving || !self.runnable.is_empty();
        let started = Instant::now();
        while self.advance_one(now) {
            if busy || started.elapsed() >= IDLE_BUDGET {
                break;
            }
        }
    }

    /// Connections already begun go first: finishing them frees what they hold.
    fn advance_one(&mut self, now: Instant) -> bool {
        if let Some((index, serial, event)) = self.handshakes.steps.pop_front() {
            if let Some(link) = self.link_of(index, serial) {
                link.queued_steps -= 1;
                link.quic.handle_event(event);
                self.activate(index);
            }
            return true;
        }
        let Some((port, incoming)) = self.handshakes.incoming.pop_front() else {
            return false;
        };
        self.begin(port, incoming, now);
        true
    }

    fn begin(&mut self, port: usize, incoming: Incoming, now: Instant) {
        let (config, origin) = match self.ports[port].kind {
            PortKind::Bootstrap => (self.bootstrap.clone(), Origin::Bootstrap),
            PortKind::Mesh | PortKind::Dial => (self.mesh.clone(), Origin::Mesh),
        };
        let recorded = |config| self.recording(config, incoming.orig_dst_cid(), now);
        let (config, recording) = config.map(recorded).unzip();
        self.outgoing.clear();
        let identity = self.shared.tls.identity_version();
        match self
            .endpoint
            .accept(incoming, now, &mut self.outgoing, config)
        {
            Ok((handle, quic)) => {
                self.handshakes.in_flight += 1;
                self.insert_link(handle, quic, origin, port, now);
                if let Some(link) = self.links[handle.0].as_mut() {
                    link.identity = identity;
                    link.recording = recording.flatten();
                }
            }
            Err(error) => {
                self.counters().handshake_failed();
                self.shared
                    .log
                    .debug(format_args!("handshake: {}", error.cause));
                if let Some(response) = error.response {
                    self.respond(port, response);
                }
            }
        }
    }

    /// A peer's handshake is over, well or not.
    pub(super) fn handshake_over(&mut self, index: usize) {
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let begun_by_peer = !matches!(link.origin, Origin::Dialled(_));
        if link.phase == Phase::Handshake && begun_by_peer {
            self.handshakes.in_flight -= 1;
        }
    }
}
