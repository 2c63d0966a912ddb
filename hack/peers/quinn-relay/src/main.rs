//! TCP over quinn on tokio, written as quinn's own examples are: one task for each relayed
//! connection, one stream for each, all on one QUIC connection. Mutual TLS, X25519MLKEM768.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use quic_setup::SERVER_NAME;
use quic_setup::arguments::Peer;
use quinn::{Connection, RecvStream, SendStream};
use tokio::io::{AsyncWriteExt, copy_bidirectional_with_sizes, join};
use tokio::net::{TcpListener, TcpStream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bytes read before they are written on, as in `tcp-relay`.
const BUFFER: usize = 256 * 1024;

const ALPN: &str = "relay";

/// One side of a TCP relay over QUIC.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    side: Side,
    #[command(flatten)]
    peer: Peer,
}

#[derive(Subcommand)]
enum Side {
    /// Accepts TCP and relays it to the server side.
    Client {
        /// Where applications connect.
        listen: SocketAddr,
        /// The server side.
        server: SocketAddr,
    },
    /// Accepts QUIC and relays it to an application.
    Server {
        /// Where the client side connects.
        listen: SocketAddr,
        /// The application.
        target: SocketAddr,
    },
}

fn main() -> Result<()> {
    let Arguments { side, peer } = Arguments::parse();
    peer.run(run(side, &peer))
}

async fn run(side: Side, peer: &Peer) -> Result<()> {
    let identity = peer.files.identity()?;
    match side {
        Side::Client { listen, server } => {
            let endpoint = quic_setup::client(peer.mtu, identity.client_tls(ALPN)?)?;
            let connection = endpoint.connect(server, SERVER_NAME)?.await?;
            accept_tcp(listen, connection).await
        }
        Side::Server { listen, target } => {
            let endpoint = quic_setup::server(listen, peer.mtu, identity.server_tls(ALPN)?)?;
            while let Some(incoming) = endpoint.accept().await {
                tokio::spawn(async move {
                    if let Err(error) = accept_streams(incoming, target).await {
                        eprintln!("quinn-relay: {error}");
                    }
                });
            }
            Ok(())
        }
    }
}

async fn accept_tcp(listen: SocketAddr, connection: Connection) -> Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    loop {
        let (tcp, _) = listener.accept().await?;
        let (send, receive) = connection.open_bi().await?;
        tokio::spawn(relay(tcp, send, receive));
    }
}

async fn accept_streams(incoming: quinn::Incoming, target: SocketAddr) -> Result<()> {
    let connection = incoming.await?;
    while let Ok((send, receive)) = connection.accept_bi().await {
        tokio::spawn(async move {
            match TcpStream::connect(target).await {
                Ok(tcp) => relay(tcp, send, receive).await,
                Err(error) => eprintln!("quinn-relay: {target}: {error}"),
            }
        });
    }
    Ok(())
}

/// Copies both ways until both sides have finished.
async fn relay(mut tcp: TcpStream, send: SendStream, receive: RecvStream) {
    let _ = tcp.set_nodelay(true);
    let mut stream = join(receive, send);
    if copy_bidirectional_with_sizes(&mut tcp, &mut stream, BUFFER, BUFFER)
        .await
        .is_err()
    {
        let _ = stream.shutdown().await;
    }
}
