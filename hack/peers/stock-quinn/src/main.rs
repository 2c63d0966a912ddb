//! quinn's engine alone: one connection, the data made and dropped in memory. What remains between
//! this and a relay is TCP and copying.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Parser, Subcommand};
use quic_setup::SERVER_NAME;
use quic_setup::arguments::Peer;
use quinn::{Connection, VarInt};
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ALPN: &str = "perf";

/// Bytes handed to a stream at a time.
const CHUNK: usize = 256 * 1024;

/// Bulk transfer over one quinn connection.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    side: Side,
    #[command(flatten)]
    peer: Peer,
}

#[derive(Subcommand)]
enum Side {
    /// Sends for a while, then prints one JSON object: bytes, seconds, bits_per_second.
    Client {
        /// The server side.
        server: SocketAddr,
        /// How long to send, seconds.
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
        /// Parallel streams.
        #[arg(long, default_value_t = 1)]
        streams: usize,
    },
    /// Receives and drops.
    Server {
        /// Where the client side connects.
        listen: SocketAddr,
    },
}

fn main() -> Result<()> {
    let Arguments { side, peer } = Arguments::parse();
    peer.run(run(side, &peer))
}

async fn run(side: Side, peer: &Peer) -> Result<()> {
    let identity = peer.files.identity()?;
    match side {
        Side::Client {
            server,
            seconds,
            streams,
        } => {
            let endpoint = quic_setup::client(peer.mtu, identity.client_tls(ALPN)?)?;
            let connection = endpoint.connect(server, SERVER_NAME)?.await?;
            let result = send(&connection, Duration::from_secs_f64(seconds), streams).await?;
            connection.close(VarInt::from_u32(0), b"");
            endpoint.wait_idle().await;
            println!("{result}");
            Ok(())
        }
        Side::Server { listen } => {
            let endpoint = quic_setup::server(listen, peer.mtu, identity.server_tls(ALPN)?)?;
            while let Some(incoming) = endpoint.accept().await {
                tokio::spawn(async move {
                    if let Ok(connection) = incoming.await {
                        receive(connection).await;
                    }
                });
            }
            Ok(())
        }
    }
}

/// Fills `streams` streams for `duration`. The clock stops when the peer has read everything.
async fn send(
    connection: &Connection,
    duration: Duration,
    streams: usize,
) -> Result<serde_json::Value> {
    let start = Instant::now();
    let mut senders = JoinSet::new();
    for _ in 0..streams {
        let connection = connection.clone();
        senders.spawn(async move {
            let (mut send, mut receive) = connection.open_bi().await?;
            let chunk = vec![0u8; CHUNK];
            let mut sent = 0u64;
            while start.elapsed() < duration {
                send.write_all(&chunk).await?;
                sent += chunk.len() as u64;
            }
            send.finish()?;
            receive.read_to_end(0).await?;
            anyhow::Ok(sent)
        });
    }
    let mut bytes = 0;
    while let Some(sent) = senders.join_next().await {
        bytes += sent??;
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(serde_json::json!({
        "bytes": bytes,
        "seconds": seconds,
        "bits_per_second": bytes as f64 * 8.0 / seconds,
    }))
}

/// Reads and drops every stream; its end is the answer.
async fn receive(connection: Connection) {
    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
        tokio::spawn(async move {
            while let Ok(Some(_)) = receive.read_chunk(CHUNK, true).await {}
            let _ = send.finish();
        });
    }
}
