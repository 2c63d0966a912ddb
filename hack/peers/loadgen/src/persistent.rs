//! Open-loop requests over connections that stay open.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::exchange::Exchange;
use crate::poller::Poller;
use crate::recorder::Recorder;
use crate::schedule::{Clock, Schedule};

/// How long to wait for the last answers.
const GRACE: Duration = Duration::from_secs(3);

/// How long the first answer on each connection may take.
const SETUP: Duration = Duration::from_secs(10);

struct Connection {
    exchange: Exchange,
    /// Requests sent and not answered, oldest first: index and due time. One TCP connection
    /// answers in order.
    waiting: VecDeque<(u64, Instant)>,
}

/// Sends the schedule's requests, in turn over `connections` connections to `target`.
pub(crate) fn run(
    target: SocketAddr,
    schedule: Schedule,
    connections: usize,
    size: usize,
) -> Result<Recorder> {
    let mut poller = Poller::new()?;
    let mut open = (0..connections)
        .map(|key| connect(target, key, size, &mut poller))
        .collect::<Result<Vec<_>>>()?;
    let mut recorder = Recorder::new(schedule)?;
    let mut clock = Clock::new(schedule, Instant::now());
    let mut end = None;
    loop {
        let now = Instant::now();
        while let Some((index, due)) = clock.take(now) {
            let connection = &mut open[index as usize % connections];
            connection.waiting.push_back((index, due));
            if let Err(error) = connection.exchange.request(size) {
                recorder.failed(&error);
            }
        }
        let deadline = clock
            .next_due()
            .unwrap_or_else(|| *end.get_or_insert(now + GRACE));
        if end.is_some_and(|end| end <= now || open.iter().all(|c| c.waiting.is_empty())) {
            break;
        }
        for key in poller.wait(Some(deadline))? {
            serve(&mut open[key as usize], size, &mut recorder);
        }
    }
    recorder.lost(open.iter().map(|connection| connection.waiting.len()).sum());
    Ok(recorder)
}

/// Opens a connection and waits for one answer: what is measured is a path that is up.
fn connect(target: SocketAddr, key: usize, size: usize, poller: &mut Poller) -> Result<Connection> {
    let context = || format!("cannot reach {target}");
    let mut exchange = Exchange::start(target).with_context(context)?;
    poller.add(&exchange.socket, key as u64)?;
    exchange.request(size).with_context(context)?;
    let deadline = Instant::now() + SETUP;
    while !exchange.take_answer(size) {
        anyhow::ensure!(
            Instant::now() < deadline,
            "no answer from {target} in {SETUP:?}"
        );
        poller.wait(Some(deadline))?;
        exchange
            .flush()
            .and_then(|()| exchange.receive())
            .with_context(context)?;
    }
    Ok(Connection {
        exchange,
        waiting: VecDeque::new(),
    })
}

fn serve(connection: &mut Connection, size: usize, recorder: &mut Recorder) {
    let Connection { exchange, waiting } = connection;
    if let Err(error) = exchange.flush().and_then(|()| exchange.receive()) {
        recorder.failed(&error);
    }
    let now = Instant::now();
    while exchange.take_answer(size) {
        if let Some((index, due)) = waiting.pop_front() {
            recorder.answered(index, due, now);
        }
    }
}
