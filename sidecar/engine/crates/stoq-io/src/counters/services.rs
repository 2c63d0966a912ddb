//! What became of connections to services whose endpoints failed, by service.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use stoq_core::table::Table;

/// Name and namespace of a service.
type Name = (Arc<str>, Arc<str>);

/// Counts of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Tally {
    failovers: u64,
    ejections: u64,
    ejected: Vec<SocketAddr>,
}

/// Failures by service; most services have none. Written by one worker, and only when an
/// endpoint fails; locked for a look-up. Names come from the routing table.
#[derive(Debug, Default)]
pub(super) struct ServiceCounts(Mutex<BTreeMap<Name, Tally>>);

/// How the endpoints of one service have failed, read once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceSample {
    /// Name of the service.
    pub destination_service_name: String,
    /// Its namespace.
    pub destination_service_namespace: String,
    /// Connections that failed at one endpoint and were tried at another.
    pub failovers: u64,
    /// Times that an endpoint was ejected because of a connection to this service.
    pub ejections: u64,
    /// Endpoints that get no connections now, with their ports.
    pub ejected: Vec<SocketAddr>,
}

impl ServiceCounts {
    /// A connection to `service` is tried at another endpoint.
    pub(super) fn failed_over(&self, service: &Name) {
        self.with(service, |tally| tally.failovers += 1);
    }

    /// An endpoint was ejected because of a connection to `service`.
    pub(super) fn ejected(&self, service: &Name) {
        self.with(service, |tally| tally.ejections += 1);
    }

    fn with(&self, service: &Name, change: impl FnOnce(&mut Tally)) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(counts.entry(service.clone()).or_default());
    }
}

/// Every worker's counts, with the endpoints that are `ejected` under each service of `table`
/// that has them.
pub(super) fn samples<'c>(
    workers: impl Iterator<Item = &'c ServiceCounts>,
    table: &Table,
    ejected: &[SocketAddr],
) -> Vec<ServiceSample> {
    let mut sums: BTreeMap<Name, Tally> = BTreeMap::new();
    for worker in workers {
        let counts = worker.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, tally) in counts.iter() {
            let sum = sums.entry(name.clone()).or_default();
            sum.failovers += tally.failovers;
            sum.ejections += tally.ejections;
        }
    }
    let services = table.services().iter().filter(|_| !ejected.is_empty());
    for service in services {
        let among = |address: &&SocketAddr| service.leads_to(**address);
        let found: Vec<SocketAddr> = ejected.iter().filter(among).copied().collect();
        if !found.is_empty() {
            let name = (
                service.name.as_str().into(),
                service.namespace.as_str().into(),
            );
            sums.entry(name).or_default().ejected = found;
        }
    }
    let sample = |((name, namespace), tally): (Name, Tally)| ServiceSample {
        destination_service_name: name.to_string(),
        destination_service_namespace: namespace.to_string(),
        failovers: tally.failovers,
        ejections: tally.ejections,
        ejected: tally.ejected,
    };
    sums.into_iter().map(sample).collect()
}
