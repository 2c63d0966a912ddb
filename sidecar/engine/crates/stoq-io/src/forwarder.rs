//! The routes that an engine forwards, as all its workers see them.
//!
//! A route that comes round arrives at any worker, and its peer may have connections at all of them.
//! Locked when a route begins or ends and when the table changes, never for a packet.

use std::sync::{Mutex, MutexGuard, PoisonError};

use stoq_frames::hop::{Gateway, Limits, Next, RouteRefusal, Rule};
use stoq_wire::frame::hop::{Route, RouteId};

use crate::settings::EngineSettings;

/// A gateway's routes.
#[derive(Debug)]
pub(crate) struct Forwarder {
    limits: Limits,
    gateway: Mutex<Gateway>,
}

impl Forwarder {
    /// One without rules, which forwards nothing; none where the settings make no gateway.
    pub(crate) fn of(settings: &EngineSettings) -> Option<Self> {
        let limits = settings.gateway.as_ref()?.limits();
        Some(Self {
            limits,
            gateway: Mutex::new(Gateway::new(limits, Vec::new())),
        })
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// As [`Gateway::set_rules`].
    pub(crate) fn set_rules(&self, rules: &[Rule]) {
        self.gateway().set_rules(rules.to_vec());
    }

    /// As [`Gateway::open`].
    pub(crate) fn open(&self, here: &str, from: &str, route: Route) -> Result<Next, RouteRefusal> {
        self.gateway().open(here, from, route)
    }

    /// As [`Gateway::admits`].
    pub(crate) fn admits(&self, id: &RouteId) -> bool {
        self.gateway().admits(id)
    }

    /// As [`Gateway::close`].
    pub(crate) fn close(&self, id: &RouteId) {
        self.gateway().close(id);
    }

    fn gateway(&self) -> MutexGuard<'_, Gateway> {
        self.gateway.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
