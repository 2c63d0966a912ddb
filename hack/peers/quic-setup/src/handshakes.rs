//! Handshake after handshake with one server, for load.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use quinn::{ClientConfig, Connection, Endpoint, VarInt};
use tokio::task::JoinSet;

use crate::SERVER_NAME;

/// How often a client looks whether its handshake is confirmed.
const LOOK: Duration = Duration::from_micros(500);

/// How long a server may take to confirm.
const SILENCE: Duration = Duration::from_secs(5);

/// What the clients did together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// Handshakes that the server confirmed.
    pub handshakes: u64,
    /// Those of them that `is_resumed` said so of.
    pub resumed: u64,
}

/// Runs one client for each of `configs`, which starts its next handshake when the last is
/// confirmed, until `end`.
pub async fn repeat(
    endpoint: &Endpoint,
    configs: Vec<ClientConfig>,
    server: SocketAddr,
    end: Instant,
    is_resumed: fn(&Connection) -> bool,
) -> Result<Count> {
    let mut clients = JoinSet::new();
    for config in configs {
        let endpoint = endpoint.clone();
        clients.spawn(async move {
            let mut count = Count::default();
            while Instant::now() < end {
                let connection = confirmed(&endpoint, &config, server).await?;
                count.handshakes += 1;
                count.resumed += u64::from(is_resumed(&connection));
                connection.close(VarInt::from_u32(0), b"");
            }
            anyhow::Ok(count)
        });
    }
    let mut all = Count::default();
    while let Some(count) = clients.join_next().await {
        let count = count??;
        all.handshakes += count.handshakes;
        all.resumed += count.resumed;
    }
    Ok(all)
}

/// One connection with HANDSHAKE_DONE received: only then has the server checked the client's
/// certificate. quinn has no future for it.
pub async fn confirmed(
    endpoint: &Endpoint,
    config: &ClientConfig,
    server: SocketAddr,
) -> Result<Connection> {
    let connection = endpoint
        .connect_with(config.clone(), server, SERVER_NAME)?
        .await
        .with_context(|| format!("handshake with {server}"))?;
    let start = Instant::now();
    while connection.stats().frame_rx.handshake_done == 0 {
        ensure!(
            start.elapsed() < SILENCE,
            "no HANDSHAKE_DONE in {SILENCE:?}"
        );
        if let Some(reason) = connection.close_reason() {
            return Err(reason).with_context(|| format!("{server} closed"));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(connection)
}
