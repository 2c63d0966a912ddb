//! The engine: its workers, and the handle by which others speak to them.

mod sockets;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use mio::{Poll, Waker};
use rand_core::{OsRng, RngCore};
use stoq_adapt::PolicyDocument;
use stoq_core::table::Table;
use stoq_core::tls::TlsContext;

use crate::access_log::{AccessLog, LineFormat};
use crate::adaptation;
use crate::api::{ApiHub, ApiPort};
use crate::endpoints::Endpoints;
use crate::error::EngineError;
use crate::forwarder::Forwarder;
use crate::log::Log;
use crate::mailbox::{Command, Mailbox};
use crate::objects::{ObjectHub, Signatures};
use crate::qlog::Qlog;
use crate::settings::{AccessLogFormat, EngineSettings, LogLevel, MAX_WORKERS};
use crate::shared::Shared;
use crate::snapshot::{ConnectionInfo, Snapshot};
use crate::socket;
use crate::socket::raw::RawSockets;
use crate::socket::source::Sources;
use crate::stripes::StripeHub;
use crate::worker::{WAKER, Worker};
use sockets::Sockets;

/// How long [`Engine::connections`] waits for the workers, each of which answers
/// within a turn of its loop.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Which of an engine's listeners is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LocalPort {
    /// STOQ between workloads (UDP).
    Stoq,
    /// STOQ for clients that may have no certificate (UDP).
    Bootstrap,
    /// Captured outbound connections (TCP).
    Outbound,
    /// Captured inbound plaintext (TCP).
    Inbound,
}

/// A running engine. Clones are handles on the same one; it runs until
/// [`Engine::shutdown`], or until it has drained.
#[derive(Clone)]
pub struct Engine {
    api: ApiPort,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
    ports: Arc<Vec<(LocalPort, u16)>>,
    started: Instant,
}

impl Engine {
    /// Opens the sockets and starts the workers.
    ///
    /// Until a table is set, nothing is relayed.
    ///
    /// # Errors
    /// [`EngineError`] naming the setting that is wrong or the socket that cannot be
    /// opened. Nothing is left behind then.
    pub fn start(settings: EngineSettings, tls: Arc<TlsContext>) -> Result<Self, EngineError> {
        settings.check()?;
        let nonce = settings.nonce()?;
        let wanted = worker_count(&settings);
        let mut sockets = Sockets::open(&settings, wanted)?;
        let workers = sockets.workers(wanted);
        sockets.steer(workers);
        let mut polls = Vec::new();
        let mut mailboxes = Vec::new();
        for _ in 0..workers {
            let poll = Poll::new().map_err(EngineError::Worker)?;
            let waker = Waker::new(poll.registry(), WAKER).map_err(EngineError::Worker)?;
            polls.push(poll);
            mailboxes.push(Mailbox::new(waker));
        }
        let limit = settings.limits.api_streams as usize;
        let ports = sockets.ports();
        let shared = Arc::new(Shared {
            tls,
            table: ArcSwap::from_pointee(Table::closed()),
            endpoints: Endpoints::new(Instant::now()),
            forwarder: Forwarder::of(&settings),
            counters: mailboxes.iter().map(|_| Arc::default()).collect(),
            access_log: access_log(settings.access_log)?,
            mailboxes,
            api: ApiHub::new(limit).map_err(EngineError::Worker)?,
            objects: ObjectHub::new(settings.limits.shards()),
            stripes: StripeHub::default(),
            signatures: Signatures::new(),
            log: Log::new(settings.log_level),
            qlog: qlog(&settings)?,
            sources: sources(&settings)?,
            transparent: AtomicBool::new(false),
            raw: RawSockets::adopt(&settings)?,
            nonce,
            generation: OsRng.next_u32() as u8,
            settings,
        });
        sockets.adopt_queues(&shared);
        let mut ready = Vec::new();
        for (index, poll) in polls.into_iter().enumerate() {
            let plan = sockets
                .plan(index, poll, &shared)
                .map_err(EngineError::Worker)?;
            ready.push(Worker::new(plan, Arc::clone(&shared)).map_err(EngineError::Worker)?);
        }
        let mut threads = Vec::new();
        for (index, worker) in ready.into_iter().enumerate() {
            let thread = std::thread::Builder::new()
                .name(format!("stoq-worker-{index}"))
                .spawn(move || worker.run())
                .map_err(EngineError::Worker)?;
            threads.push(thread);
        }
        Ok(Self {
            api: ApiPort { shared },
            threads: Arc::new(Mutex::new(threads)),
            ports: Arc::new(ports),
            started: Instant::now(),
        })
    }

    /// Replaces the routing table; connections made from now on obey it.
    pub fn set_table(&self, table: Arc<Table>) {
        self.api.shared.set_table(table);
        self.post_all(|| Command::Table);
    }

    /// Closes every live connection whose peer would not be let in any more: to be
    /// called after trust or the revocation list has changed.
    pub fn reauthorise(&self) {
        self.post_all(|| Command::Reauthorise);
    }

