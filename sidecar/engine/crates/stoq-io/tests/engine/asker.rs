//! A peer that says what it likes, such as routes and lanes of its own making: a bare QUIC endpoint on a
//! socket.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig,
    Event, StreamEvent, StreamId, TransportConfig, VarInt, WriteError,
};
use stoq_core::authorise::Expect;
use stoq_core::tls::TlsContext;
use stoq_wire::bare::BareId;
use stoq_wire::code::StreamCode;
use stoq_wire::extension::Negotiated;
use stoq_wire::frame::Frame;
use stoq_wire::frame::hop::{Hop, Route, packet_frame};
use stoq_wire::head::{FlowId, StreamHead, StreamKind};
use stoq_wire::packet::StoqPacket;
use stoq_wire::stripe::Record;

use crate::mesh::PATIENCE;

/// How long to listen for nothing.
pub(crate) const MOMENT: Duration = Duration::from_millis(200);

pub(crate) struct Asker {
    socket: UdpSocket,
    remote: SocketAddr,
    endpoint: Endpoint,
    handle: ConnectionHandle,
    quic: Connection,
    /// Streams that the gateway does not want, and why.
    stopped: Vec<(StreamId, Option<StreamCode>)>,
    /// Packets that came in datagrams, with the tunnel they name.
    received: Vec<(u64, Bytes)>,
    /// Datagrams that are not for the connection.
    others: Vec<Vec<u8>>,
    /// Frames that came on streams, as far as they are whole.
    heard: HashMap<StreamId, BytesMut>,
    pub(crate) lost: Option<String>,
}

impl Asker {
    /// Shakes hands with the gateway at `remote`.
    pub(crate) fn connect(tls: &TlsContext, remote: SocketAddr) -> Self {
        Self::connect_with(tls, remote, TransportConfig::default())
    }

    /// The same, by somebody who takes so many bytes on a stream before it reads them.
    pub(crate) fn connect_narrow(tls: &TlsContext, remote: SocketAddr, window: u32) -> Self {
        let mut transport = TransportConfig::default();
        transport.stream_receive_window(window.into());
        Self::connect_with(tls, remote, transport)
    }

    fn connect_with(tls: &TlsContext, remote: SocketAddr, mut transport: TransportConfig) -> Self {
        let socket = UdpSocket::bind((remote.ip(), 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(5)))
            .unwrap();
        let config = EndpointConfig::new(tls.reset_key());
        let mut endpoint = Endpoint::new(Arc::new(config), None, true, None);
        let mut config = ClientConfig::new(tls.client_config(Expect::AnyInMesh, remote));
        transport.datagram_receive_buffer_size(Some(1 << 16));
        config.transport_config(Arc::new(transport));
        let dialled = endpoint.connect(Instant::now(), config, remote, "stoq");
        let (handle, quic) = dialled.unwrap();
        let mut asker = Self {
            socket,
            remote,
            endpoint,
            handle,
            quic,
            stopped: Vec::new(),
            received: Vec::new(),
            others: Vec::new(),
            heard: HashMap::new(),
            lost: None,
        };
        asker.until("the handshake is over", |asker| {
            !asker.quic.is_handshaking()
        });
        asker
    }

    /// Asks for a route, on a stream of its own.
    pub(crate) fn ask(&mut self, route: &Route) -> StreamId {
        self.say(&[Frame::Hop(Hop::Open(route.clone()))])
    }

    /// Asks for a route, and what the gateway resets it with.
    pub(crate) fn refused(&mut self, route: &Route) -> Option<StreamCode> {
        let stream = self.ask(route);
        self.code_of(stream)
    }

    /// What a stream is reset with.
    pub(crate) fn code_of(&mut self, stream: StreamId) -> Option<StreamCode> {
        self.until("the route is refused", |asker| {
            asker.stop_of(stream).is_some()
        });
        self.stop_of(stream).flatten()
    }

    /// Opens a stream of kind 3 with these frames.
    pub(crate) fn say(&mut self, frames: &[Frame]) -> StreamId {
        let mut bytes = Vec::new();
        for frame in frames {
            frame.encode(&mut bytes).unwrap();
        }
        let nowhere = (self.remote, self.remote);
        self.open(StreamKind::Frames, nowhere, &bytes)
    }

