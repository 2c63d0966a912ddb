//! Plays many peers of one sidecar: the engine's own handshake under quinn's driver.
//!
//! - `handshake`: as many handshakes as the sidecar answers, full or resumed.
//! - `idle`: opens STOQ connections and holds them.

mod identity;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};
use quic_setup::handshakes::{Count, confirmed, repeat};
use quinn::{ClientConfig, Connection};
use stoq_core::authorise::Expect;
use stoq_core::session::Evidence;
use stoq_core::tls::TlsContext;

/// Load for a sidecar.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints one JSON object: handshakes, resumed, seconds.
    Handshake {
        #[command(flatten)]
        peer: Peer,
        /// How long, seconds.
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
        /// Handshakes in flight.
        #[arg(long, default_value_t = 8)]
        parallel: usize,
        /// Resume sessions by ticket. Without it every handshake is a full one.
        #[arg(long)]
        resumed: bool,
    },
    /// Prints one JSON object when all connections are up, and holds them until it is killed.
    Idle {
        #[command(flatten)]
        peer: Peer,
        /// How many.
        #[arg(long, default_value_t = 1000)]
        connections: usize,
    },
}

#[derive(Args)]
struct Peer {
    /// The sidecar's STOQ address.
    server: SocketAddr,
    /// The mesh authority's key file.
    #[arg(long)]
    authority_key: PathBuf,
    /// The mesh authority's root certificate, PEM.
    #[arg(long)]
    authority_root: PathBuf,
    /// The interface's MTU in bytes.
    #[arg(long, default_value_t = 1500)]
    mtu: u16,
}

impl Peer {
    fn context(&self, tickets: bool) -> Result<Arc<TlsContext>> {
        identity::context(&self.authority_key, &self.authority_root, tickets)
    }

    fn dial(&self, context: &TlsContext) -> ClientConfig {
        quic_setup::client_config(
            self.mtu,
            context.client_config(Expect::AnyInMesh, self.server),
        )
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Handshake {
            peer,
            seconds,
            parallel,
            resumed,
        } => {
            let count = handshakes(&peer, seconds, parallel, resumed).await?;
            println!("{count}");
            Ok(())
        }
        Command::Idle { peer, connections } => {
            let held = idle(&peer, connections).await?;
            println!("{}", serde_json::json!({ "connections": held.len() }));
            std::future::pending().await
        }
    }
}

async fn handshakes(
    peer: &Peer,
    seconds: f64,
    parallel: usize,
    tickets: bool,
) -> Result<serde_json::Value> {
    // The engine keeps one ticket for each peer, which clients in parallel would take from each
    // other: each plays a workload of its own.
    let configs = (0..parallel)
        .map(|_| peer.context(tickets).map(|context| peer.dial(&context)))
        .collect::<Result<Vec<_>>>()?;
    let endpoint = quic_setup::client_endpoint(peer.mtu)?;
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(seconds);
    let Count {
        handshakes,
        resumed,
    } = repeat(&endpoint, configs, peer.server, end, is_resumed).await?;
    let seconds = start.elapsed().as_secs_f64();
    ensure!(
        tickets || resumed == 0,
        "{resumed} handshakes were resumed, all should be full"
    );
    Ok(serde_json::json!({ "handshakes": handshakes, "resumed": resumed, "seconds": seconds }))
}

fn is_resumed(connection: &Connection) -> bool {
    let evidence = connection
        .handshake_data()
        .and_then(|data| data.downcast::<Arc<Evidence>>().ok());
    evidence.is_some_and(|evidence| evidence.resumed)
}

async fn idle(peer: &Peer, count: usize) -> Result<Vec<Connection>> {
    let context = peer.context(false)?;
    let config = peer.dial(&context);
    let endpoint = quic_setup::client_endpoint(peer.mtu)?;
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        held.push(confirmed(&endpoint, &config, peer.server).await?);
    }
    Ok(held)
}
