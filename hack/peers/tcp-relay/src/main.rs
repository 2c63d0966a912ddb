//! A plain TCP relay. Two of them in a row are the ceiling of every pair of proxies: each byte
//! crosses the same sockets as with a mesh, and nothing is encrypted.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use clap::Parser;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bytes read before they are written on. 256 KiB is where a larger buffer stops paying on a
/// veth: it holds four full GSO packets and still fits the second-level cache.
const BUFFER: usize = 256 * 1024;

/// Relays every TCP connection to one address.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    listen: SocketAddr,
    /// Where each accepted connection is relayed to.
    target: SocketAddr,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    workers: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.workers)
        .enable_all()
        .build()?
        .block_on(serve(arguments.listen, arguments.target))
}

async fn serve(listen: SocketAddr, target: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    loop {
        let (inbound, _) = listener.accept().await?;
        tokio::spawn(async move {
            if let Err(error) = relay(inbound, target).await {
                eprintln!("tcp-relay: {target}: {error}");
            }
        });
    }
}

async fn relay(mut inbound: TcpStream, target: SocketAddr) -> std::io::Result<()> {
    let mut outbound = TcpStream::connect(target).await?;
    inbound.set_nodelay(true)?;
    outbound.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut inbound, &mut outbound, BUFFER, BUFFER).await?;
    Ok(())
}
