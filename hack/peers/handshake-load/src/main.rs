//! As many handshakes as a TLS or QUIC server answers, from a fixed number of clients that start
//! the next one when the last is done. Prints one JSON object: handshakes, resumed, seconds.

mod quic;
mod tls;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use quic_setup::arguments::Files;
use quic_setup::handshakes::Count;

/// Handshake load.
#[derive(Parser)]
struct Arguments {
    /// What the server speaks.
    protocol: Protocol,
    /// The server.
    server: SocketAddr,
    /// How long, seconds.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Handshakes in flight.
    #[arg(long, default_value_t = 8)]
    parallel: usize,
    /// Resume sessions by ticket. Without it every handshake is a full one.
    #[arg(long)]
    resumed: bool,
    /// ALPN identifier.
    #[arg(long, default_value = "")]
    alpn: String,
    /// The interface's MTU in bytes, for QUIC.
    #[arg(long, default_value_t = 1500)]
    mtu: u16,
    #[command(flatten)]
    files: Files,
}

#[derive(Clone, Copy, ValueEnum)]
enum Protocol {
    /// TLS 1.3 over TCP.
    Tls,
    /// QUIC.
    Quic,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut tls = arguments.files.identity()?.client_tls(&arguments.alpn)?;
    if !arguments.resumed {
        tls.resumption = rustls::client::Resumption::disabled();
    }
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(arguments.seconds);
    let Count {
        handshakes,
        resumed,
    } = match arguments.protocol {
        Protocol::Tls => tls::run(arguments.server, tls, arguments.parallel, end)?,
        Protocol::Quic => quic::run(
            arguments.server,
            tls,
            arguments.resumed,
            arguments.mtu,
            arguments.parallel,
            end,
        )?,
    };
    let seconds = start.elapsed().as_secs_f64();
    ensure!(
        handshakes > 0,
        "no handshake with {} succeeded",
        arguments.server
    );
    println!(
        "{}",
        serde_json::json!({
            "handshakes": handshakes,
            "resumed": resumed,
            "seconds": seconds,
        })
    );
    Ok(())
}
