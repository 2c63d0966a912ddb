//! Two quinn-proto endpoints in memory. Nothing is lost unless a test drops it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig,
    Event, ServerConfig, StreamId, TransportConfig,
};
use rand_core::OsRng;
use stoq_core::authorise::{Expect, Trust};
use stoq_core::cert::{CertificateAuthority, Csr, Validity, csr, random_serial};
use stoq_core::clock::{Clock, SystemClock};
use stoq_core::key::HybridKey;
use stoq_core::profile::CryptoProfile;
use stoq_core::spiffe::{SpiffeId, TrustDomain};
use stoq_core::tls::{ServerRole, TlsContext, TlsSettings};

pub(crate) struct End {
    endpoint: Endpoint,
    address: SocketAddr,
    connection: Option<(ConnectionHandle, Connection)>,
    pub(crate) events: Vec<Event>,
}

pub(crate) struct Pair {
    pub(crate) client: End,
    pub(crate) server: End,
    now: Instant,
}

fn context() -> Arc<TlsContext> {
    let domain = TrustDomain::parse("mesh.test").unwrap();
    let now = SystemClock.now();
    let validity = Validity {
        not_before: now - 60,
        not_after: now + 3600,
    };
    let profile = CryptoProfile::Hybrid512;
    let serial = random_serial(&mut OsRng);
    let ca = CertificateAuthority::create(&domain, profile, validity, &serial, &mut OsRng);
    let ca = ca.unwrap();
    let settings = TlsSettings {
        profile,
        ..TlsSettings::default()
    };
    let tls = TlsContext::new(settings, Arc::new(SystemClock));
    let key = HybridKey::generate(profile, &mut OsRng);
    let csr = Csr::parse_and_verify(&csr::build(&key, &mut OsRng)).unwrap();
    let id = SpiffeId::new(&domain, "shop", "both").unwrap();
    let serial = random_serial(&mut OsRng);
    let leaf = ca.issue(&csr, &id, validity, &serial, &mut OsRng).unwrap();
    tls.set_identity(key, leaf).unwrap();
    tls.set_trust(Trust::new(domain, vec![ca.root().clone()]));
    tls
}

impl End {
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.connection.as_mut().unwrap().1
    }

    /// Whatever the connection has to send now, one datagram each.
    pub(crate) fn outbound(&mut self, now: Instant) -> Vec<BytesMut> {
        let Some((handle, connection)) = &mut self.connection else {
            return Vec::new();
        };
        let mut datagrams = Vec::new();
        let mut buffer = Vec::new();
        while let Some(transmit) = connection.poll_transmit(now, 1, &mut buffer) {
            datagrams.push(BytesMut::from(&buffer[..transmit.size]));
            buffer.clear();
        }
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        while let Some(event) = connection.poll() {
            self.events.push(event);
        }
        datagrams
    }

    pub(crate) fn receive(&mut self, now: Instant, from: SocketAddr, datagram: BytesMut) {
        let mut buffer = Vec::new();
        let event = self
            .endpoint
            .handle(now, from, None, None, datagram, &mut buffer);
        match event {
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                self.connection().handle_event(event);
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                let accepted = self.endpoint.accept(incoming, now, &mut buffer, None);
                self.connection = Some(accepted.unwrap_or_else(|e| panic!("{}", e.cause)));
            }
            other => assert!(other.is_none(), "{:?}", other.is_some()),
        }
        while let Some(event) = self.connection.as_mut().and_then(|(_, c)| c.poll()) {
            self.events.push(event);
        }
    }

    pub(crate) fn lost(&self) -> bool {
        self.events
            .iter()
            .any(|event| matches!(event, Event::ConnectionLost { .. }))
    }
}

impl Pair {
    /// A connected pair whose server has this configuration.
    pub(crate) fn connect(server: TransportConfig) -> Self {
        let tls = context();
        let endpoint = |config: Option<Arc<ServerConfig>>| {
            Endpoint::new(
                Arc::new(EndpointConfig::new(tls.reset_key())),
                config,
                true,
                None,
            )
        };
        let mut config = ServerConfig::new(tls.server_config(ServerRole::Mesh), tls.token_key());
        config.transport_config(Arc::new(server));
        let end = |endpoint, address: &str| End {
            endpoint,
            address: address.parse().unwrap(),
            connection: None,
            events: Vec::new(),
        };
        let mut client = end(endpoint(None), "[fd00::1]:40000");
        let server = end(endpoint(Some(Arc::new(config))), "[fd00::2]:14008");
        let now = Instant::now();
        let mut config = ClientConfig::new(tls.client_config(Expect::AnyInMesh, server.address));
        // What is under test is the receiver: nothing else may hold the sender back.
        let mut cubic = quinn_proto::congestion::CubicConfig::default();
        cubic.initial_window(64 << 20);
        let mut transport = TransportConfig::default();
        transport.congestion_controller_factory(Arc::new(cubic));
        config.transport_config(Arc::new(transport));
        let dialled = client.endpoint.connect(now, config, server.address, "stoq");
        client.connection = Some(dialled.unwrap());
        let mut pair = Self {
            client,
            server,
            now,
        };
        pair.settle();
        assert!(!pair.client.connection().is_handshaking());
        assert!(!pair.server.connection().is_handshaking());
        pair
    }

    /// Lets a millisecond pass, for the sender's pacing.
    pub(crate) fn tick(&mut self) {
        self.now += Duration::from_millis(1);
    }

    /// What the client has to send now.
    pub(crate) fn client_sends(&mut self) -> Vec<BytesMut> {
        self.client.outbound(self.now)
    }

    /// One transmit of the client with up to `segments` datagrams.
    pub(crate) fn client_transmit(
        &mut self,
        segments: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<quinn_proto::Transmit> {
        let now = self.now;
        self.client
            .connection()
            .poll_transmit(now, segments, buffer)
    }

    pub(crate) fn server_receives(&mut self, datagram: BytesMut) {
        self.server.receive(self.now, self.client.address, datagram);
    }

    /// Delivers everything until both are silent.
    pub(crate) fn settle(&mut self) {
        loop {
            let forth = self.client.outbound(self.now);
            let back = self.server.outbound(self.now);
            if forth.is_empty() && back.is_empty() {
                return;
            }
            for datagram in forth {
                self.server.receive(self.now, self.client.address, datagram);
            }
            for datagram in back {
                self.client.receive(self.now, self.server.address, datagram);
            }
        }
    }

    /// A stream opened by the client.
    pub(crate) fn open(&mut self) -> StreamId {
        self.client.connection().streams().open(Dir::Bi).unwrap()
    }
}
