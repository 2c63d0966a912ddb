//! What arrives before the first routing table: it waits, for nothing can be decided
//! about it yet. So a sidecar that restarts takes over the connections that were
//! made meanwhile instead of resetting them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::start::ListenerKind;
use super::{Flow, Timer, Worker};

/// How long a connection waits. A client that a sidecar keeps waiting for longer is
/// better served by an error.
const PATIENCE: Duration = Duration::from_secs(15);

/// Connections that may wait per worker; further ones are turned away.
const MOST: usize = 1024;

/// A captured connection that waits.
#[derive(Debug)]
pub(super) struct Early {
    kind: ListenerKind,
    stream: TcpStream,
    source: SocketAddr,
    since: Instant,
}

impl Worker {
    /// Whether no table has come yet.
    pub(super) fn undecided(&self) -> bool {
        self.table.is_closed()
    }

    /// Lets a captured connection wait for the first table.
    pub(super) fn keep_early(
        &mut self,
        kind: ListenerKind,
        stream: TcpStream,
        source: SocketAddr,
        now: Instant,
    ) {
        if self.early.len() >= MOST {
            self.turn_away(stream, source, format_args!("no routing table yet"));
            return;
        }
        self.timers.set(now + PATIENCE, Timer::Early);
        self.early.push(Early {
            kind,
            stream,
            source,
            since: now,
        });
    }

    /// A table has come: what waited for the first is decided now.
    pub(super) fn table_changed(&mut self, now: Instant) {
        self.table = Arc::clone(&self.shared.table.load_full());
        if self.undecided() {
            return;
        }
        self.apply_access(now);
        self.recheck_udp(now);
        self.recheck_routes(now);
        for early in std::mem::take(&mut self.early) {
            self.accepted(early.kind, early.stream, early.source, now);
        }
        let heads = |(key, slot): (usize, &super::Slot)| {
            matches!(slot.flow, Flow::Head { .. }).then_some(key)
        };
        let keys: Vec<usize> = self.flows.iter().filter_map(heads).collect();
        for key in keys {
            self.queue(key);
        }
    }

    /// Turns away what has waited for too long.
    pub(super) fn early_due(&mut self, now: Instant) {
        let (late, waiting) = std::mem::take(&mut self.early)
            .into_iter()
            .partition(|early| now.duration_since(early.since) >= PATIENCE);
        self.early = waiting;
        let late: Vec<Early> = late;
        for early in late {
            let why = format_args!("no routing table came in {PATIENCE:?}");
            self.turn_away(early.stream, early.source, why);
        }
    }
}
