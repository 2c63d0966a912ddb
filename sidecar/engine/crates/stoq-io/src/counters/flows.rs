//! Counters per pair of workloads, labelled as ztunnel labels its own, so that
//! existing dashboards need only another prefix.
//!
//! A flow looks its counters up once, when it begins, and then holds them. Every
//! label comes from the registry or from a verified certificate, never from
//! bytes that a client chose, and the number of sets is bounded.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

use super::labels::{FlowLabels, Reporter, ResponseFlag, SecurityPolicy, Suite, UNKNOWN};
use super::{Counters, add};

/// Most sets of labels one worker keeps apart; further flows are counted
/// together, with all labels unknown. About 600 bytes each.
pub const MAX_FLOW_LABELS: usize = 16_384;

/// Counters of one set of labels in one worker.
#[derive(Debug, Default)]
pub struct FlowCounters {
    opened: AtomicU64,
    closed: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    failed: [AtomicU64; ResponseFlag::ALL.len()],
}

impl FlowCounters {
    /// A flow began.
    pub fn opened(&self) {
        add(&self.opened, 1);
    }

    /// A flow that had begun ended, in whatever way.
    pub fn closed(&self) {
        add(&self.closed, 1);
    }

    /// A flow failed, before or after it began.
    pub fn failed(&self, flag: ResponseFlag) {
        add(&self.failed[super::position(&ResponseFlag::ALL, &flag)], 1);
    }

    /// Application bytes that this workload sent and received.
    pub fn moved(&self, sent: u64, received: u64) {
        add(&self.sent, sent);
        add(&self.received, received);
    }
}

/// A worker's way from labels to counters. Belongs to its thread.
#[derive(Debug)]
pub struct FlowTable {
    counters: Arc<Counters>,
    known: HashMap<Arc<FlowLabels>, Arc<FlowCounters>>,
}

impl FlowTable {
    /// A table that publishes into `counters`.
    #[must_use]
    pub fn new(counters: Arc<Counters>) -> Self {
        Self {
            counters,
            known: HashMap::new(),
        }
    }

    /// The counters of `labels`; keep them for as long as the flow lives.
    pub fn resolve(&mut self, labels: FlowLabels) -> Arc<FlowCounters> {
        if let Some(known) = self.known.get(&labels) {
            return Arc::clone(known);
        }
        let labels = if self.known.len() < MAX_FLOW_LABELS {
            labels
        } else {
            FlowLabels::overflow(labels.reporter, labels.policy)
        };
        if let Some(known) = self.known.get(&labels) {
            return Arc::clone(known);
        }
        let labels = Arc::new(labels);
        let counters = Arc::new(FlowCounters::default());
        self.counters
            .publish(Arc::clone(&labels), Arc::clone(&counters));
        self.known.insert(labels, Arc::clone(&counters));
        counters
    }
}

/// Counters of one set of labels, summed over workers, with the labels' texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlowSample {
    /// Which side counts.
    pub reporter: Reporter,
    /// Who dialled: workload.
    pub source_workload: String,
    /// Who dialled: namespace.
    pub source_workload_namespace: String,
    /// Who dialled: SPIFFE id.
    pub source_principal: String,
    /// Who was dialled: workload.
    pub destination_workload: String,
    /// Who was dialled: namespace.
    pub destination_workload_namespace: String,
    /// Who was dialled: SPIFFE id.
    pub destination_principal: String,
    /// Service that was dialled.
    pub destination_service_name: String,
    /// Its namespace.
    pub destination_service_namespace: String,
    /// How flows were protected.
    pub connection_security_policy: SecurityPolicy,
    /// Negotiated key exchange.
    pub key_exchange: &'static str,
    /// Negotiated signature of the peer.
    pub signature: &'static str,
    /// Negotiated cipher.
    pub cipher: &'static str,
    /// Flows that began.
    pub opened: u64,
    /// Flows that ended after they had begun.
    pub closed: u64,
    /// Application bytes the reporting workload sent.
    pub sent_bytes: u64,
    /// Application bytes the reporting workload received.
    pub received_bytes: u64,
    /// Flows that failed, by `response_flags`; flags without a failure are left out.
    pub failed: Vec<(&'static str, u64)>,
}

/// Sums the same labels of several workers.
#[derive(Debug, Default)]
pub(crate) struct Merge {
    sums: HashMap<Arc<FlowLabels>, [u64; 4 + ResponseFlag::ALL.len()]>,
}

impl Merge {
    pub(crate) fn add(&mut self, published: &[(Arc<FlowLabels>, Arc<FlowCounters>)]) {
        for (labels, counters) in published {
            let sums = self.sums.entry(Arc::clone(labels)).or_default();
            let head = [
                &counters.opened,
                &counters.closed,
                &counters.sent,
                &counters.received,
            ];
            for (sum, value) in sums
                .iter_mut()
                .zip(head.into_iter().chain(&counters.failed))
            {
                *sum += value.load(Relaxed);
            }
        }
    }

    pub(crate) fn samples(self) -> Vec<FlowSample> {
        self.sums
            .into_iter()
            .map(|(labels, sums)| sample(&labels, &sums))
            .collect()
    }
}

fn sample(labels: &FlowLabels, sums: &[u64; 4 + ResponseFlag::ALL.len()]) -> FlowSample {
    let text = |value: &Option<Arc<str>>| value.as_deref().unwrap_or(UNKNOWN).to_owned();
    let [opened, closed, sent_bytes, received_bytes, failed @ ..] = sums;
    let failed = ResponseFlag::ALL
        .iter()
        .zip(failed)
        .filter(|(_, count)| **count > 0);
    let service = labels.service.clone().unzip();
    let suite = |pick: fn(&Suite) -> &'static str| labels.suite.as_ref().map_or(UNKNOWN, pick);
    FlowSample {
        reporter: labels.reporter,
        source_workload: text(&labels.source.workload),
        source_workload_namespace: text(&labels.source.namespace),
        source_principal: text(&labels.source.principal),
        destination_workload: text(&labels.destination.workload),
        destination_workload_namespace: text(&labels.destination.namespace),
        destination_principal: text(&labels.destination.principal),
        destination_service_name: text(&service.0),
        destination_service_namespace: text(&service.1),
        connection_security_policy: labels.policy,
        key_exchange: suite(|suite| suite.key_exchange),
        signature: suite(|suite| suite.signature),
        cipher: suite(|suite| suite.cipher),
        opened: *opened,
        closed: *closed,
        sent_bytes: *sent_bytes,
        received_bytes: *received_bytes,
        failed: failed.map(|(flag, count)| (flag.name(), *count)).collect(),
    }
}
