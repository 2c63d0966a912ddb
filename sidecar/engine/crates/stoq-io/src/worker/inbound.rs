//! What reaches this pod: streams from peers, and plaintext.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::net::TcpStream;
use mio::{Interest, Token};
use quinn_proto::{Dir, ReadError, StreamId};
use stoq_core::table::{
    Admission, InboundPlaintext, InboundStream, Reason, client_address, decide_inbound_mirror,
    decide_inbound_plaintext, decide_inbound_stream,
};
use stoq_wire::code::StreamCode;
use stoq_wire::head::{MAX_HEAD_LEN, StreamHead, StreamKind};

use super::labels::party;
use super::observe::{Outcome, suite};
use super::outbound::dialled_address;
use super::{Direction, FLOWS, Flow, ListenerKind, Origin, Worker};
use crate::counters::SecurityPolicy;
use crate::relay::stream::StreamRelay;
use crate::socket::tcp;
use crate::socket::udp::canonical;

/// How long a peer may take to send a stream head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an application may take to accept a connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What reading a stream head came to.
enum Head {
    Incomplete,
    Complete(StreamHead, Bytes),
    Wrong(String),
}

impl Worker {
    /// Takes the streams that a peer has opened.
    pub(super) fn accept_streams(&mut self, index: usize, now: Instant) {
        let most = self.shared.settings.transport.max_streams;
        loop {
            let Some(link) = self.links[index].as_mut() else {
                return;
            };
            let Some(stream) = link.quic.streams().accept(Dir::Bi) else {
                link.grow_stream_limit(most);
                return;
            };
            link.accepted_streams = stream.index() + 1;
            if self.draining || self.is_full() {
                let code = if self.draining {
                    StreamCode::Draining
                } else {
                    StreamCode::Denied
                };
                self.reset_stream(index, stream, code, false);
                continue;
            }
            let key = self.insert_flow(
                Flow::Head {
                    stream,
                    seen: Vec::new(),
                },
                None,
            );
            self.flows[key].connection = Some(index);
            if let Some(link) = self.links[index].as_mut() {
                link.attach(stream, key);
            }
            self.set_deadline(key, now + HEAD_TIMEOUT);
            self.queue(key);
        }
    }

    pub(super) fn read_head(&mut self, key: usize, now: Instant) {
        let slot = &mut self.flows[key];
        let (Flow::Head { stream, seen }, Some(index)) = (&mut slot.flow, slot.connection) else {
            return;
        };
        let stream = *stream;
        let undecided = self.table.is_closed();
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        if undecided && link.origin == Origin::Mesh {
            return; // read when the first table comes; the deadline holds meanwhile
        }
        let tokens = link.has_stream_tokens();
        match gather(&mut link.quic, stream, seen, tokens) {
            Head::Incomplete => {}
            Head::Wrong(why) => {
                self.end_flow(key, StreamCode::BadHead, Outcome::Refused(why), now);
            }
            Head::Complete(head, first) => {
                self.cancel_deadline(key);
                self.head_complete(key, index, stream, &head, first, now);
            }
        }
    }

    fn head_complete(
        &mut self,
        key: usize,
        index: usize,
        stream: StreamId,
        head: &StreamHead,
        first: Bytes,
        now: Instant,
    ) {
        let bootstrap = self.links[index]
            .as_ref()
            .is_some_and(|l| l.origin == Origin::Bootstrap);
        match head.kind {
            StreamKind::Api if bootstrap => self.accept_api(key, index, stream, first, now),
            StreamKind::Udp if !bootstrap => {
                self.accept_udp(key, index, stream, head, &first, now);
            }
            StreamKind::Frames if !bootstrap => {
                self.accept_frames(key, index, stream, head, &first, now);
            }
            StreamKind::Control => self.accept_control(key, stream, &first, now),
            StreamKind::Tcp if !bootstrap => {
                self.connect_application(key, index, stream, head, first, now);
            }
            StreamKind::Lane if !bootstrap => match self.lane_of(index, head) {
                Ok(lane) if lane.number > 0 => {
                    self.accept_lane(key, index, stream, (head, lane), &first, now);
                }
                Ok(_) => self.connect_application(key, index, stream, head, first, now),
                Err(code) => {
                    self.counters().stream_refused(code);
                    let why = "the lane of a striped flow cannot be taken".to_owned();
                    self.end_flow(key, code, Outcome::Refused(why), now);
                }
            },
            kind => {
                let why = format!("{kind:?} streams are not taken on this listener");
                self.end_flow(key, StreamCode::Denied, Outcome::Refused(why), now);
            }
        }
    }

