//! Many connections that do nothing.

use std::io::Read;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::exchange::Exchange;
use crate::poller::Poller;

/// How long without any progress before it gives up.
const STALL: Duration = Duration::from_secs(20);

/// Opens `count` connections, at most `parallel` of them at the same time. Each sends one byte and
/// waits for it to come back, so it is known to be relayed end to end. Holds them until standard
/// input ends.
pub(crate) fn run(target: SocketAddr, count: usize, parallel: usize) -> Result<()> {
    let mut poller = Poller::new()?;
    let mut connections: Vec<Exchange> = Vec::with_capacity(count);
    let mut up = 0;
    let mut progress = Instant::now();
    while up < count {
        while connections.len() < count && connections.len() - up < parallel {
            let mut exchange =
                Exchange::start(target).with_context(|| format!("cannot reach {target}"))?;
            poller.add(&exchange.socket, connections.len() as u64)?;
            exchange.request(1)?;
            connections.push(exchange);
        }
        for key in poller.wait(Some(progress + STALL))? {
            let exchange = &mut connections[key as usize];
            exchange
                .flush()
                .and_then(|()| exchange.receive())
                .with_context(|| format!("connection {key} of {count} failed, {up} are up"))?;
            if exchange.take_answer(1) {
                up += 1;
                progress = Instant::now();
            }
        }
        ensure!(
            progress.elapsed() < STALL,
            "no progress for {STALL:?}: {up} of {count} are up"
        );
    }
    println!("{}", serde_json::json!({ "connections": up }));
    let mut nothing = Vec::new();
    std::io::stdin().read_to_end(&mut nothing)?;
    Ok(())
}