    /// Proves our present identity to the peers of live connections, which go on beyond the
    /// end of the certificate they were opened with: to be called after the identity has
    /// changed. One signature per connection, made beside the data.
    pub fn prove_identity(&self) {
        self.post_all(|| Command::Prove);
    }

    /// Has live and later connections adapt within another policy, until this engine ends.
    ///
    /// # Errors
    /// [`EngineError::Adapt`] naming the field; the policy before then stays. Adaptation cannot
    /// be switched on or off while the engine runs: connections are made for it or not.
    pub fn set_adaptation(&self, document: &PolicyDocument) -> Result<(), EngineError> {
        let settings = self.settings();
        let policy = adaptation::replaced(&settings.adapt, document, &settings.transport)?;
        self.post_all(|| Command::Policy(Box::new(policy)));
        Ok(())
    }

    /// Judges the path of every connection at once, by what is measured now and without regard to
    /// what was found before; BBR searches for the bandwidth anew.
    pub fn adapt_now(&self) {
        self.post_all(|| Command::Adapt);
    }

    /// Takes nothing new, and ends when the last flow has, or after `timeout`.
    pub fn drain(&self, timeout: Duration) {
        let until = Instant::now() + timeout;
        self.post_all(|| Command::Drain(until));
    }

    /// Closes everything, and returns when all workers have ended.
    pub fn shutdown(&self) {
        self.post_all(|| Command::Shutdown);
        self.join();
    }

    /// Returns when all workers have ended: after a drain or a shutdown.
    pub fn join(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // A worker that panicked has said so on standard error.
            let _ = thread.join();
        }
    }

    /// Every established connection.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        let (reply, answers) = mpsc::channel();
        self.post_all(|| Command::Connections(reply.clone()));
        drop(reply);
        let until = Instant::now() + ANSWER_TIMEOUT;
        let mut found = Vec::new();
        // The channel closes when the last worker has answered, or is gone.
        while let Ok(info) = answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
            found.push(info);
        }
        found
    }

    /// Every counter and gauge.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let shared = &self.api.shared;
        let ejected = shared.endpoints.ejected(Instant::now());
        let dropped = shared.access_log.dropped();
        let uptime = self.started.elapsed();
        Snapshot::read(
            &shared.counters,
            uptime,
            &shared.table.load(),
            &ejected,
            dropped,
        )
    }

    /// The port that a listener is bound to; `None` when there is no such listener.
    #[must_use]
    pub fn local_port(&self, which: LocalPort) -> Option<u16> {
        self.ports
            .iter()
            .find(|(port, _)| *port == which)
            .map(|(_, number)| *number)
    }

    /// Whether the application is dialled from the client's own address from now on; at the
    /// start it is not. Replies must come back to this pod's loopback, which capture sees to.
    pub fn set_transparent(&self, transparent: bool) {
        let shared = &self.api.shared;
        shared.transparent.store(transparent, Ordering::Relaxed);
    }

    /// Changes the level of the log.
    pub fn set_log_level(&self, level: LogLevel) {
        self.api.shared.log.set_level(level);
    }

    /// The API streams of this engine.
    #[must_use]
    pub fn api(&self) -> &ApiPort {
        &self.api
    }

    /// What it was started with.
    #[must_use]
    pub fn settings(&self) -> &EngineSettings {
        &self.api.shared.settings
    }

    fn post_all(&self, command: impl Fn() -> Command) {
        for mailbox in &self.api.shared.mailboxes {
            mailbox.post(command());
        }
    }
}

/// Sockets for clients' addresses, from what the broker passed.
fn sources(settings: &EngineSettings) -> Result<Sources, EngineError> {
    const FIELD: &str = "transparent_fd";
    let adopted = |fd| socket::adopt(FIELD, fd);
    let listener = settings.transparent_fd.map(adopted).transpose()?;
    Sources::new(listener).map_err(|source| EngineError::Adopt {
        field: FIELD,
        fd: settings.transparent_fd.unwrap_or(-1),
        source,
    })
}

/// The folder for qlog files, if there is to be one.
fn qlog(settings: &EngineSettings) -> Result<Option<Qlog>, EngineError> {
    let title = format!("{}/{}", settings.namespace, settings.name);
    let folder = settings.qlog_dir.as_deref();
    folder.map(|folder| Qlog::open(folder, title)).transpose()
}

/// The access log on standard output, in the wanted shape.
fn access_log(format: AccessLogFormat) -> Result<AccessLog, EngineError> {
    let format = match format {
        AccessLogFormat::Off => return Ok(AccessLog::off()),
        AccessLogFormat::Json => LineFormat::Json,
        AccessLogFormat::Text => LineFormat::Text,
    };
    let (log, _) = AccessLog::start(format, io::stdout()).map_err(EngineError::Worker)?;
    Ok(log)
}

/// One worker per CPU that the process may use, within bounds.
fn worker_count(settings: &EngineSettings) -> usize {
    if settings.workers > 0 {
        return settings.workers.into();
    }
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    cpus.min(MAX_WORKERS.into())
}