    /// Connects the application for a flow that a peer sends, or for a copy of one: then the stream
    /// is of frames.
    pub(super) fn connect_application(
        &mut self,
        key: usize,
        index: usize,
        stream: StreamId,
        head: &StreamHead,
        first: Bytes,
        now: Instant,
    ) {
        let table = Arc::clone(&self.table);
        let evidence = self.links[index]
            .as_ref()
            .and_then(|link| link.evidence.clone());
        let Some(peer) = evidence.as_ref().and_then(|e| e.peer.as_ref()) else {
            let why = "the peer has shown no certificate".to_owned();
            self.end_flow(key, StreamCode::Denied, Outcome::Refused(why), now);
            return;
        };
        let source = canonical(head.source);
        let mut info = self.info(Direction::Inbound, source, canonical(head.destination), now);
        info.flow = head.flow;
        info.peer = table
            .workload_at(source.ip())
            .map(party)
            .unwrap_or_default();
        info.peer.principal = Some(Arc::from(peer.spiffe.as_str()));
        info.policy = SecurityPolicy::MutualTls;
        info.suite = evidence.as_deref().map(suite);
        self.flows[key].info = Some(Box::new(info));
        let copy = head.kind == StreamKind::Frames;
        let decided = match copy {
            true => decide_inbound_mirror(&table, head, &peer.spiffe),
            false => decide_inbound_stream(&table, head, &peer.spiffe),
        };
        let destination = match decided {
            InboundStream::Connect(to) if self.refuses_ipv4(to) => {
                self.counters().refused(Reason::Ipv4Refused);
                let why = format!("{to}: {}", Reason::Ipv4Refused);
                self.end_flow(key, StreamCode::Unreachable, Outcome::Refused(why), now);
                return;
            }
            InboundStream::Connect(destination) => destination,
            InboundStream::Refuse(StreamCode::AccessDenied) => {
                let ruling = table
                    .access()
                    .rule(Some(&peer.spiffe), head.destination.port());
                self.deny_access(key, &ruling, now);
                return;
            }
            InboundStream::Refuse(code) => {
                self.counters().stream_refused(code);
                let why = format!("{}: {}", head.destination, code.name());
                self.end_flow(key, code, Outcome::Refused(why), now);
                return;
            }
        };
        self.count_ruling(Some(&peer.spiffe), destination);
        let transparent = self.shared.transparent.load(Ordering::Relaxed);
        let from = client_address(&table, head, &peer.spiffe).filter(|_| transparent);
        match self.register_application(key, destination, from) {
            Ok(tcp) if head.kind == StreamKind::Lane => {
                let lanes = head.received as u8;
                if let Err(code) = self.begin_striped(key, (stream, &first), tcp, lanes, peer) {
                    self.counters().stream_refused(code);
                    let why = "no room for a striped flow, or one of its id is here".to_owned();
                    self.end_flow(key, code, Outcome::Refused(why), now);
                    return;
                }
                self.set_deadline(key, now + CONNECT_TIMEOUT);
                self.count_opened(key);
            }
            Ok(tcp) => {
                let link = self.links[index].as_mut().filter(|_| head.tokens);
                let tokens = link.and_then(|link| link.stream_tokens(stream));
                let relay = if copy {
                    self.counters().mirror_received();
                    StreamRelay::shadow(tcp, stream, first)
                } else {
                    StreamRelay::accepted(tcp, stream, first, tokens)
                };
                self.flows[key].flow = Flow::Connecting(Box::new(relay));
                self.set_deadline(key, now + CONNECT_TIMEOUT);
                self.count_opened(key);
            }
            Err(error) => {
                let code = match error.kind() {
                    io::ErrorKind::ConnectionRefused => StreamCode::Refused,
                    _ => StreamCode::Unreachable,
                };
                self.end_flow(key, code, Outcome::Application(error), now);
            }
        }
    }

