//! rustls' configurations, made once per context.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::UnixTime;
use rustls::server::NoServerSessionStorage;
use rustls::time_provider::TimeProvider;
use rustls::{CipherSuite, SupportedCipherSuite, version};

use super::context::{Aead, ServerRole};
use super::signer::Resolver;
use super::verifier::Verifier;
use super::{Shared, TlsSettings};
use crate::clock::Clock;
use crate::profile::CryptoProfile;
use crate::tickets::{SealedTickets, ServerTickets, TICKETS_PER_SESSION};

/// The tickets that a workload sends in one connection: it would have to remember
/// the session twice for a second.
const TICKETS_OF_WORKLOADS: usize = 1;

/// One client and two server configurations over the same identity and trust.
pub(super) struct Configs {
    pub(super) client: Arc<rustls::ClientConfig>,
    mesh: Arc<rustls::ServerConfig>,
    bootstrap: Arc<rustls::ServerConfig>,
    /// TLS13_AES_128_GCM_SHA256's, for Initial packets (RFC 9001, section 5.2).
    pub(super) initial: rustls::quic::Suite,
}

impl Configs {
    pub(super) fn new(
        settings: &TlsSettings,
        shared: &Arc<Shared>,
        server_tickets: Arc<ServerTickets>,
        sealed_tickets: Arc<SealedTickets>,
    ) -> Self {
        let provider = Arc::new(provider(settings.profile, settings.aead));
        let time = Arc::new(Time(shared.clock.clone()));
        let resolver = Arc::new(Resolver(shared.clone()));
        let verifier = |mandatory| {
            Arc::new(Verifier {
                shared: shared.clone(),
                mandatory,
            })
        };
        let server = |mandatory| {
            let mut server =
                rustls::ServerConfig::builder_with_details(provider.clone(), time.clone())
                    .with_protocol_versions(&[&version::TLS13])
                    .expect(COMPLETE)
                    .with_client_cert_verifier(verifier(mandatory))
                    .with_cert_resolver(resolver.clone());
            server.alpn_protocols = vec![stoq_wire::ALPN.to_vec()];
            server.max_early_data_size = 0;
            server.send_tls13_tickets = 0;
            server.session_storage = Arc::new(NoServerSessionStorage {});
            server
        };
        let (mut mesh, mut bootstrap) = (server(true), server(false));
        let mut client = rustls::ClientConfig::builder_with_details(provider.clone(), time.clone())
            .with_protocol_versions(&[&version::TLS13])
            .expect(COMPLETE)
            .dangerous()
            .with_custom_certificate_verifier(verifier(true))
            .with_client_cert_resolver(resolver.clone());
        client.alpn_protocols = vec![stoq_wire::ALPN.to_vec()];
        client.enable_sni = false;
        client.enable_early_data = false;
        client.resumption = Resumption::disabled();
        if settings.tickets {
            mesh.send_tls13_tickets = TICKETS_OF_WORKLOADS;
            mesh.session_storage = server_tickets;
            // The bootstrap listener gives none before it has keys to share. What it lets in without
            // a certificate has nothing to resume: a session sees to that.
            bootstrap.send_tls13_tickets = TICKETS_PER_SESSION;
            bootstrap.ticketer = sealed_tickets;
            client.resumption = Resumption::store(shared.client_tickets.clone());
        }
        Self {
            client: Arc::new(client),
            mesh: Arc::new(mesh),
            bootstrap: Arc::new(bootstrap),
            initial: initial_suite(),
        }
    }

    pub(super) fn server(&self, role: ServerRole) -> Arc<rustls::ServerConfig> {
        match role {
            ServerRole::Mesh => self.mesh.clone(),
            ServerRole::Bootstrap => self.bootstrap.clone(),
        }
    }
}

const COMPLETE: &str = "the provider has TLS 1.3 suites and key exchange groups";

/// aws-lc-rs, cut down to exactly what the profile allows.
fn provider(profile: CryptoProfile, aead: Aead) -> CryptoProvider {
    let group: &'static dyn SupportedKxGroup = match profile {
        CryptoProfile::Hybrid1024 | CryptoProfile::Hybrid512 => aws_lc_rs::kx_group::X25519MLKEM768,
        CryptoProfile::Classical => aws_lc_rs::kx_group::X25519,
    };
    CryptoProvider {
        cipher_suites: vec![super::suite::suite(aead)],
        kx_groups: vec![group],
        ..aws_lc_rs::default_provider()
    }
}

fn initial_suite() -> rustls::quic::Suite {
    let SupportedCipherSuite::Tls13(suite) = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    debug_assert_eq!(suite.common.suite, CipherSuite::TLS13_AES_128_GCM_SHA256);
    suite
        .quic_suite()
        .expect("aws-lc-rs' AES-128-GCM suite can protect QUIC packets")
}

/// Our clock as rustls asks for it.
#[derive(Debug)]
struct Time(Arc<dyn Clock>);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let since = std::time::Duration::from_secs(self.0.now());
        Some(UnixTime::since_unix_epoch(since))
    }
}

#[cfg(test)]
mod vectors;
