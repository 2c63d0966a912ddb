//! API streams on the worker's side.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use quinn_proto::{ReadError, StreamId, VarInt, WriteError};
use stoq_wire::code::StreamCode;
use stoq_wire::head::StreamKind;

use super::flow::ApiStream;
use super::labels::encode;
use super::observe::Outcome;
use super::{Direction, Flow, PeerKey, Worker};
use crate::api::{ApiEvent, ApiPeer, Link, Request, StreamToken};
use crate::relay::Fault;

/// Largest piece handed to the caller's buffer at once.
const PIECE: usize = 64 * 1024;

/// What a turn of an API stream came to.
enum Step {
    Waiting,
    Ended,
    Reset(StreamCode),
    Failed(Fault),
}

impl Worker {
    pub(super) fn api_request(&mut self, request: Request, now: Instant) {
        match request {
            Request::Open { link, peer } => self.ask_api(link, peer, now),
            Request::Changed(token) => self.api_changed(token, now),
            Request::Export {
                token,
                label,
                context,
                reply,
            } => {
                let key = self
                    .api_flows
                    .get(&token)
                    .and_then(|key| self.flows.get(*key));
                let link = key.and_then(|slot| self.links[slot.connection?].as_ref());
                let mut output = [0; 32];
                let exported = link.map(|link| {
                    let session = link.quic.crypto_session();
                    session.export_keying_material(&mut output, label.as_bytes(), &context)
                });
                if matches!(exported, Some(Ok(()))) {
                    // The caller may have stopped waiting.
                    let _ = reply.send(output);
                }
            }
        }
    }

    fn ask_api(&mut self, link: Arc<Link>, peer: PeerKey, now: Instant) {
        let token = link.token;
        let key = self.insert_flow(Flow::ApiWaiting { link, peer }, None);
        self.api_flows.insert(token, key);
        self.set_deadline(key, now + self.opening_timeout());
        self.place(key, now);
    }

    /// The caller has sent, received, reset or closed.
    fn api_changed(&mut self, token: StreamToken, now: Instant) {
        let Some(key) = self.api_flows.get(&token).copied() else {
            return;
        };
        if let Flow::ApiWaiting { link, .. } = &self.flows[key].flow {
            let buffers = link.lock();
            let given_up = buffers.reset.is_some() || (buffers.closed && buffers.nothing_to_send());
            drop(buffers);
            if given_up {
                self.end_flow(key, StreamCode::Cancelled, Outcome::Finished, now);
            }
            return;
        }
        self.queue(key);
    }

    /// The stream that was asked for is open on connection `index`.
    pub(super) fn open_api(
        &mut self,
        key: usize,
        index: usize,
        stream: StreamId,
        link: Arc<Link>,
        now: Instant,
    ) {
        let Some(peer) = self.api_peer(index) else {
            return;
        };
        let remote = peer.remote;
        let info = self.info(Direction::Outbound, remote, remote, now);
        let pending = encode(StreamKind::Api, &info, false);
        let _ = link.peer.set(peer);
        self.shared.api.publish(ApiEvent::Opened(link.token));
        self.flows[key].flow = Flow::Api(ApiStream {
            link,
            stream,
            pending,
            readable: true,
            writable: true,
            send_ended: false,
            receive_ended: false,
        });
        self.queue(key);
    }

    /// A peer has opened an API stream; `first` followed its head.
    pub(super) fn accept_api(
        &mut self,
        key: usize,
        index: usize,
        stream: StreamId,
        first: Bytes,
        now: Instant,
    ) {
        let registered = self.shared.api.register(self.index);
        let (Some(link), Some(peer)) = (registered, self.api_peer(index)) else {
            let why = "too many API streams are open".to_owned();
            self.end_flow(key, StreamCode::Denied, Outcome::Refused(why), now);
            return;
        };
        if !first.is_empty() {
            link.lock().deliver(first);
        }
        let token = link.token;
        let _ = link.peer.set(Arc::clone(&peer));
        self.api_flows.insert(token, key);
        self.flows[key].flow = Flow::Api(ApiStream {
            link,
            stream,
            pending: Bytes::new(),
            readable: true,
            writable: true,
            send_ended: false,
            receive_ended: false,
        });
        self.shared.api.publish(ApiEvent::Accepted { token, peer });
        self.shared.api.publish(ApiEvent::Readable(token));
        self.queue(key);
    }

    fn api_peer(&self, index: usize) -> Option<Arc<ApiPeer>> {
        let link = self.links.get(index)?.as_ref()?;
        let remote = link.quic.remote_address();
        Some(Arc::new(ApiPeer {
            remote,
            evidence: link.evidence.clone(),
        }))
    }

    /// The peer wants no more bytes of an API stream; its own may still come, such as
    /// the answer that it sent before. `false` for a flow of another kind.
    pub(super) fn api_stopped(&mut self, key: usize, code: Option<StreamCode>) -> bool {
        let Some(slot) = self.flows.get_mut(key) else {
            return false;
        };
        let (Flow::Api(api), Some(index)) = (&mut slot.flow, slot.connection) else {
            return false;
        };
        let Some(link) = self.links[index].as_mut() else {
            return false;
        };
        api.stopped(&mut link.quic, code);
        let token = api.link.token;
        self.shared.api.publish(ApiEvent::Writable(token));
        self.queue(key);
        true
    }

