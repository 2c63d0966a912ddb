//! Connections whose application does not read.

use std::io::Read;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::net::sockopt;

use crate::echo::BUFFERS;
use crate::exchange::Exchange;
use crate::poller::Poller;

/// More than every buffer on the way holds.
const ENDLESS: usize = 1 << 40;

/// A path that took nothing for so long is full.
const FULL: Duration = Duration::from_secs(1);

/// Opens `count` connections to an echo server and sends on each without ever reading, until
/// nobody takes another byte in either direction. Holds them until standard input ends.
pub(crate) fn run(target: SocketAddr, count: usize) -> Result<()> {
    let mut poller = Poller::new()?;
    let mut connections = Vec::with_capacity(count);
    for key in 0..count {
        let mut exchange =
            Exchange::start(target).with_context(|| format!("cannot reach {target}"))?;
        sockopt::set_socket_recv_buffer_size(&exchange.socket, BUFFERS)?;
        sockopt::set_socket_send_buffer_size(&exchange.socket, BUFFERS)?;
        poller.add(&exchange.socket, key as u64)?;
        exchange.request(ENDLESS)?;
        connections.push(exchange);
    }
    let mut progress = Instant::now();
    while progress.elapsed() < FULL {
        for key in poller.wait(Some(progress + FULL))? {
            let exchange = &mut connections[key as usize];
            let before = exchange.unsent();
            exchange
                .flush()
                .with_context(|| format!("connection {key} of {count} failed"))?;
            if exchange.unsent() < before {
                progress = Instant::now();
            }
        }
    }
    let sent: usize = connections.iter().map(|held| ENDLESS - held.unsent()).sum();
    println!(
        "{}",
        serde_json::json!({ "connections": count, "bytes": sent })
    );
    let mut nothing = Vec::new();
    std::io::stdin().read_to_end(&mut nothing)?;
    Ok(())
}
