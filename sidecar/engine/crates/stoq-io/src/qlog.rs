//! One qlog file per connection, while somebody asks for them (`docs/operations.md`).
//!
//! What is in them is quinn-proto's choice: the header of every packet sent, received
//! and lost, and the recovery metrics whenever they change; no frames, no payload, no
//! keys. Ours are the events named `stoq:`. Off, a connection has no stream and pays one
//! branch per packet.

mod recording;

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

use quinn_proto::{ConnectionId, QlogConfig, QlogStream};

use crate::access_log::time::Rfc3339;
use crate::error::EngineError;
use crate::log::Log;
pub(crate) use recording::Recording;

/// Connections that one engine records; later ones run without.
pub(crate) const FILES: usize = 64;

/// Bytes after which a file takes no further record: some 100,000 packets.
pub(crate) const FILE_BYTES: u64 = 16 << 20;

/// Bytes that a file lags behind its connection: a kernel write per packet would slow
/// down what is to be looked at.
const BUFFER: usize = 16 << 10;

/// Begins each record of a JSON text sequence (RFC 7464, 2.2).
const RECORD_SEPARATOR: u8 = 0x1e;

/// Which end of a connection writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

/// The folder, and how many files may still be written into it.
#[derive(Debug)]
pub(crate) struct Qlog {
    folder: PathBuf,
    title: String,
    left: AtomicUsize,
}

impl Qlog {
    /// Takes `folder` into use after writing into it once, so that a wrong one is
    /// known at start and not when a connection is missing.
    ///
    /// # Errors
    /// [`EngineError::Qlog`].
    pub(crate) fn open(folder: &Path, title: String) -> Result<Self, EngineError> {
        let trial = folder.join(format!(".stoq-qlog-{}", std::process::id()));
        create(&trial)
            .and_then(|_| std::fs::remove_file(&trial))
            .map_err(|source| EngineError::Qlog {
                folder: folder.to_owned(),
                source,
            })?;
        Ok(Self {
            folder: folder.to_owned(),
            title,
            left: AtomicUsize::new(FILES),
        })
    }

    /// What quinn-proto and what we record a connection by that begins `now`; none when all
    /// files are used up or the kernel refuses this one, which the log says.
    ///
    /// `id` is the first destination connection ID of the client (RFC 9000, 7.2): both
    /// ends know it, so that their files of one connection can be told.
    pub(crate) fn stream(
        &self,
        role: Role,
        id: &ConnectionId,
        now: Instant,
        log: &Log,
    ) -> Option<(QlogStream, Recording)> {
        let less = |left: usize| left.checked_sub(1);
        let left = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .ok()?;
        let path = self.folder.join(file_name(role, id, SystemTime::now()));
        let file = match create(&path) {
            Ok(file) => file,
            Err(error) => {
                log.warn(format_args!(
                    "qlog: cannot write {}: {error}",
                    path.display()
                ));
                return None;
            }
        };
        if left == 1 {
            log.warn(format_args!(
                "qlog: {} is the last of {FILES} files; connections from now on are not \
                 recorded, until a restart",
                path.display()
            ));
        }
        let recording = Recording::new(Bounded::new(file, FILE_BYTES), now);
        let mut config = QlogConfig::default();
        config
            .writer(Box::new(recording.clone()))
            .title(Some(self.title.clone()))
            .description(Some(match role {
                Role::Client => "client".to_owned(),
                Role::Server => "server".to_owned(),
            }))
            .start_time(now);
        Some((config.into_stream()?, recording))
    }
}