    pub(super) fn run_api(&mut self, key: usize, now: Instant) {
        let slot = &mut self.flows[key];
        let (Flow::Api(api), Some(index)) = (&mut slot.flow, slot.connection) else {
            return;
        };
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        let mut events = Vec::new();
        let step = api.run(&mut link.quic, &mut events);
        self.activate(index);
        for event in events {
            self.shared.api.publish(event);
        }
        match step {
            Step::Waiting => {}
            Step::Ended => self.finish_flow(key, now),
            Step::Reset(code) => self.end_flow(key, code, Outcome::Finished, now),
            Step::Failed(fault) => self.fail_flow(key, fault, now),
        }
    }

    /// The flow behind `link` is gone; the caller hears of it unless it asked for it.
    pub(super) fn api_ended(&mut self, link: &Link, outcome: &Outcome) {
        self.api_flows.remove(&link.token);
        if matches!(outcome, Outcome::Finished) {
            return;
        }
        let mut buffers = link.lock();
        buffers.failed = true;
        let closed = buffers.closed;
        drop(buffers);
        if !closed {
            let (token, code) = (link.token, outcome.code());
            let reason = outcome.to_string().into();
            self.shared.api.publish(ApiEvent::Failed {
                token,
                reason,
                code,
            });
        }
    }
}

impl ApiStream {
    /// Moves what can be moved between the caller's buffers and the stream.
    fn run(&mut self, quic: &mut quinn_proto::Connection, events: &mut Vec<ApiEvent>) -> Step {
        let link = Arc::clone(&self.link);
        let mut buffers = link.lock();
        if let Some(code) = buffers.reset {
            return Step::Reset(code);
        }
        if let Err(fault) = self.send(quic, &mut buffers) {
            return Step::Failed(fault);
        }
        if buffers.caller_may_send() && !buffers.closed {
            events.push(ApiEvent::Writable(link.token));
        }
        if buffers.closed && !self.receive_ended {
            self.receive_ended = true;
            let code = VarInt::from_u64(StreamCode::Cancelled.as_u64()).unwrap_or(VarInt::MAX);
            // The peer may have finished or reset it already.
            let _ = quic.recv_stream(self.stream).stop(code);
        }
        if let Err(fault) = self.receive(quic, &mut buffers, events) {
            return Step::Failed(fault);
        }
        if self.send_ended && self.receive_ended {
            Step::Ended
        } else {
            Step::Waiting
        }
    }

    /// Ends our direction without its end: the peer has asked for that (RFC 9000, 3.5).
    fn stopped(&mut self, quic: &mut quinn_proto::Connection, code: Option<StreamCode>) {
        self.send_ended = true;
        self.pending = Bytes::new();
        let code = code.unwrap_or(StreamCode::Cancelled).as_u64();
        let code = VarInt::from_u64(code).unwrap_or(VarInt::MAX);
        // It may have finished just before.
        let _ = quic.send_stream(self.stream).reset(code);
        self.link.lock().stop();
    }

    fn send(
        &mut self,
        quic: &mut quinn_proto::Connection,
        buffers: &mut crate::api::Buffers,
    ) -> Result<(), Fault> {
        while self.writable && !self.send_ended {
            if self.pending.is_empty() {
                match buffers.next_outbound() {
                    Some(piece) => self.pending = piece,
                    None if buffers.finished => {
                        self.send_ended = true;
                        let finished = quic.send_stream(self.stream).finish();
                        return finished.map_err(|_| Fault::Peer(None));
                    }
                    None => return Ok(()),
                }
            }
            let mut chunks = [std::mem::take(&mut self.pending)];
            let result = quic.send_stream(self.stream).write_chunks(&mut chunks);
            let [rest] = chunks;
            self.pending = rest;
            match result {
                Ok(_) => {}
                // A peer that stopped us is told of by an event of its own.
                Err(WriteError::Blocked | WriteError::Stopped(_)) => self.writable = false,
                Err(WriteError::ClosedStream) => return Err(Fault::Peer(None)),
            }
        }
        Ok(())
    }

    fn receive(
        &mut self,
        quic: &mut quinn_proto::Connection,
        buffers: &mut crate::api::Buffers,
        events: &mut Vec<ApiEvent>,
    ) -> Result<(), Fault> {
        if self.receive_ended || !self.readable {
            return Ok(());
        }
        let mut receive = quic.recv_stream(self.stream);
        let Ok(mut chunks) = receive.read(true) else {
            return Err(Fault::Peer(None));
        };
        loop {
            if !buffers.has_room() {
                buffers.worker_waits = true;
                return Ok(());
            }
            match chunks.next(PIECE) {
                Ok(Some(chunk)) => {
                    // Copied: a slow caller must not pin the pool's blocks.
                    if buffers.deliver(Bytes::copy_from_slice(&chunk.bytes)) {
                        events.push(ApiEvent::Readable(self.link.token));
                    }
                }
                Ok(None) => {
                    self.receive_ended = true;
                    events.push(ApiEvent::Finished(self.link.token));
                    return Ok(());
                }
                Err(ReadError::Blocked) => {
                    self.readable = false;
                    return Ok(());
                }
                Err(ReadError::Reset(code)) => {
                    return Err(Fault::Peer(StreamCode::from_u64(code.into_inner())));
                }
            }
        }
    }
}
