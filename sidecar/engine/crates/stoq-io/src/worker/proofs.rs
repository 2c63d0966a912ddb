//! Re-authentication on live connections: proving our renewed identity to peers
//! (`docs/wire-format.md`, section 8). Theirs are taken in by `control`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn_proto::{Dir, ReadError, StreamId, WriteError};
use stoq_core::tls::Binding;
use stoq_wire::code::StreamCode;
use stoq_wire::control::{EXPORTER_LABEL, EXPORTER_LEN};
use stoq_wire::head::StreamKind;

use super::labels::encode;
use super::observe::Outcome;
use super::{Direction, Flow, Link, Phase, Worker};

/// Time for signatures in a turn without data: each takes a third of a millisecond.
const IDLE_BUDGET: Duration = Duration::from_millis(2);

/// How long a peer may take to send a message, or to answer one.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Messages a peer may send at once. A renewal takes one.
pub(super) const BURST: u32 = 8;

/// One more may be sent for each of these: hours pass between renewals, and judging a
/// message costs a tenth of a millisecond.
const REFILL: Duration = Duration::from_secs(1);

/// Larger than any identity's number: a connection that shows none of ours.
const NOT_SHOWN: u64 = u64::MAX;

/// What a connection knows of the messages on it.
#[derive(Debug)]
pub(crate) struct Proofs {
    /// Counter of the last message sent.
    sent: u64,
    /// Counter of the last message received; 0: none.
    pub(super) received: u64,
    /// Whether our identity is to be proven anew.
    due: bool,
    /// A message has not been answered yet. Streams are not in order: the next one could
    /// overtake it, and its counter would then end the connection.
    unanswered: bool,
    /// Messages that the peer may still send.
    left: u32,
    refilled: Instant,
}

impl Proofs {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            sent: 0,
            received: 0,
            due: false,
            unanswered: false,
            left: BURST,
            refilled: now,
        }
    }

    /// Whether the peer may send a message now.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.refilled);
        let more = u32::try_from(since.as_secs() / REFILL.as_secs()).unwrap_or(u32::MAX);
        if more > 0 {
            self.left = self.left.saturating_add(more).min(BURST);
            self.refilled = now;
        }
        let admitted = self.left > 0;
        self.left = self.left.saturating_sub(1);
        admitted
    }
}

/// Connections on which our identity is to be proven, one signature each.
#[derive(Debug, Default)]
pub(super) struct ProofQueue(VecDeque<(usize, u64)>);

impl ProofQueue {
    /// Whether a signature could be made now.
    pub(super) fn waiting(&self) -> bool {
        !self.0.is_empty()
    }
}

/// What reading a message came to.
pub(super) enum Read {
    Incomplete,
    Complete,
    TooLong,
    Reset(Option<StreamCode>),
}

impl Worker {
    /// Our identity was renewed: every peer shall see the new one.
    pub(super) fn prove_everywhere(&mut self) {
        for index in 0..self.links.len() {
            self.prove_later(index);
        }
    }

    /// Has our identity proven on a connection that shows an older one, if any.
    pub(super) fn prove_later(&mut self, index: usize) {
        let version = self.shared.tls.identity_version();
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let shown = |link: &Link| {
            let evidence = link.evidence.as_ref();
            evidence.is_some_and(|evidence| evidence.local_signature != "none")
        };
        if link.phase == Phase::Established && link.identity != version && shown(link) {
            link.proofs.due = true;
            self.proofs.0.push_back((index, link.serial));
        }
    }

    /// The peer allows another stream, or a message has come to its end: a proof may have
    /// waited for that.
    pub(super) fn prove_if_due(&mut self, index: usize) {
        if let Some(link) = self.links.get(index).and_then(Option::as_ref)
            && link.proofs.due
        {
            self.proofs.0.push_back((index, link.serial));
        }
    }

    /// Makes signatures: one in a turn that moves data, else as many as the budget
    /// allows.
    pub(super) fn advance_proofs(&mut self, now: Instant) {
        if !self.proofs.waiting() {
            return;
        }
        let busy = self.moving || !self.runnable.is_empty();
        let started = Instant::now();
        while let Some((index, serial)) = self.proofs.0.pop_front() {
            let due = self.link_of(index, serial).is_some_and(|l| l.proofs.due);
            if due {
                self.prove(index, now);
                if busy || started.elapsed() >= IDLE_BUDGET {
                    break;
                }
            }
        }
    }