    /// Opens a stream of this kind, for a flow between these two, with these bytes behind its head.
    pub(crate) fn open(
        &mut self,
        kind: StreamKind,
        (source, destination): (SocketAddr, SocketAddr),
        behind: &[u8],
    ) -> StreamId {
        let mut bytes = Vec::new();
        StreamHead {
            kind,
            resume: false,
            tokens: false,
            flow: FlowId([7; 16]),
            sent: 0,
            received: 0,
            source,
            destination,
        }
        .encode(&mut bytes);
        bytes.extend_from_slice(behind);
        self.begin(&bytes)
    }

    /// Opens a stream with these bytes.
    pub(crate) fn begin(&mut self, bytes: &[u8]) -> StreamId {
        let stream = self.quic.streams().open(Dir::Bi).unwrap();
        self.add(stream, bytes);
        stream
    }

    /// Whether the other side does not want a stream any more.
    pub(crate) fn is_stopped(&self, stream: StreamId) -> bool {
        self.stop_of(stream).is_some()
    }

    /// Says more bytes on a stream: all of them, or as many as the other side wants to have.
    pub(crate) fn add(&mut self, stream: StreamId, mut bytes: &[u8]) {
        let until = Instant::now() + PATIENCE;
        while !bytes.is_empty() {
            assert!(Instant::now() < until, "{} bytes are left", bytes.len());
            match self.quic.send_stream(stream).write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(WriteError::Blocked) => {}
                // Refused by what it said before.
                Err(WriteError::Stopped(_)) => return self.turn(),
                Err(error) => panic!("{} bytes are left: {error}", bytes.len()),
            }
            self.turn();
        }
    }

    /// Resets its direction of a stream.
    pub(crate) fn reset(&mut self, stream: StreamId, code: StreamCode) {
        let code = VarInt::from_u64(code.as_u64()).unwrap();
        self.quic.send_stream(stream).reset(code).unwrap();
        self.turn();
    }

    /// Closes the connection.
    pub(crate) fn close(&mut self) {
        let now = Instant::now();
        self.quic.close(now, VarInt::from_u32(0), Bytes::new());
        self.turn();
    }

    /// The records that have come on a lane so far.
    pub(crate) fn records(&mut self, stream: StreamId) -> Vec<Record> {
        self.turn();
        self.gather(stream);
        let so_far = self.heard.entry(stream).or_default();
        std::iter::from_fn(|| Record::take(so_far).unwrap()).collect()
    }

    /// Says something more on a stream.
    pub(crate) fn more(&mut self, stream: StreamId, frame: &Frame) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes).unwrap();
        let written = self.quic.send_stream(stream).write(&bytes);
        assert_eq!(written, Ok(bytes.len()));
        self.turn();
    }

    /// Says something on a stream so often, without a look at what is answered.
    pub(crate) fn flood(&mut self, stream: StreamId, frame: &Frame, times: usize) {
        let mut one = Vec::new();
        frame.encode(&mut one).unwrap();
        self.add(stream, &one.repeat(times));
    }

    /// Ends a stream.
    pub(crate) fn end(&mut self, stream: StreamId) {
        self.quic.send_stream(stream).finish().unwrap();
        self.turn();
    }

    /// The next frame that the gateway says on a stream.
    pub(crate) fn heard(&mut self, stream: StreamId) -> Frame {
        let until = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < until, "nothing; lost: {:?}", self.lost);
            if let Some(frame) = self.next_frame(stream) {
                return frame;
            }
            self.turn();
        }
    }

    /// How many frames it says within a moment.
    pub(crate) fn heard_within_a_moment(&mut self, stream: StreamId) -> usize {
        let until = Instant::now() + MOMENT;
        while Instant::now() < until {
            self.turn();
        }
        std::iter::from_fn(|| self.next_frame(stream)).count()
    }

    fn gather(&mut self, stream: StreamId) {
        let so_far = self.heard.entry(stream).or_default();
        if let Ok(mut chunks) = self.quic.recv_stream(stream).read(true) {
            while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
                so_far.extend_from_slice(&chunk.bytes);
            }
        }
    }

    fn next_frame(&mut self, stream: StreamId) -> Option<Frame> {
        self.gather(stream);
        let so_far = self.heard.entry(stream).or_default();
        let (frame, used) = Frame::decode(so_far).unwrap()?;
        let _ = so_far.split_to(used);
        Some(frame)
    }

    /// Sends a datagram that is none of the connection's, from its address.
    pub(crate) fn send_raw(&mut self, datagram: &[u8]) {
        self.socket.send_to(datagram, self.remote).unwrap();
    }

    /// The next datagram under this id.
    pub(crate) fn raw(&mut self, id: BareId) -> Vec<u8> {
        let under = |one: &Vec<u8>| one.get(1..17) == Some(&id.0[..]);
        self.until("a datagram has come", |asker| {
            asker.others.iter().any(under)
        });
        let at = self.others.iter().position(under).unwrap();
        self.others.remove(at)
    }

    /// Datagrams so far that are not for the connection.
    pub(crate) fn others(&self) -> usize {
        self.others.len()
    }

    /// Sends a packet into a tunnel, in a datagram.
    pub(crate) fn send(&mut self, tunnel: u64, packet: &[u8]) {
        let frame = packet_frame(tunnel, packet);
        self.quic.datagrams().send(frame, false).unwrap();
        self.turn();
    }

    /// The next packet that came out of a tunnel.
    pub(crate) fn receive(&mut self) -> (u64, Bytes) {
        self.until("a packet has come", |asker| !asker.received.is_empty());
        self.received.remove(0)
    }

    /// What has come out of tunnels within a moment.
    pub(crate) fn within_a_moment(&mut self) -> Vec<(u64, Bytes)> {
        let until = Instant::now() + MOMENT;
        while Instant::now() < until {
            self.turn();
        }
        std::mem::take(&mut self.received)
    }

    /// The next packet that somebody else hears, and from where.
    pub(crate) fn heard_by(&mut self, other: &UdpSocket) -> (Vec<u8>, SocketAddr) {
        let until = Instant::now() + PATIENCE;
        let mut room = [0; 2000];
        loop {
            self.turn();
            if let Ok((length, from)) = other.recv_from(&mut room) {
                return (room[..length].to_vec(), from);
            }
            let lost = &self.lost;
            assert!(Instant::now() < until, "nothing is heard; lost: {lost:?}");
        }
    }

    pub(crate) fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !condition(self) {
            assert!(
                Instant::now() < until,
                "never: {what}; lost: {:?}",
                self.lost
            );
            self.turn();
        }
    }

    fn stop_of(&self, stream: StreamId) -> Option<Option<StreamCode>> {
        let mut stopped = self.stopped.iter();
        stopped
            .find(|(other, _)| *other == stream)
            .map(|(_, code)| *code)
    }

    /// Sends what there is, waits for a datagram, and takes it.
    fn turn(&mut self) {
        let (now, mut buffer) = (Instant::now(), Vec::new());
        if self.quic.poll_timeout().is_some_and(|at| at <= now) {
            self.quic.handle_timeout(now);
        }
        while let Some(transmit) = self.quic.poll_transmit(now, 1, &mut buffer) {
            self.socket
                .send_to(&buffer[..transmit.size], self.remote)
                .unwrap();
            buffer.clear();
        }
        let mut room = [0; 65_536];
        if let Ok((length, from)) = self.socket.recv_from(&mut room) {
            let data = BytesMut::from(&room[..length]);
            let event = self
                .endpoint
                .handle(Instant::now(), from, None, None, data, &mut buffer);
            match event {
                Some(DatagramEvent::ConnectionEvent(_, event)) => self.quic.handle_event(event),
                _ => self.others.push(room[..length].to_vec()),
            }
        }
        while let Some(event) = self.quic.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                self.quic.handle_event(event);
            }
        }
        while let Some(event) = self.quic.poll() {
            self.told(event);
        }
    }

    fn told(&mut self, event: Event) {
        match event {
            Event::Stream(StreamEvent::Stopped { id, error_code }) => {
                let code = StreamCode::from_u64(error_code.into_inner());
                self.stopped.push((id, code));
            }
            Event::ConnectionLost { reason } => self.lost = Some(reason.to_string()),
            Event::DatagramReceived => {
                let agreed = Negotiated {
                    extensions: stoq_wire::extension::HOPS,
                    ..Negotiated::default()
                };
                while let Some(datagram) = self.quic.datagrams().recv() {
                    let packet = StoqPacket::from_datagram(&datagram, &agreed).unwrap();
                    if let Some(Hop::Packet { tunnel, data }) = packet.hop {
                        self.received.push((tunnel, data));
                    }
                }
            }
            _ => {}
        }
    }
}
