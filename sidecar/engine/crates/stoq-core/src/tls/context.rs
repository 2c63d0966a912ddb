//! The context: identity, trust, tickets, and the configurations over them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quinn_proto::Side;
use quinn_proto::crypto::{ClientConfig, HandshakeTokenKey, HmacKey, ServerConfig};
use stoq_wire::parameters::StoqParameters;
use zeroize::Zeroizing;

use super::config::Configs;
use super::endpoint::EndpointKeys;
use super::shared::{IdentityError, Shared};
use crate::authorise::{Expect, Peer, Refusal, Trust, reauthorise};
use crate::clock::Clock;
use crate::key::HybridKey;
use crate::profile::CryptoProfile;
use crate::session::{ClientSessions, ServerSessions};
use crate::spiffe::SpiffeId;
use crate::tickets::{ClientTickets, SealedTickets, ServerTickets, TicketKey, TicketScope};

/// The cipher of packets after the handshake's first flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Aead {
    /// TLS_AES_256_GCM_SHA384. The default.
    #[default]
    Aes256Gcm,
    /// TLS_AES_128_GCM_SHA256.
    Aes128Gcm,
}

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerRole {
    /// Between workloads: a client must have a certificate.
    Mesh,
    /// The CA and registry: a client may have none yet.
    Bootstrap,
}

impl ServerRole {
    /// Whom a listener of this role lets in.
    #[must_use]
    pub fn expect(self) -> Expect {
        match self {
            Self::Mesh => Expect::AnyInMesh,
            Self::Bootstrap => Expect::Bootstrap,
        }
    }
}

/// What a context is made with; fixed for its life, but for the profile.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// The algorithms to use: which keys are our own, and what we ask peers for.
    pub profile: CryptoProfile,
    /// Whether the other hybrid degree is accepted from peers too.
    pub accept_other_degree: bool,
    /// The packet cipher.
    pub aead: Aead,
    /// Whether sessions can be resumed (PSK, still with the key exchange).
    pub tickets: bool,
    /// Sessions remembered on each side, at about 4 KB each; at twice that of a control plane.
    pub max_tickets: usize,
    /// What we say of ourselves in the transport parameters. An extension is offered by its bit:
    /// only what the endpoint handles may be there.
    pub parameters: StoqParameters,
    /// Makes the same stateless reset tokens (RFC 9000, section 10.3.2) as the process
    /// before us that had the same secret, so that peers of its connections learn at
    /// once that these are gone; none: random.
    pub reset_secret: Option<ResetSecret>,
}

/// 32 bytes that only this workload knows; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ResetSecret(pub Zeroizing<[u8; 32]>);

impl std::fmt::Debug for ResetSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ResetSecret")
    }
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            profile: CryptoProfile::Hybrid1024,
            accept_other_degree: false,
            aead: Aead::Aes256Gcm,
            tickets: true,
            max_tickets: 4096,
            parameters: StoqParameters::default(),
            reset_secret: None,
        }
    }
}

/// TLS for all connections of a process. Cheap to share; identity and trust
/// are replaced at any time without touching connections.
pub struct TlsContext {
    pub(super) shared: Arc<Shared>,
    configs: Configs,
    server_tickets: Arc<ServerTickets>,
    sealed_tickets: Arc<SealedTickets>,
    endpoint: EndpointKeys,
    identities: AtomicU64,
}

impl TlsContext {
    /// A context without identity or trust: until both are set it refuses
    /// everybody, and peers refuse it.
    #[must_use]
    pub fn new(settings: TlsSettings, clock: Arc<dyn Clock>) -> Arc<Self> {
        let client_tickets = Arc::new(ClientTickets::new(settings.max_tickets, clock.clone()));
        let server_tickets = Arc::new(ServerTickets::new(settings.max_tickets, clock.clone()));
        let shared = Arc::new(Shared::new(&settings, clock.clone(), client_tickets));
        let sealed_tickets = Arc::new(SealedTickets::new(clock, shared.random));
        let (listed, sealed) = (server_tickets.clone(), sealed_tickets.clone());
        Arc::new(Self {
            configs: Configs::new(&settings, &shared, listed, sealed),
            endpoint: EndpointKeys::new(shared.random, settings.reset_secret.as_ref()),
            server_tickets,
            sealed_tickets,
            shared,
            identities: AtomicU64::new(0),
        })
    }

    /// Sets our SVID and forgets all tickets, which name the old one.
    ///
    /// # Errors
    /// [`IdentityError`] if the leaf is malformed, belongs to another key, or
    /// is not of the profile's FALCON degree. The old identity then stays.
    pub fn set_identity(&self, key: HybridKey, leaf_der: Vec<u8>) -> Result<(), IdentityError> {
        self.shared.set_identity(key, leaf_der)?;
        self.identities.fetch_add(1, Ordering::Release);
        self.flush_tickets();
        Ok(())
    }