    fn prove(&mut self, index: usize, now: Instant) {
        let version = self.shared.tls.identity_version();
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        if link.phase != Phase::Established || link.proofs.unanswered {
            return;
        }
        let Some(exporter) = exporter(link) else {
            return;
        };
        // Without a free stream it stays due until the peer allows one.
        let Some(stream) = link.quic.streams().open(Dir::Bi) else {
            return;
        };
        link.proofs.due = false;
        link.proofs.unanswered = true;
        link.proofs.sent += 1;
        let binding = Binding {
            sender: link.quic.side(),
            exporter: &exporter,
        };
        let message = self.shared.tls.prove(&binding, link.proofs.sent);
        let remote = link.quic.remote_address();
        let mut body = Vec::new();
        let made = message.is_some_and(|message| message.encode(&mut body).is_ok());
        if made {
            link.identity = version;
            if let Some(evidence) = &link.evidence {
                link.evidence = Some(Arc::new(self.shared.tls.proven(evidence)));
            }
            // A transfer may have queued megabytes.
            let _ = link.quic.send_stream(stream).set_priority(1);
        }
        let info = self.info(Direction::Outbound, remote, remote, now);
        let pending = [&encode(StreamKind::Control, &info, false)[..], &body].concat();
        let flow = Flow::Proof {
            stream,
            pending: pending.into(),
        };
        let key = self.insert_flow(flow, None);
        self.flows[key].connection = Some(index);
        if let Some(link) = self.links[index].as_mut() {
            link.attach(stream, key);
        }
        if made {
            self.counters().reauthentication_sent();
            self.queue(key);
        } else {
            // The identity is gone since: there is nothing to say.
            self.end_flow(key, StreamCode::Cancelled, Outcome::Finished, now);
        }
    }

    /// Sends what is left of a proof, then waits for the peer to finish.
    pub(super) fn run_proof(&mut self, key: usize, now: Instant) {
        let slot = &mut self.flows[key];
        let (Flow::Proof { stream, pending }, Some(index)) = (&mut slot.flow, slot.connection)
        else {
            return;
        };
        let stream = *stream;
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        let sending = !pending.is_empty();
        while !pending.is_empty() {
            match link.quic.send_stream(stream).write(pending) {
                Ok(written) => drop(pending.split_to(written)),
                // One that was stopped is told of by an event of its own.
                Err(WriteError::Blocked | WriteError::Stopped(_)) => break,
                Err(WriteError::ClosedStream) => pending.clear(),
            }
        }
        let sent = sending && pending.is_empty();
        if sent {
            // Fails only on a stream that the peer has stopped.
            let _ = link.quic.send_stream(stream).finish();
        }
        let answer = read(&mut link.quic, stream, &mut Vec::new(), 0);
        self.activate(index);
        if sent {
            self.set_deadline(key, now + PATIENCE);
        }
        match answer {
            Read::Incomplete => {}
            Read::Complete | Read::TooLong => self.finish_flow(key, now),
            Read::Reset(code) => {
                self.proof_refused(key, code, now);
            }
        }
    }

    /// Whatever became of a proof, the next may follow.
    pub(super) fn proof_over(&mut self, index: usize) {
        if let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) {
            link.proofs.unanswered = false;
            self.prove_if_due(index);
        }
    }

    /// The peer does not take proofs: new flows get a connection whose handshake shows
    /// our identity, those on this one end with the certificate that the peer knows.
    /// `false` for a flow of another kind.
    pub(super) fn proof_refused(
        &mut self,
        key: usize,
        code: Option<StreamCode>,
        now: Instant,
    ) -> bool {
        let Some(slot) = self.flows.get(key) else {
            return false;
        };
        let (Flow::Proof { .. }, Some(index)) = (&slot.flow, slot.connection) else {
            return false;
        };
        if let Some(link) = self.links[index].as_mut() {
            link.identity = NOT_SHOWN;
            link.proofs.due = false;
            let remote = link.quic.remote_address();
            let name = code.map_or("no reason given", StreamCode::name);
            self.shared.log.warn(format_args!(
                "{remote} does not take a re-authentication: {name}"
            ));
        }
        self.end_flow(key, StreamCode::Cancelled, Outcome::Finished, now);
        true
    }
}

/// The value that binds messages to this connection.
pub(super) fn exporter(link: &Link) -> Option<[u8; EXPORTER_LEN]> {
    let mut value = [0; EXPORTER_LEN];
    let session = link.quic.crypto_session();
    let exported = session.export_keying_material(&mut value, EXPORTER_LABEL, b"");
    exported.is_ok().then_some(value)
}

/// Reads a stream into `seen` until its end; more than `most` bytes are too many.
pub(super) fn read(
    quic: &mut quinn_proto::Connection,
    stream: StreamId,
    seen: &mut Vec<u8>,
    most: usize,
) -> Read {
    let mut receive = quic.recv_stream(stream);
    let Ok(mut chunks) = receive.read(true) else {
        return Read::Reset(None);
    };
    loop {
        match chunks.next(most + 1) {
            Ok(Some(chunk)) if seen.len() + chunk.bytes.len() > most => return Read::TooLong,
            Ok(Some(chunk)) => seen.extend_from_slice(&chunk.bytes),
            Ok(None) if seen.len() > most => return Read::TooLong,
            Ok(None) => return Read::Complete,
            Err(ReadError::Blocked) => return Read::Incomplete,
            Err(ReadError::Reset(code)) => {
                return Read::Reset(StreamCode::from_u64(code.into_inner()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_may_send_a_burst_and_then_one_message_per_second() {
        let start = Instant::now();
        let mut proofs = Proofs::new(start);
        let admitted = |proofs: &mut Proofs, at| (0..20).filter(|_| proofs.admits(at)).count();
        assert_eq!(admitted(&mut proofs, start), 8);
        assert_eq!(admitted(&mut proofs, start + REFILL / 2), 0);
        assert_eq!(admitted(&mut proofs, start + REFILL * 3), 3);
        assert_eq!(admitted(&mut proofs, start + REFILL * 900), 8);
    }
}
