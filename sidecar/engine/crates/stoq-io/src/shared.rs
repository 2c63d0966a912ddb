//! What all workers of an engine share. Read-mostly; nothing here is locked on the
//! data path.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use arc_swap::ArcSwap;
use stoq_core::table::Table;
use stoq_core::tls::TlsContext;

use crate::access_log::AccessLog;
use crate::api::ApiHub;
use crate::counters::Counters;
use crate::endpoints::Endpoints;
use crate::forwarder::Forwarder;
use crate::log::Log;
use crate::mailbox::Mailbox;
use crate::objects::{ObjectHub, Signatures};
use crate::qlog::Qlog;
use crate::settings::EngineSettings;
use crate::socket::raw::RawSockets;
use crate::socket::source::Sources;
use crate::stripes::StripeHub;

pub(crate) struct Shared {
    pub(crate) settings: EngineSettings,
    pub(crate) tls: Arc<TlsContext>,
    /// Replaced whole; each worker looks once per turn.
    pub(crate) table: ArcSwap<Table>,
    /// How the endpoints of services stand.
    pub(crate) endpoints: Endpoints,
    /// What it forwards for others; none: it is no gateway.
    pub(crate) forwarder: Option<Forwarder>,
    /// One per worker.
    pub(crate) mailboxes: Vec<Mailbox>,
    /// One per worker.
    pub(crate) counters: Vec<Arc<Counters>>,
    pub(crate) access_log: AccessLog,
    pub(crate) api: ApiHub,
    /// Transfers that come, of all workers.
    pub(crate) objects: ObjectHub,
    /// Striped flows that peers have begun.
    pub(crate) stripes: StripeHub,
    /// Whose signatures stand.
    pub(crate) signatures: Signatures,
    pub(crate) log: Log,
    /// Where connections are recorded; none: they are not.
    pub(crate) qlog: Option<Qlog>,
    /// Sockets for clients' addresses.
    pub(crate) sources: Sources,
    /// Whether the application is dialled from them.
    pub(crate) transparent: AtomicBool,
    /// By which captured UDP enters the pod and leaves it; none: UDP is not captured.
    pub(crate) raw: Option<RawSockets>,
    /// What the capture probe is answered.
    pub(crate) nonce: Option<[u8; 16]>,
    /// Tells this process's connection IDs from its predecessor's.
    pub(crate) generation: u8,
}

impl Shared {
    /// Replaces the routing table, and what goes by it beside the workers; they are to be told.
    pub(crate) fn set_table(&self, table: Arc<Table>) {
        if let Some(forwarder) = &self.forwarder {
            forwarder.set_rules(table.forwards());
        }
        self.table.store(table);
        self.endpoints.prune(Instant::now());
    }
}
