//! Building a worker on the thread that starts the engine, so that everything that
//! can fail fails before the first thread runs.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpListener;
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};
use quinn_proto::crypto::HmacKey;
use quinn_proto::{Endpoint, ServerConfig};
use rand_core::{OsRng, RngCore};
use stoq_core::tls::ServerRole;

use super::handshakes::Handshakes;
use super::peers::Peers;
use super::timers::Timers;
use super::udp::Udp;
use super::{CAPTURE, LISTENERS, PORTS, Worker, XSK};
use crate::adaptation;
use crate::counters::FlowTable;
use crate::pool::BlockPool;
use crate::relay::down::Scratch;
use crate::shared::Shared;
use crate::socket::capture::CaptureSocket;
use crate::socket::udp::Datagrams;
use crate::transport;
use crate::xsk::Xsk;

/// Bytes of Initials kept while their handshake waits for its turn, per client and
/// in sum: a ClientHello of two datagrams, retransmitted some times.
const INCOMING_BUFFER: u64 = 16 * 1024;
const INCOMING_BUFFER_TOTAL: u64 = 4 << 20;

/// What a UDP socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PortKind {
    /// Peers with a certificate dial it.
    Mesh,
    /// Clients may have none.
    Bootstrap,
    /// We dial from it.
    Dial,
}

/// A UDP socket and what waits for it.
pub(crate) struct Port {
    pub(crate) kind: PortKind,
    pub(crate) datagrams: Datagrams,
    /// The UDP port it is bound to.
    pub(crate) number: u16,
    /// Whether the socket may have datagrams.
    pub(crate) readable: bool,
    /// Connections that wait until the socket is writable.
    pub(crate) starved: Vec<usize>,
}

/// What arrives at a TCP listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListenerKind {
    /// Connections of this pod's applications.
    Outbound,
    /// Plaintext for this pod's applications.
    Inbound,
}

/// A TCP listener.
pub(crate) struct Listener {
    pub(crate) kind: ListenerKind,
    pub(crate) socket: TcpListener,
    pub(crate) address: SocketAddr,
    /// Whether connections may be waiting.
    pub(crate) ready: bool,
}

/// The sockets of one worker. Every worker has the same ports in the same order:
/// a forwarded datagram names its port by index.
pub(crate) struct Plan {
    pub(crate) index: usize,
    pub(crate) poll: Poll,
    pub(crate) ports: Vec<(PortKind, Datagrams)>,
    pub(crate) xsk: Option<Xsk>,
    pub(crate) listeners: Vec<(ListenerKind, TcpListener)>,
    pub(crate) capture: Option<CaptureSocket>,
}

impl Worker {
    pub(crate) fn new(plan: Plan, shared: Arc<Shared>) -> io::Result<Self> {
        let Plan {
            index,
            poll,
            ports,
            xsk,
            listeners,
            capture,
        } = plan;
        let registry = poll.registry();
        let both = Interest::READABLE | Interest::WRITABLE;
        let mut own_ports = Vec::new();
        for (kind, datagrams) in ports {
            let token = Token(PORTS + own_ports.len());
            registry.register(&mut SourceFd(&datagrams.raw_fd()), token, both)?;
            own_ports.push(Port {
                kind,
                number: datagrams.port()?,
                datagrams,
                readable: true,
                starved: Vec::new(),
            });
        }
        if let Some(xsk) = &xsk {
            for (queue, fd) in xsk.raw_fds().enumerate() {
                registry.register(&mut SourceFd(&fd), Token(XSK + queue), both)?;
            }
            own_ports.iter().for_each(|port| xsk.take(port.number));
        }
        let mut own_listeners = Vec::new();
        for (kind, mut socket) in listeners {
            let token = Token(LISTENERS + own_listeners.len());
            registry.register(&mut socket, token, Interest::READABLE)?;
            let address = socket.local_addr()?;
            own_listeners.push(Listener {
                kind,
                socket,
                address,
                ready: true,
            });
        }
        if let Some(socket) = &capture {
            registry.register(&mut SourceFd(&socket.raw_fd()), CAPTURE, Interest::READABLE)?;
        }
        let settings = &shared.settings;
        let udp = capture.zip(settings.udp.as_ref());
        let udp = udp.map(|(socket, settings)| Udp::new(socket, settings));
        let policy =
            adaptation::policy(&settings.adapt, &settings.transport).map_err(io::Error::other)?;
        let controllers = transport::controllers(settings);
        let transport = Arc::new(transport::transport_config(
            &settings.transport,
            Arc::clone(&controllers),
        ));
        let inner_payload =
            transport::inner_payload(&settings.transport, shared.tls.packet_reserve());
        let inner_transport = Arc::new(transport::inner_transport_config(
            &settings.transport,
            Arc::clone(&controllers),
            inner_payload,
        ));
        let reset_key: Arc<dyn HmacKey> = shared.tls.reset_key();
        let mark = super::hops::Mark::of(&*reset_key);
        let number = index as u8;
        let generation = shared.generation;
        let config =
            transport::endpoint_config(&settings.transport, reset_key, (number, generation, mark));
        let server = |role| {
            let crypto = shared.tls.server_config(role);
            let mut config = ServerConfig::new(crypto, shared.tls.token_key());
            config
                .transport_config(Arc::clone(&transport))
                // Pods do not move; an address change is somebody else's packet.
                .migration(false)
                .max_incoming(settings.limits.handshakes as usize)
                .incoming_buffer_size(INCOMING_BUFFER)
                .incoming_buffer_size_total(INCOMING_BUFFER_TOTAL);
            Arc::new(config)
        };
        let has = |kind| own_ports.iter().any(|port| port.kind == kind);
        let mesh = has(PortKind::Mesh).then(|| server(ServerRole::Mesh));
        let bootstrap = has(PortKind::Bootstrap).then(|| server(ServerRole::Bootstrap));
        let may_fragment = own_ports.iter().any(|port| port.datagrams.may_fragment());
        let first = mesh.clone().or_else(|| bootstrap.clone());
        let endpoint = Endpoint::new(Arc::new(config), first, !may_fragment, None);
        let table = shared.table.load_full();
        Ok(Self {
            index,
            access: Arc::clone(table.access()),
            table,
            poll,
            endpoint,
            transport,
            inner_transport,
            inner_payload,
            controllers,
            policy,
            mesh,
            bootstrap,
            ports: own_ports,
            xsk,
            listeners: own_listeners,
            links: Vec::new(),
            flows: slab::Slab::new(),
            peers: Peers::default(),
            udp,
            flow_table: FlowTable::new(Arc::clone(&shared.counters[index])),
            api_flows: std::collections::HashMap::new(),
            objects: super::objects::Objects::default(),
            mirrors: super::mirrors::Mirrors::default(),
            stripe_lanes: 0,
            tunnels: super::hops::Tunnels::new(mark),
            handshakes: Handshakes::default(),
            proofs: super::proofs::ProofQueue::default(),
            timers: Timers::default(),
            early: Vec::new(),
            active: Vec::new(),
            runnable: std::collections::VecDeque::new(),
            blocks: BlockPool::new(),
            scratch: Scratch::new(),
            outgoing: Vec::new(),
            serial: 0,
            random: OsRng.next_u64() | 1,
            extra_window: 0,
            granted: std::collections::VecDeque::new(),
            moving: false,
            busy_since_trim: false,
            trim_armed: false,
            draining: false,
            stop: false,
            shared,
        })
    }
}
