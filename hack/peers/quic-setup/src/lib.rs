//! The settings of every quinn peer in one place, each with its reason, so that none of them is
//! configured worse than its documentation allows.

pub mod arguments;
pub mod handshakes;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, MtuDiscoveryConfig, ServerConfig, TransportConfig,
    VarInt, crypto,
};
use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

/// The name in the peers' certificate.
pub const SERVER_NAME: &str = "peer";

/// IPv6 and UDP headers in front of a QUIC packet, bytes.
const HEADERS: u16 = 48;

/// Receive window of one stream, bytes. The best of 0.5, 1, 2, 4 and 16 MB on a veth: what is in
/// flight stays in the cache.
const STREAM_WINDOW: u32 = 2_000_000;

/// Receive window of a connection, bytes: four full streams.
const CONNECTION_WINDOW: u32 = 8_000_000;

/// Streams a peer may have open: one for each relayed connection of the memory scenario, and not
/// more, since quinn makes room for all of them when a connection opens.
const STREAMS: u32 = 2048;

/// Idle connections are part of what is measured: none may expire.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Initial congestion window, bytes. On a path without loss it ends slow start at once.
const INITIAL_WINDOW: u64 = 1_000_000;

/// Socket buffers asked for, bytes; the kernel grants what `rmem_max` and `wmem_max` allow.
const SOCKET_BUFFER: usize = 4 << 20;

/// A certificate, its key and the root that both sides trust.
pub struct Identity {
    /// The leaf, sent without its root.
    pub certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    root: CertificateDer<'static>,
}

impl Identity {
    /// Reads the three PEM files.
    pub fn from_files(certificate: &str, key: &str, root: &str) -> Result<Self> {
        let read = |path: &str| {
            CertificateDer::from_pem_file(path).with_context(|| format!("no certificate in {path}"))
        };
        Ok(Self {
            certificate: read(certificate)?,
            key: PrivateKeyDer::from_pem_file(key).with_context(|| format!("no key in {key}"))?,
            root: read(root)?,
        })
    }

    fn roots(&self) -> Result<Arc<RootCertStore>> {
        let mut store = RootCertStore::empty();
        store.add(self.root.clone())?;
        Ok(Arc::new(store))
    }

    /// Mutual TLS 1.3 for a client.
    pub fn client_tls(&self, alpn: &str) -> Result<rustls::ClientConfig> {
        let mut tls = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(vec![self.certificate.clone()], self.key.clone_key())?;
        tls.alpn_protocols = vec![alpn.into()];
        Ok(tls)
    }

    /// Mutual TLS 1.3 for a server.
    pub fn server_tls(&self, alpn: &str) -> Result<rustls::ServerConfig> {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(self.roots()?, provider()).build()?;
        let mut tls = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())?;
        tls.alpn_protocols = vec![alpn.into()];
        Ok(tls)
    }
}

/// The one key exchange that every candidate uses, X25519MLKEM768, and AES-256-GCM.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
    let packets = if is_ring_faster() {
        ring::cipher_suite::TLS13_AES_256_GCM_SHA384
    } else {
        aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384
    };
    // The second is for Initial packets (RFC 9001, section 5.2).
    provider.cipher_suites = vec![packets, aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    Arc::new(provider)
}

/// The engine takes its cipher from the library that is faster on this processor
/// (docs/decisions/0010); so do its peers.
#[cfg(target_arch = "x86_64")]
fn is_ring_faster() -> bool {
    is_x86_feature_detected!("vaes") && !is_x86_feature_detected!("avx512f")
}

#[cfg(not(target_arch = "x86_64"))]
fn is_ring_faster() -> bool {
    false
}

/// Transport settings for an interface MTU in bytes.
fn transport(mtu: u16) -> Arc<TransportConfig> {
    let payload = (mtu - HEADERS).max(1200);
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(payload);
    let mut cubic = CubicConfig::default();
    cubic.initial_window(INITIAL_WINDOW);
    let mut transport = TransportConfig::default();
    transport
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(u64::from(CONNECTION_WINDOW))
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .initial_mtu(payload.min(1452))
        .mtu_discovery_config(Some(discovery))
        .congestion_controller_factory(Arc::new(cubic));
    Arc::new(transport)
}

fn endpoint_config(mtu: u16) -> Result<EndpointConfig> {
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size((mtu - HEADERS).max(1472))?;
    Ok(config)
}

fn socket(address: SocketAddr) -> Result<std::net::UdpSocket> {
    let socket =
        std::net::UdpSocket::bind(address).with_context(|| format!("cannot bind UDP {address}"))?;
    let state = quinn::udp::UdpSocketState::new((&socket).into())?;
    state.set_recv_buffer_size((&socket).into(), SOCKET_BUFFER)?;
    state.set_send_buffer_size((&socket).into(), SOCKET_BUFFER)?;
    Ok(socket)
}

/// A quinn server for an interface MTU in bytes.
pub fn server(listen: SocketAddr, mtu: u16, tls: rustls::ServerConfig) -> Result<Endpoint> {
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(transport(mtu));
    let runtime = Arc::new(quinn::TokioRuntime);
    Ok(Endpoint::new(
        endpoint_config(mtu)?,
        Some(config),
        socket(listen)?,
        runtime,
    )?)
}

/// A quinn endpoint for clients, on any port, for an interface MTU in bytes.
pub fn client_endpoint(mtu: u16) -> Result<Endpoint> {
    let any = SocketAddr::from(([0u16; 8], 0));
    Ok(Endpoint::new(
        endpoint_config(mtu)?,
        None,
        socket(any)?,
        Arc::new(quinn::TokioRuntime),
    )?)
}

/// What a client dials with, for an interface MTU in bytes.
pub fn client_config(mtu: u16, crypto: Arc<dyn crypto::ClientConfig>) -> ClientConfig {
    let mut config = ClientConfig::new(crypto);
    config.transport_config(transport(mtu));
    config
}

/// rustls as quinn takes it.
pub fn client_crypto(tls: rustls::ClientConfig) -> Result<Arc<dyn crypto::ClientConfig>> {
    Ok(Arc::new(QuicClientConfig::try_from(tls)?))
}

/// A quinn client that dials with mutual TLS, for an interface MTU in bytes.
pub fn client(mtu: u16, tls: rustls::ClientConfig) -> Result<Endpoint> {
    let mut endpoint = client_endpoint(mtu)?;
    endpoint.set_default_client_config(client_config(mtu, client_crypto(tls)?));
    Ok(endpoint)
}