    /// Forgets our SVID: the mesh refuses us until another is set. There is no
    /// need to when it runs out: a client shows none that has, and can then ask
    /// the bootstrap listener for a new one.
    pub fn clear_identity(&self) {
        self.shared.clear_identity();
        self.identities.fetch_add(1, Ordering::Release);
        self.flush_tickets();
    }

    /// Grows whenever our identity changes: a connection dialled at another number
    /// shows its peer an identity that is no longer ours.
    #[must_use]
    pub fn identity_version(&self) -> u64 {
        self.identities.load(Ordering::Acquire)
    }

    /// The SPIFFE id of our SVID, which may have run out.
    #[must_use]
    pub fn spiffe_id(&self) -> Option<SpiffeId> {
        let identity = self.shared.identity(Side::Server)?;
        Some(identity.spiffe.clone())
    }

    /// Bytes at the end of each packet that we ask for; a connection has no more.
    #[must_use]
    pub fn packet_reserve(&self) -> u16 {
        // It was held against its bound, or is refused by peers.
        u16::try_from(self.shared.parameters(Side::Client).packet_reserve).unwrap_or(u16::MAX)
    }

    /// Whether we have an SVID that has not run out, so that new connections
    /// are authenticated both ways.
    #[must_use]
    pub fn has_identity(&self) -> bool {
        self.shared.identity(Side::Client).is_some()
    }

    /// Replaces roots and revocations and forgets all tickets. Live
    /// connections are the caller's to [`reauthorise`](Self::reauthorise).
    pub fn set_trust(&self, trust: Trust) {
        self.shared.set_trust(trust);
        self.flush_tickets();
    }

    /// Replaces the keys of the tickets that a [`ServerRole::Bootstrap`] listener gives to clients
    /// with a certificate: whoever has the same keys resumes their sessions. Without any it gives
    /// none. Of those whose time has come the newest seals, for a day at most, and all open.
    pub fn set_ticket_keys(&self, keys: &[TicketKey]) {
        self.sealed_tickets.set(keys);
    }

    fn flush_tickets(&self) {
        self.shared.client_tickets.clear();
        self.server_tickets.clear();
    }

    /// What to dial a peer with: one object per dial, cheap to make. The peer
    /// must be whom we `expect`; sessions are resumed per expected id and
    /// address. The server name given to quinn-proto is not used.
    #[must_use]
    pub fn client_config(&self, expect: Expect, address: SocketAddr) -> Arc<dyn ClientConfig> {
        self.sessions(expect, address, None)
    }

    /// As [`client_config`](Self::client_config), for a connection inside another: the peer is told
    /// that a UDP payload to us has at most `payload` bytes, so that its first flight fits already.
    #[must_use]
    pub fn inner_config(
        &self,
        expect: Expect,
        address: SocketAddr,
        payload: u16,
    ) -> Arc<dyn ClientConfig> {
        self.sessions(expect, address, Some(payload))
    }

    fn sessions(
        &self,
        expect: Expect,
        address: SocketAddr,
        payload: Option<u16>,
    ) -> Arc<dyn ClientConfig> {
        Arc::new(ClientSessions {
            shared: self.shared.clone(),
            tls: self.configs.client.clone(),
            initial: self.configs.initial,
            scope: TicketScope::new(&expect, address),
            expect,
            payload,
        })
    }

    /// What a listener accepts peers with.
    #[must_use]
    pub fn server_config(&self, role: ServerRole) -> Arc<dyn ServerConfig> {
        Arc::new(ServerSessions {
            shared: self.shared.clone(),
            tls: self.configs.server(role),
            initial: self.configs.initial,
            expect: role.expect(),
            tickets: (role == ServerRole::Bootstrap).then(|| self.sealed_tickets.clone()),
        })
    }

    /// Decides again on a peer of a live connection.
    ///
    /// # Errors
    /// The [`Refusal`] to close the connection with.
    pub fn reauthorise(&self, peer: &Peer, expect: &Expect) -> Result<(), Refusal> {
        let trust = self.shared.trust()?;
        reauthorise(peer, self.shared.clock.now(), &trust, expect)?;
        self.shared.conforms(peer, expect)
    }

    /// Protects address validation tokens (RFC 9000, section 8.1.3). Random,
    /// the same for the life of the context.
    #[must_use]
    pub fn token_key(&self) -> Arc<dyn HandshakeTokenKey> {
        self.endpoint.token()
    }

    /// Makes stateless reset tokens (RFC 9000, section 10.3.2). Random, the
    /// same for the life of the context.
    #[must_use]
    pub fn reset_key(&self) -> Arc<dyn HmacKey> {
        self.endpoint.reset()
    }

    /// Tickets at hand, each for one dial, and sessions that could be resumed as a server.
    #[must_use]
    pub fn ticket_counts(&self) -> (usize, usize) {
        (self.shared.client_tickets.len(), self.server_tickets.len())
    }
}

impl std::fmt::Debug for TlsContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsContext")
            .field("profile", &self.shared.profile())
            .field(
                "has_identity",
                &self.shared.identity(Side::Server).is_some(),
            )
            .finish_non_exhaustive()
    }
}
