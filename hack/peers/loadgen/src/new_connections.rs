//! Open-loop requests, each over a TCP connection of its own: connect, ask, read, close.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::exchange::Exchange;
use crate::poller::Poller;
use crate::recorder::Recorder;
use crate::schedule::{Clock, Schedule};

/// How long to wait for the last answers.
const GRACE: Duration = Duration::from_secs(3);

/// Connections in flight beyond which requests fail at once: a path this far behind is broken,
/// and the generator's own descriptors must not become the measurement.
const IN_FLIGHT: usize = 10_000;

struct Request {
    exchange: Exchange,
    due: Instant,
}

/// Sends the schedule's requests to `target`.
pub(crate) fn run(target: SocketAddr, schedule: Schedule, size: usize) -> Result<Recorder> {
    let mut poller = Poller::new()?;
    let mut requests = HashMap::new();
    let mut recorder = Recorder::new(schedule)?;
    let mut clock = Clock::new(schedule, Instant::now());
    let mut end = None;
    loop {
        let now = Instant::now();
        while let Some((index, due)) = clock.take(now) {
            if requests.len() >= IN_FLIGHT {
                recorder.failed(&io::Error::other("too many connections in flight"));
                continue;
            }
            match start(target, index, size, &poller) {
                Ok(exchange) => {
                    requests.insert(index, Request { exchange, due });
                }
                Err(error) => recorder.failed(&error),
            }
        }
        let deadline = clock
            .next_due()
            .unwrap_or_else(|| *end.get_or_insert(now + GRACE));
        if end.is_some_and(|end| end <= now || requests.is_empty()) {
            break;
        }
        for index in poller.wait(Some(deadline))? {
            let Some(request) = requests.get_mut(&index) else {
                continue;
            };
            match advance(&mut request.exchange, size) {
                Ok(false) => continue,
                Ok(true) => recorder.answered(index, request.due, Instant::now()),
                Err(error) => recorder.failed(&error),
            }
            requests.remove(&index);
        }
    }
    recorder.lost(requests.len());
    Ok(recorder)
}

fn start(target: SocketAddr, index: u64, size: usize, poller: &Poller) -> io::Result<Exchange> {
    let mut exchange = Exchange::start(target)?;
    poller.add(&exchange.socket, index)?;
    exchange.request(size)?;
    Ok(exchange)
}

/// Whether the whole answer is there.
fn advance(exchange: &mut Exchange, size: usize) -> io::Result<bool> {
    exchange.flush()?;
    exchange.receive()?;
    Ok(exchange.take_answer(size))
}
