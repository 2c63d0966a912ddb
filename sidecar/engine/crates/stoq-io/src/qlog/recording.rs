//! Events of ours in a connection's file, beside quinn-proto's.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;

use super::{Bounded, RECORD_SEPARATOR};

/// The file of one connection, which quinn-proto writes into as well. Both do within the connection's
/// worker and whole records at a time, so neither ever waits for the other.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    file: Arc<Mutex<Bounded<File>>>,
    begun: Instant,
}

/// A record as of the main schema (draft-ietf-quic-qlog-main-schema, 7).
#[derive(Serialize)]
struct Event<'e, T: Serialize> {
    /// Milliseconds since the file's beginning.
    time: f64,
    /// Namespace and type.
    name: &'e str,
    data: &'e T,
}

impl Recording {
    pub(super) fn new(file: Bounded<File>, begun: Instant) -> Self {
        let file = Arc::new(Mutex::new(file));
        Self { file, begun }
    }

    /// Writes an event. What cannot be written is dropped, as everything in these files.
    pub(crate) fn event(&self, now: Instant, name: &str, data: &impl Serialize) {
        let time = now.saturating_duration_since(self.begun).as_secs_f64() * 1e3;
        let mut record = vec![RECORD_SEPARATOR];
        if serde_json::to_writer(&mut record, &Event { time, name, data }).is_ok() {
            record.push(b'\n');
            let _ = self.file().write(&record);
        }
    }

    fn file(&self) -> MutexGuard<'_, Bounded<File>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What quinn-proto is given.
impl Write for Recording {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file().flush()
    }
}
