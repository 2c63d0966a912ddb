//! Two quinn-proto endpoints in memory, joined by a wire that counts.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{
    ClientConfig, Connection, ConnectionError, ConnectionHandle, DatagramEvent, Endpoint,
    EndpointConfig, Event, ServerConfig, Side, TransportConfig, crypto,
};
use stoq_core::authorise::Expect;
use stoq_core::session::Evidence;
use stoq_core::tls::{ServerRole, TlsContext};

use crate::mesh::Workload;

pub(crate) const CLIENT: &str = "[fd00::1]:40000";
pub(crate) const SERVER: &str = "[fd00::2]:14008";

/// One end of the wire.
pub(crate) struct End {
    endpoint: Endpoint,
    address: SocketAddr,
    pub(crate) connection: Option<(ConnectionHandle, Connection)>,
    /// Datagrams on their way out.
    outbound: VecDeque<BytesMut>,
    pub(crate) events: Vec<Event>,
    /// Sizes of the datagrams it sent.
    pub(crate) sent: Vec<usize>,
    /// Answer unvalidated addresses with a Retry.
    pub(crate) retry: bool,
    /// Keep copies of what is sent.
    pub(crate) record: bool,
    recorded: Vec<BytesMut>,
    buffer: Vec<u8>,
}

/// A client and a server; time passes by hand.
pub(crate) struct Pair {
    pub(crate) client: End,
    pub(crate) server: End,
    pub(crate) now: Instant,
    /// Times that datagrams crossed from the server to the client.
    pub(crate) round_trips: usize,
}

/// Transport parameters to begin a session with where no endpoint does it.
pub(crate) fn quic_parameters() -> TransportParameters {
    // initial_source_connection_id, empty
    TransportParameters::read(Side::Server, &mut &[0x0f, 0x00][..]).unwrap()
}

/// The sessions of a client and a server alone, with the handshake behind them.
pub(crate) fn shaken(client: &Workload, server: &Workload) -> [Box<dyn crypto::Session>; 2] {
    let dialled = client
        .tls
        .client_config(Expect::Id(server.id.clone()), SERVER.parse().unwrap());
    let dialled = dialled.start_session(1, "unused", &quic_parameters());
    let accepted = server.tls.server_config(ServerRole::Mesh);
    let mut sessions = [
        dialled.unwrap(),
        accepted.start_session(1, &quic_parameters()),
    ];
    // ClientHello; the server's flight; the client's; tickets.
    for turn in 0..4 {
        let [client, server] = &mut sessions;
        let (from, to) = match turn % 2 {
            0 => (client, server),
            _ => (server, client),
        };
        loop {
            let mut messages = Vec::new();
            let keys = from.write_handshake(&mut messages);
            if !messages.is_empty() {
                to.read_handshake(&messages).unwrap();
            } else if keys.is_none() {
                break;
            }
        }
    }
    sessions
}

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .initial_mtu(1452)
        .mtu_discovery_config(None)
        .max_idle_timeout(Some(Duration::from_secs(30).try_into().unwrap()));
    Arc::new(transport)
}

impl End {
    fn new(tls: &TlsContext, server: Option<Arc<dyn crypto::ServerConfig>>, address: &str) -> Self {
        let mut config = EndpointConfig::new(tls.reset_key());
        config.supported_versions(vec![1]);
        let server = server.map(|crypto| {
            let mut config = ServerConfig::new(crypto, tls.token_key());
            config.transport_config(transport());
            Arc::new(config)
        });
        Self {
            endpoint: Endpoint::new(Arc::new(config), server, true, None),
            address: address.parse().unwrap(),
            connection: None,
            outbound: VecDeque::new(),
            events: Vec::new(),
            sent: Vec::new(),
            retry: false,
            record: false,
            recorded: Vec::new(),
            buffer: Vec::new(),
        }
    }

    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.connection.as_mut().expect("there is a connection").1
    }

    /// Takes in one datagram.
    fn receive(&mut self, now: Instant, from: SocketAddr, datagram: BytesMut) {
        self.buffer.clear();
        let event = self
            .endpoint
            .handle(now, from, None, None, datagram, &mut self.buffer);
        match event {
            Some(DatagramEvent::ConnectionEvent(_, event)) => self.connection().handle_event(event),
            Some(DatagramEvent::NewConnection(incoming)) => {
                self.buffer.clear();
                if self.retry && !incoming.remote_address_validated() {
                    let retry = self.endpoint.retry(incoming, &mut self.buffer).unwrap();
                    self.outbound
                        .push_back(BytesMut::from(&self.buffer[..retry.size]));
                    return;
                }
                match self.endpoint.accept(incoming, now, &mut self.buffer, None) {
                    Ok(accepted) => self.connection = Some(accepted),
                    Err(error) => {
                        if let Some(response) = error.response {
                            self.outbound
                                .push_back(BytesMut::from(&self.buffer[..response.size]));
                        }
                        self.events.push(Event::ConnectionLost {
                            reason: error.cause,
                        });
                    }
                }
            }
            Some(DatagramEvent::Response(transmit)) => {
                self.outbound
                    .push_back(BytesMut::from(&self.buffer[..transmit.size]));
            }
            None => {}
        }
    }

    /// Lets the connection work; true if anything came of it.
    fn drive(&mut self, now: Instant) -> bool {
        let Some((handle, connection)) = &mut self.connection else {
            return false;
        };
        let mut progress = false;
        loop {
            self.buffer.clear();
            let Some(transmit) = connection.poll_transmit(now, 1, &mut self.buffer) else {
                break;
            };
            self.outbound
                .push_back(BytesMut::from(&self.buffer[..transmit.size]));
            progress = true;
        }
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
            progress = true;
        }
        while let Some(event) = connection.poll() {
            self.events.push(event);
            progress = true;
        }
        progress
    }

    fn timeout(&mut self, now: Instant) {
        if let Some((_, connection)) = &mut self.connection
            && connection.poll_timeout().is_some_and(|at| at <= now)
        {
            connection.handle_timeout(now);
        }
    }

    /// Changes the last byte of all that waits to be sent.
    pub(crate) fn tamper(&mut self) {
        for datagram in &mut self.outbound {
            let last = datagram.len() - 1;
            datagram[last] ^= 1;
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        let connected = |event: &Event| matches!(event, Event::Connected);
        self.events.iter().any(connected)
    }

    /// Why the connection was lost, if it was.
    pub(crate) fn lost(&self) -> Option<&ConnectionError> {
        self.events.iter().find_map(|event| match event {
            Event::ConnectionLost { reason } => Some(reason),
            _ => None,
        })
    }

    /// The transport error that this end closed with: code and reason.
    pub(crate) fn refusal(&self) -> (u64, String) {
        match self.lost() {
            Some(ConnectionError::TransportError(error)) => {
                (error.code.into(), error.reason.clone())
            }
            other => panic!("not refused here: {other:?}"),
        }
    }

    /// The code and reason that the other end closed with.
    pub(crate) fn refused_by_peer(&self) -> (u64, String) {
        match self.lost() {
            Some(ConnectionError::ConnectionClosed(close)) => (
                close.error_code.into(),
                String::from_utf8(close.reason.to_vec()).unwrap(),
            ),
            other => panic!("not refused by the peer: {other:?}"),
        }
    }

    pub(crate) fn evidence(&mut self) -> Evidence {
        let data = self.connection().crypto_session().handshake_data();
        let evidence: Arc<Evidence> = *data.expect("negotiated").downcast().unwrap();
        Arc::unwrap_or_clone(evidence)
    }

    pub(crate) fn export(&mut self, label: &[u8], context: &[u8]) -> [u8; 32] {
        let mut out = [0; 32];
        self.connection()
            .crypto_session()
            .export_keying_material(&mut out, label, context)
            .unwrap();
        out
    }
}

