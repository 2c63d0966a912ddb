//! Access policies, on flows that begin and on those that are open.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use stoq_core::spiffe::SpiffeId;
use stoq_core::table::{InboundPlaintext, Reason, Ruling, decide_inbound_plaintext};
use stoq_wire::code::StreamCode;

use super::observe::Outcome;
use super::{Direction, Flow, Slot, Worker};

impl Worker {
    /// Counts what policies say about a flow that begins.
    pub(super) fn count_ruling(&self, peer: Option<&SpiffeId>, destination: SocketAddr) {
        let ruling = self.table.access().rule(peer, destination.port());
        self.counters().ruled(&ruling);
    }

    /// Ends a flow that policies refuse: the peer is told by a code of its own, the access
    /// log which policy it was.
    pub(super) fn deny_access(&mut self, key: usize, ruling: &Ruling, now: Instant) {
        let code = StreamCode::AccessDenied;
        self.counters().ruled(ruling);
        self.counters().stream_refused(code);
        let why = format!("access policy: {}", ruling.refused_by());
        self.end_flow(key, code, Outcome::Refused(why), now);
    }

    /// The table was replaced: ends the open flows that its policies refuse. Looks at them
    /// only when the policies are other ones.
    pub(super) fn apply_access(&mut self, now: Instant) {
        let access = Arc::clone(self.table.access());
        let before = std::mem::replace(&mut self.access, Arc::clone(&access));
        if Arc::ptr_eq(&before, &access) || before == access {
            return;
        }
        let ruled = |(key, slot): (usize, &Slot)| Some((key, self.ruling(slot)?));
        let refused: Vec<(usize, Ruling)> = self
            .flows
            .iter()
            .filter_map(ruled)
            .filter(|(_, ruling)| !ruling.admits())
            .collect();
        for (key, ruling) in refused {
            self.deny_access(key, &ruling, now);
        }
    }

    /// What the policies say about an open flow; none when they have no say in it.
    fn ruling(&self, slot: &Slot) -> Option<Ruling> {
        let info = slot.info.as_deref()?;
        if info.direction != Direction::Inbound {
            return None;
        }
        let port = info.destination.port();
        match &slot.flow {
            Flow::Relay(_) | Flow::Connecting(_) | Flow::Stripe(_) => {
                let link = self.links.get(slot.connection?)?.as_ref()?;
                let peer = link.evidence.as_ref()?.peer.as_ref()?;
                Some(self.table.access().rule(Some(&peer.spiffe), port))
            }
            // Probes are let in whatever the policies say.
            Flow::Pipe(_) => {
                let decided = decide_inbound_plaintext(&self.table, info.source, info.destination);
                let refused = decided == InboundPlaintext::Refuse(Reason::AccessDenied);
                refused.then(|| self.table.access().rule(None, port))
            }
            _ => None,
        }
    }
}
