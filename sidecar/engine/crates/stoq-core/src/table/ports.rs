//! Modes of single ports, where they are others than the workload's.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::document::Port;
use super::{InboundMode, OutboundMode, TableError};

/// A port and what holds there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PortModeDocument {
    port: Port,
    inbound: Option<InboundMode>,
    outbound: Option<OutboundMode>,
}

/// What ports say for themselves, of TCP and UDP alike.
#[derive(Debug, Clone, Default)]
pub(super) struct PortModes {
    inbound: BTreeMap<u16, InboundMode>,
    outbound: BTreeMap<u16, OutboundMode>,
}

impl PortModes {
    /// # Errors
    /// [`TableError`] for a port that says a mode twice: which of them holds would depend on their order.
    pub(super) fn new(documents: Vec<PortModeDocument>) -> Result<Self, TableError> {
        let mut modes = Self::default();
        for (index, document) in documents.into_iter().enumerate() {
            let port = document.port.0;
            let inbound = document
                .inbound
                .map(|mode| modes.inbound.insert(port, mode));
            let outbound = document
                .outbound
                .map(|mode| modes.outbound.insert(port, mode));
            if inbound.flatten().is_some() || outbound.flatten().is_some() {
                return Err(TableError {
                    field: format!("ports[{index}].port"),
                    problem: format!("port {port} has such a mode already: name it once"),
                });
            }
        }
        Ok(modes)
    }

    pub(super) fn inbound(&self, port: u16) -> Option<InboundMode> {
        self.inbound.get(&port).copied()
    }

    pub(super) fn outbound(&self, port: u16) -> Option<OutboundMode> {
        self.outbound.get(&port).copied()
    }
}
