//! QUIC by quinn.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Result;
use quic_setup::handshakes::{Count, repeat};
use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;

/// Runs `parallel` clients until `end`.
pub(crate) fn run(
    server: SocketAddr,
    mut tls: rustls::ClientConfig,
    resumed: bool,
    mtu: u16,
    parallel: usize,
    end: Instant,
) -> Result<Count> {
    let tickets = Arc::new(Tickets::new());
    if resumed {
        tls.resumption = Resumption::store(tickets.clone());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let count = runtime.block_on(async {
        let config = quic_setup::client_config(mtu, quic_setup::client_crypto(tls)?);
        let endpoint = quic_setup::client_endpoint(mtu)?;
        repeat(&endpoint, vec![config; parallel], server, end, |_| false).await
    })?;
    Ok(Count {
        resumed: tickets.used.load(Ordering::Relaxed),
        ..count
    })
}

/// rustls's own store, counting what it gives out: quinn does not tell whether a session was
/// resumed.
#[derive(Debug)]
struct Tickets {
    store: ClientSessionMemoryCache,
    used: AtomicU64,
}

impl Tickets {
    fn new() -> Self {
        Self {
            store: ClientSessionMemoryCache::new(64),
            used: AtomicU64::new(0),
        }
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.store.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.store.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.store.set_tls12_session(server, value);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.store.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.store.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.store.insert_tls13_ticket(server, value);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let ticket = self.store.take_tls13_ticket(server);
        self.used
            .fetch_add(u64::from(ticket.is_some()), Ordering::Relaxed);
        ticket
    }
}
