//! One end of a flow: a real connection, and the driver around it in small.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use quinn_proto::congestion::ControllerFactory;
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, EcnCodepoint, Endpoint,
    EndpointConfig, Event, MtuDiscoveryConfig, ServerConfig, StreamEvent, StreamId,
    TransportConfig, VarInt,
};
use stoq_adapt::{AdaptiveConfig, Congestion, PathHandle};

use crate::plain::Plain;

/// Bytes of a datagram.
pub(crate) const MTU: u16 = 1452;

/// Bytes of an application's datagram.
pub(crate) const DATAGRAM: usize = 1200;

/// Bytes in flight at first: RFC 6928.
pub(crate) const INITIAL_WINDOW: u64 = 10 * 1452;

/// Bytes written and not yet acknowledged: more than any path here takes.
pub(crate) const SEND_WINDOW: u64 = 4_000_000;

/// Bytes unread that hold nobody back.
pub(crate) const WIDE: u32 = 64_000_000;

pub(crate) const CLIENT: &str = "192.0.2.1:1000";
pub(crate) const SERVER: &str = "192.0.2.2:2000";

/// An endpoint with at most one connection.
pub(crate) struct Side {
    endpoint: Endpoint,
    pub(crate) connection: Option<(ConnectionHandle, Connection)>,
    remote: SocketAddr,
    /// Whether the handshake is complete.
    pub(crate) connected: bool,
    writing: Option<StreamId>,
    reading: Option<StreamId>,
    /// Bytes read by the application.
    pub(crate) received: u64,
    /// Datagrams that the application had sent, and that it got.
    pub(crate) datagrams: (u64, u64),
    /// The timer in the world's queue.
    armed: Option<Instant>,
}

/// What makes an endpoint's congestion controllers.
pub(crate) type Factory = Arc<dyn ControllerFactory + Send + Sync>;

/// Controllers of ours that begin with this one.
pub(crate) fn ours(congestion: Congestion, seed: u64) -> Factory {
    Arc::new(AdaptiveConfig::new(congestion, INITIAL_WINDOW, seed))
}

fn transport(factory: Factory, stream_window: u32) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config
        .initial_mtu(MTU)
        .mtu_discovery_config(None::<MtuDiscoveryConfig>)
        .initial_rtt(Duration::from_millis(100))
        .stream_receive_window(VarInt::from_u32(stream_window))
        .receive_window(VarInt::from_u32(WIDE))
        .send_window(SEND_WINDOW)
        .max_idle_timeout(None)
        .congestion_controller_factory(factory);
    Arc::new(config)
}

fn endpoint(server: Option<ServerConfig>, seed: u64) -> Endpoint {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Arc::new(EndpointConfig::new(Arc::new(Plain)));
    Endpoint::new(config, server.map(Arc::new), true, Some(bytes))
}

impl Side {
    pub(crate) fn client(factory: Factory, now: Instant, seed: u64) -> Self {
        let mut endpoint = endpoint(None, seed);
        let mut config = ClientConfig::new(Arc::new(Plain));
        config.transport_config(transport(factory, WIDE));
        let remote = SERVER.parse().expect("an address");
        let connection = endpoint.connect(now, config, remote, "server");
        Self {
            connection: Some(connection.expect("a connection")),
            ..Self::new(endpoint, remote)
        }
    }

    pub(crate) fn server(seed: u64, stream_window: u32) -> Self {
        let mut config = ServerConfig::new(Arc::new(Plain), Arc::new(Plain));
        config.transport_config(transport(ours(Congestion::Cubic, seed), stream_window));
        let remote = CLIENT.parse().expect("an address");
        Self::new(endpoint(Some(config), seed ^ 1), remote)
    }

    fn new(endpoint: Endpoint, remote: SocketAddr) -> Self {
        Self {
            endpoint,
            connection: None,
            remote,
            connected: false,
            writing: None,
            reading: None,
            received: 0,
            datagrams: (0, 0),
            armed: None,
        }
    }

    pub(crate) fn quic(&mut self) -> Option<&mut Connection> {
        self.connection.as_mut().map(|(_, quic)| quic)
    }

    /// The handle of the controller.
    pub(crate) fn path(&mut self) -> Arc<PathHandle> {
        let quic = self.quic().expect("a connection");
        PathHandle::of(quic.congestion_state()).expect("our controller")
    }

    /// A datagram arrives.
    pub(crate) fn handle(&mut self, now: Instant, data: BytesMut, ecn: Option<EcnCodepoint>) {
        let mut reply = Vec::new();
        let event = self
            .endpoint
            .handle(now, self.remote, None, ecn, data, &mut reply);
        match event {
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                if let Some(quic) = self.quic() {
                    quic.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                let accepted = self.endpoint.accept(incoming, now, &mut reply, None);
                self.connection = Some(accepted.expect("an accepted connection"));
            }
            Some(DatagramEvent::Response(_)) | None => {}
        }
    }

    /// Passes events on, and lets the application read what has arrived.
    pub(crate) fn settle(&mut self) {
        let Some((handle, quic)) = &mut self.connection else {
            return;
        };
        while let Some(event) = quic.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                quic.handle_event(event);
            }
        }
        while let Some(event) = quic.poll() {
            match event {
                Event::Connected => self.connected = true,
                Event::ConnectionLost { reason } => panic!("the connection is lost: {reason}"),
                Event::Stream(StreamEvent::Opened { dir }) => {
                    self.reading = quic.streams().accept(dir);
                }
                _ => {}
            }
        }
        while quic.datagrams().recv().is_some() {
            self.datagrams.1 += 1;
        }
        let Some(stream) = self.reading else {
            return;
        };
        let mut receiving = quic.recv_stream(stream);
        let Ok(mut chunks) = receiving.read(true) else {
            return;
        };
        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
            assert!(chunk.bytes.iter().all(|byte| *byte == 0x42), "corrupted");
            self.received += chunk.bytes.len() as u64;
        }
        let _ = chunks.finalize();
    }

    /// The application writes; how much of it was taken.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        let Some((_, quic)) = &mut self.connection else {
            return 0;
        };
        if self.writing.is_none() {
            self.writing = quic.streams().open(Dir::Uni);
        }
        let Some(stream) = self.writing else {
            return 0;
        };
        quic.send_stream(stream).write(bytes).unwrap_or(0)
    }

    /// The application sends datagrams; what finds no room is lost.
    pub(crate) fn send_datagrams(&mut self, count: usize) {
        static PAYLOAD: [u8; DATAGRAM] = [0x42; DATAGRAM];
        let Some((_, quic)) = &mut self.connection else {
            return;
        };
        for _ in 0..count {
            let _ = quic.datagrams().send(Bytes::from_static(&PAYLOAD), false);
            self.datagrams.0 += 1;
        }
    }

    /// Handles a timer that is due.
    pub(crate) fn expire(&mut self, now: Instant) {
        if self.armed.is_some_and(|at| at <= now) {
            self.armed = None;
        }
        if let Some(quic) = self.quic()
            && quic.poll_timeout().is_some_and(|at| at <= now)
        {
            quic.handle_timeout(now);
        }
    }

    /// Notes the next timer; when it is earlier than the one in the world's queue, that instant.
    pub(crate) fn arm(&mut self, next: Option<Instant>, now: Instant) -> Option<Instant> {
        let at = next?.max(now);
        if self.armed.is_some_and(|armed| armed <= at) {
            return None;
        }
        self.armed = Some(at);
        Some(at)
    }
}