    fn register_application(
        &mut self,
        key: usize,
        destination: SocketAddr,
        from: Option<SocketAddr>,
    ) -> io::Result<TcpStream> {
        let mut tcp = self.connect_from(destination, from)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut tcp, Token(FLOWS + key * 2), both)?;
        Ok(tcp)
    }

    /// Connects, from the client's own address where that is possible.
    fn connect_from(
        &self,
        destination: SocketAddr,
        from: Option<SocketAddr>,
    ) -> io::Result<TcpStream> {
        if let Some(source) = from {
            match tcp::connect_from(destination, source, &self.shared.sources) {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    self.shared.log.debug(format_args!(
                        "cannot connect from {source}: {error}; using the pod's own address"
                    ));
                }
            }
        }
        tcp::connect(destination)
    }

    /// Plaintext for an application of this pod.
    pub(super) fn accept_plaintext(&mut self, stream: TcpStream, source: SocketAddr, now: Instant) {
        let Ok(destination) = dialled_address(&stream) else {
            tcp::reset_on_close(&stream);
            return;
        };
        if self.undecided() {
            self.keep_early(ListenerKind::Inbound, stream, source, now);
            return;
        }
        let table = Arc::clone(&self.table);
        match decide_inbound_plaintext(&table, source, destination) {
            InboundPlaintext::Admit(admission) => {
                self.counters().plaintext_admitted(admission);
                if admission == Admission::Permissive {
                    self.count_ruling(None, destination);
                }
                let mut info = self.info(Direction::Inbound, source, destination, now);
                info.peer = table
                    .workload_at(source.ip())
                    .map(party)
                    .unwrap_or_default();
                self.connect_plain(stream.into(), destination, info, now);
            }
            InboundPlaintext::Refuse(reason) => {
                if reason == Reason::AccessDenied {
                    self.count_ruling(None, destination);
                }
                self.refuse(stream, destination, reason);
            }
        }
    }
}

/// The two ends of a flow, as its head names them.
pub(super) fn ends(head: &StreamHead) -> (SocketAddr, SocketAddr) {
    (canonical(head.source), canonical(head.destination))
}

/// Reads until the head is whole; never beyond its longest form.
fn gather(
    quic: &mut quinn_proto::Connection,
    stream: StreamId,
    seen: &mut Vec<u8>,
    tokens: bool,
) -> Head {
    let mut receive = quic.recv_stream(stream);
    let Ok(mut chunks) = receive.read(true) else {
        return Head::Wrong("the stream is gone".to_owned());
    };
    loop {
        match chunks.next(MAX_HEAD_LEN - seen.len()) {
            Ok(Some(chunk)) => seen.extend_from_slice(&chunk.bytes),
            Ok(None) => return Head::Wrong("the stream ended within its head".to_owned()),
            Err(ReadError::Blocked) => return Head::Incomplete,
            Err(ReadError::Reset(code)) => return Head::Wrong(format!("reset with {code}")),
        }
        match StreamHead::decode(seen, tokens) {
            Ok(Some((head, length))) => {
                return Head::Complete(head, Bytes::copy_from_slice(&seen[length..]));
            }
            Ok(None) => {}
            Err(error) => return Head::Wrong(error.to_string()),
        }
    }
}