fn create(path: &Path) -> io::Result<File> {
    // Never through a link that somebody else has put there; for the sidecar's user alone.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// `2026-01-31T23-59-59.000001Z-client-<connection id>.sqlog`: sorts by time.
fn file_name(role: Role, id: &ConnectionId, at: SystemTime) -> String {
    let time = Rfc3339(at).to_string().replace(':', "-");
    let role = match role {
        Role::Client => "client",
        Role::Server => "server",
    };
    format!("{time}-{role}-{id}.sqlog")
}

/// Writes whole records until there are `limit` bytes or the disk is full, and drops
/// the rest: a diagnosis must not end the connection it looks at.
#[derive(Debug)]
struct Bounded<W: Write> {
    to: BufWriter<W>,
    left: u64,
    full: bool,
}

impl<W: Write> Bounded<W> {
    fn new(to: W, limit: u64) -> Self {
        Self {
            to: BufWriter::with_capacity(BUFFER, to),
            left: limit,
            full: false,
        }
    }
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Only a record's first byte may find the file full: none is cut in two.
        self.full |= self.left == 0 && bytes.first() == Some(&RECORD_SEPARATOR);
        if !self.full {
            self.full = self.to.write_all(bytes).is_err();
            self.left = self.left.saturating_sub(bytes.len() as u64);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn records(limit: u64, count: usize) -> Vec<u8> {
        let mut bounded = Bounded::new(Vec::new(), limit);
        for _ in 0..count {
            for part in [&[RECORD_SEPARATOR][..], b"{\"time\":", b"1}", b"\n"] {
                assert_eq!(bounded.write(part).unwrap(), part.len());
            }
        }
        bounded.to.into_inner().unwrap()
    }

    #[test]
    fn a_full_file_ends_with_a_whole_record() {
        assert_eq!(records(1000, 3).len(), 3 * 12);
        assert_eq!(records(13, 10), b"\x1e{\"time\":1}\n".repeat(2));
        assert_eq!(records(24, 10), b"\x1e{\"time\":1}\n".repeat(2));
    }

    #[test]
    fn a_full_disk_is_not_the_connections_fault() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut bounded = Bounded::new(Full, FILE_BYTES);
        let much = vec![RECORD_SEPARATOR; 2 * BUFFER];
        assert_eq!(bounded.write(&much).unwrap(), much.len());
        assert!(bounded.full);
    }

    #[test]
    fn a_file_is_named_by_time_role_and_connection() {
        let at = UNIX_EPOCH + Duration::from_micros(1_767_225_599_000_001);
        let id = ConnectionId::new(&[0xab, 0x01]);
        assert_eq!(
            file_name(Role::Client, &id, at),
            "2025-12-31T23-59-59.000001Z-client-ab01.sqlog"
        );
    }

    #[test]
    fn events_of_ours_stand_between_quinns_records_and_stay_within_the_file() {
        let folder = std::env::temp_dir().join(format!("stoq-qlog-own-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("own.sqlog");
        let begun = Instant::now();
        let mut recording = Recording::new(Bounded::new(create(&path).unwrap(), 100), begun);
        recording
            .write_all(b"\x1e{\"name\":\"quinn's\"}\n")
            .unwrap();
        for milliseconds in 1..=9 {
            let at = begun + Duration::from_millis(milliseconds);
            recording.event(at, "stoq:test", &milliseconds);
        }
        drop(recording);
        let written = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let records: Vec<&str> = written.split('\u{1e}').skip(1).collect();
        assert_eq!(records[0], "{\"name\":\"quinn's\"}\n");
        assert_eq!(
            records[1],
            "{\"time\":1.0,\"name\":\"stoq:test\",\"data\":1}\n"
        );
        assert!(records.len() < 9 && written.ends_with("}\n"), "{written:?}");
    }

    #[test]
    fn only_so_many_connections_are_recorded() {
        let folder = std::env::temp_dir().join(format!("stoq-qlog-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let qlog = Qlog::open(&folder, String::new()).unwrap();
        let log = Log::new(crate::settings::LogLevel::Error);
        let mut taken = Vec::new();
        for number in 0..=FILES {
            let id = ConnectionId::new(&number.to_be_bytes());
            taken.extend(qlog.stream(Role::Server, &id, Instant::now(), &log));
        }
        let files = std::fs::read_dir(&folder).unwrap().count();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!((taken.len(), files), (FILES, FILES));
    }
}
