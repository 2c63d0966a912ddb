//! QUIC by quinn, one task for each client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use quinn::{Connection, Endpoint, VarInt};
use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use tokio::task::JoinSet;

use crate::Count;

/// How often a client looks whether its handshake is confirmed.
const LOOK: Duration = Duration::from_micros(500);

/// How long a server may take to confirm.
const SILENCE: Duration = Duration::from_secs(5);

/// Runs `parallel` clients until `end`.
pub(crate) fn run(
    server: SocketAddr,
    mut config: rustls::ClientConfig,
    resumed: bool,
    mtu: u16,
    parallel: usize,
    end: Instant,
) -> Result<Count> {
    let tickets = Arc::new(Tickets::new());
    if resumed {
        config.resumption = Resumption::store(tickets.clone());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let handshakes = runtime.block_on(async {
        let endpoint = quic_setup::client(mtu, config)?;
        let mut clients = JoinSet::new();
        for _ in 0..parallel {
            clients.spawn(client(endpoint.clone(), server, end));
        }
        let mut handshakes = 0;
        while let Some(count) = clients.join_next().await {
            handshakes += count??;
        }
        anyhow::Ok(handshakes)
    })?;
    Ok(Count {
        handshakes,
        resumed: tickets.used.load(Ordering::Relaxed),
    })
}

async fn client(endpoint: Endpoint, server: SocketAddr, end: Instant) -> Result<u64> {
    let mut handshakes = 0;
    while Instant::now() < end {
        let connection = endpoint
            .connect(server, quic_setup::SERVER_NAME)?
            .await
            .with_context(|| format!("handshake with {server}"))?;
        confirmed(&connection).await?;
        connection.close(VarInt::from_u32(0), b"");
        handshakes += 1;
    }
    Ok(handshakes)
}

/// Waits for HANDSHAKE_DONE: only then has the server checked the client's certificate. quinn has
/// no future for it.
async fn confirmed(connection: &Connection) -> Result<()> {
    let start = Instant::now();
    while connection.stats().frame_rx.handshake_done == 0 {
        ensure!(
            start.elapsed() < SILENCE,
            "no HANDSHAKE_DONE in {SILENCE:?}"
        );
        ensure!(
            connection.close_reason().is_none(),
            "closed: {:?}",
            connection.close_reason()
        );
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
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