impl Pair {
    /// A server of `role` and a client that has begun to dial it.
    pub(crate) fn dial(
        client: &TlsContext,
        server: &TlsContext,
        role: ServerRole,
        expect: Expect,
    ) -> Self {
        let address = SERVER.parse().unwrap();
        Self::with(
            client,
            client.client_config(expect, address),
            server,
            server.server_config(role),
        )
    }

    /// As [`dial`](Self::dial), with crypto configurations of one's own.
    pub(crate) fn with(
        client: &TlsContext,
        client_config: Arc<dyn crypto::ClientConfig>,
        server: &TlsContext,
        server_config: Arc<dyn crypto::ServerConfig>,
    ) -> Self {
        let mut pair = Self {
            client: End::new(client, None, CLIENT),
            server: End::new(server, Some(server_config), SERVER),
            now: Instant::now(),
            round_trips: 0,
        };
        let mut config = ClientConfig::new(client_config);
        config.transport_config(transport());
        let dialled = pair
            .client
            .endpoint
            .connect(pair.now, config, SERVER.parse().unwrap(), "unused")
            .unwrap();
        pair.client.connection = Some(dialled);
        pair
    }

    /// Carries what the client has to say to the server; true if anything was.
    pub(crate) fn client_speaks(&mut self) -> bool {
        let progress = self.client.drive(self.now);
        carry(&mut self.client, &mut self.server, self.now) || progress
    }

    /// Carries what the server has to say to the client; true if anything was.
    pub(crate) fn server_speaks(&mut self) -> bool {
        let progress = self.server.drive(self.now);
        let carried = carry(&mut self.server, &mut self.client, self.now);
        self.round_trips += usize::from(carried);
        carried || progress
    }

    /// Until neither end has anything to say.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100 {
            let (client, server) = (self.client_speaks(), self.server_speaks());
            if !client && !server {
                return;
            }
        }
        panic!("the ends never fall silent");
    }

    /// Carries what the client recorded to the server once more.
    pub(crate) fn replay(&mut self) {
        let recorded = std::mem::take(&mut self.client.recorded);
        for datagram in recorded {
            let from = self.client.address;
            self.server.receive(self.now, from, datagram);
        }
    }

    /// Lets time pass, in steps, and the ends talk.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(10);
            self.client.timeout(self.now);
            self.server.timeout(self.now);
            self.settle();
        }
    }

    /// Sends bytes from the client on a new stream; what the server read.
    pub(crate) fn send(&mut self, bytes: &'static [u8]) -> Vec<u8> {
        let id = self
            .client
            .connection()
            .streams()
            .open(quinn_proto::Dir::Uni)
            .expect("a stream is free");
        let mut stream = self.client.connection().send_stream(id);
        assert_eq!(stream.write(bytes), Ok(bytes.len()));
        stream.finish().unwrap();
        self.pass(Duration::from_millis(50));
        let accepted = self
            .server
            .connection()
            .streams()
            .accept(quinn_proto::Dir::Uni)
            .expect("the stream arrived");
        let mut stream = self.server.connection().recv_stream(accepted);
        let mut chunks = stream.read(true).unwrap();
        let mut read = Vec::new();
        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
            read.extend_from_slice(&chunk.bytes);
        }
        let _ = chunks.finalize();
        read
    }
}

fn carry(from: &mut End, to: &mut End, now: Instant) -> bool {
    let mut carried = false;
    while let Some(datagram) = from.outbound.pop_front() {
        from.sent.push(datagram.len());
        if from.record {
            from.recorded.push(datagram.clone());
        }
        to.receive(now, from.address, datagram);
        carried = true;
    }
    carried
}
