//! A peer's re-authentication: reading its message, and judging it
//! (`docs/wire-format.md`, section 8).

use std::sync::Arc;
use std::time::Instant;

use quinn_proto::StreamId;
use stoq_core::tls::Binding;
use stoq_wire::code::{ConnectionCode, StreamCode};
use stoq_wire::control::{MAX_CONTROL_LEN, Reauthentication};

use super::observe::Outcome;
use super::proofs::{BURST, PATIENCE, Read, exporter, read};
use super::{Flow, Worker};

impl Worker {
    /// A peer has opened a control stream; `first` followed its head.
    pub(super) fn accept_control(
        &mut self,
        key: usize,
        stream: StreamId,
        first: &[u8],
        now: Instant,
    ) {
        let seen = first.to_vec();
        self.flows[key].flow = Flow::Control { stream, seen };
        self.set_deadline(key, now + PATIENCE);
        self.queue(key);
    }

    /// Reads a peer's message to its end, and judges it then.
    pub(super) fn run_control(&mut self, key: usize, now: Instant) {
        let slot = &mut self.flows[key];
        let (Flow::Control { stream, seen }, Some(index)) = (&mut slot.flow, slot.connection)
        else {
            return;
        };
        let stream = *stream;
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        let done = read(&mut link.quic, stream, seen, MAX_CONTROL_LEN);
        let message = match done {
            Read::Complete => std::mem::take(seen),
            _ => Vec::new(),
        };
        self.activate(index);
        match done {
            Read::Incomplete => {}
            Read::Complete => self.judge(key, index, stream, &message, now),
            Read::TooLong => {
                let why = format!("a control message of more than {MAX_CONTROL_LEN} bytes");
                self.refuse_proof(index, ConnectionCode::Protocol, &why, now);
            }
            Read::Reset(_) => {
                self.end_flow(key, StreamCode::Cancelled, Outcome::Finished, now);
            }
        }
    }

    fn judge(&mut self, key: usize, index: usize, stream: StreamId, bytes: &[u8], now: Instant) {
        let message = match Reauthentication::decode(bytes) {
            Ok(message) => message,
            Err(error) => {
                let code = ConnectionCode::Protocol;
                return self.refuse_proof(index, code, &error.to_string(), now);
            }
        };
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        if !link.proofs.admits(now) {
            let why = format!("more than {BURST} re-authentications at once");
            return self.refuse_proof(index, ConnectionCode::Overloaded, &why, now);
        }
        let (Some(exporter), Some(present)) = (exporter(link), link.evidence.clone()) else {
            return;
        };
        let binding = Binding {
            sender: !link.quic.side(),
            exporter: &exporter,
        };
        let last = link.proofs.received;
        let judged = self
            .shared
            .tls
            .reauthenticate(&present, last, &binding, &message);
        match judged {
            Ok(evidence) => {
                link.proofs.received = message.counter;
                let expires = evidence.peer.as_ref().map(|peer| peer.not_after);
                link.evidence = Some(Arc::new(evidence));
                // Tells the peer that it was taken.
                let _ = link.quic.send_stream(stream).finish();
                self.counters().reauthentication_accepted();
                if let Some(expires) = expires {
                    self.watch_expiry(index, expires, now);
                }
                self.finish_flow(key, now);
            }
            Err(error) => {
                self.refuse_proof(index, error.connection_code(), &error.to_string(), now);
            }
        }
    }

    /// Closes the connection of a peer whose message is wrong.
    fn refuse_proof(&mut self, index: usize, code: ConnectionCode, why: &str, now: Instant) {
        self.counters().reauthentication_refused();
        if let Some(link) = self.links[index].as_ref() {
            let remote = link.quic.remote_address();
            let evidence = link.evidence.as_ref();
            let peer = evidence.and_then(|evidence| evidence.peer.as_ref());
            let name = peer.map_or("a client without a certificate", |p| p.spiffe.as_str());
            self.shared
                .log
                .warn(format_args!("closing {name} at {remote}: {why}"));
        }
        self.close(index, code, why, now);
    }
}
