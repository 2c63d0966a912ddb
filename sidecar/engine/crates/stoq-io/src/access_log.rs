//! The access log: one line per connection that was relayed or refused.
//!
//! Workers hand records over a bounded queue and never wait: a record that does
//! not fit is dropped and counted. A thread of its own writes them, in batches,
//! so that a slow disk or pipe delays nobody.

mod format;
pub(crate) mod time;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use stoq_wire::head::FlowId;

use crate::adaptation::Standing;
use crate::counters::{FlowLabels, ResponseFlag};

/// Records that may wait to be written: about 4 MB, and a tenth of a second at
/// 80,000 connections a second.
pub const QUEUE: usize = 8192;

/// How long the writer lets records gather before it looks again. Without it
/// every record would wake the thread.
const GATHER: Duration = Duration::from_millis(20);

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Both directions ended in order.
    Complete,
    /// It failed; why, for a person.
    Failed(ResponseFlag, String),
    /// A policy refused it before anything was connected.
    Refused(String),
}

/// What is written about one connection.
#[derive(Debug, Clone)]
pub struct AccessRecord {
    /// When it ended.
    pub time: SystemTime,
    /// Who talked to whom, and how it was protected.
    pub labels: Arc<FlowLabels>,
    /// Names the flow; the same in both sidecars. None for plaintext.
    pub flow: Option<FlowId>,
    /// Whether it is a flow of captured UDP.
    pub udp: bool,
    /// The client's address.
    pub source: SocketAddr,
    /// The address that was dialled, after virtual addresses were translated.
    pub destination: SocketAddr,
    /// The other end of the STOQ connection that carried it.
    pub stoq: Option<SocketAddr>,
    /// How that connection has adapted by now; none where adaptation is off.
    pub adaptation: Option<Standing>,
    /// Application bytes this workload sent.
    pub bytes_sent: u64,
    /// Application bytes this workload received.
    pub bytes_received: u64,
    /// How long it was open.
    pub duration: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

/// Shape of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFormat {
    /// One JSON object per line.
    Json,
    /// `key=value` pairs.
    Text,
}

/// Hands records to the writer's thread. Cheap to clone, one for each worker.
#[derive(Debug, Clone)]
pub struct AccessLog {
    queue: Option<SyncSender<AccessRecord>>,
    dropped: Arc<AtomicU64>,
}

impl AccessLog {
    /// A log that writes nothing.
    #[must_use]
    pub fn off() -> Self {
        Self {
            queue: None,
            dropped: Arc::default(),
        }
    }

    /// Starts the writer's thread. It ends, with everything written, when the
    /// last clone of the log is dropped; then the handle can be joined.
    ///
    /// # Errors
    /// When the kernel gives no thread.
    pub fn start(
        format: LineFormat,
        sink: impl Write + Send + 'static,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (queue, records) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let lost = Arc::clone(&dropped);
        let thread = std::thread::Builder::new()
            .name("stoq-access-log".to_owned())
            .spawn(move || write_all(&records, format, sink, &lost))?;
        let log = Self {
            queue: Some(queue),
            dropped,
        };
        Ok((log, thread))
    }

    /// Whether records are written at all; saves making one for nothing.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.queue.is_some()
    }

    /// Queues a record. Never waits.
    pub fn record(&self, record: AccessRecord) {
        if let Some(queue) = &self.queue
            && queue.try_send(record).is_err()
        {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Records that were not written: the queue was full, or the sink failed.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

/// Writes records until the last sender is gone.
fn write_all(
    records: &Receiver<AccessRecord>,
    format: LineFormat,
    mut sink: impl Write,
    dropped: &AtomicU64,
) {
    let mut lines = Vec::new();
    while let Ok(first) = records.recv() {
        let mut count = 1;
        format::write(format, &first, &mut lines);
        for record in records.try_iter().take(QUEUE) {
            count += 1;
            format::write(format, &record, &mut lines);
        }
        if sink.write_all(&lines).and_then(|()| sink.flush()).is_err() {
            dropped.fetch_add(count, Relaxed);
        }
        lines.clear();
        lines.shrink_to(QUEUE);
        std::thread::sleep(GATHER);
    }
}

#[cfg(test)]
mod tests;
