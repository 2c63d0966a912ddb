//! Flows with whoever is outside the mesh.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use stoq_core::spiffe::SpiffeId;
use stoq_core::table::{
    Admission, Draw, InboundPlaintext, Outbound, OutboundMode, Reason, Table, Transport,
    decide_inbound_plaintext, decide_outbound,
};
use stoq_core::udp::Pair;

use super::super::{Direction, Flow, Slot, Worker};
use super::Way;
use crate::counters::UdpDrop;

impl Worker {
    /// Decides where a flow that an application begins goes.
    pub(super) fn decide_udp<'t>(
        &mut self,
        table: &'t Table,
        remote: SocketAddr,
        now: Instant,
    ) -> Outbound<'t> {
        let draw = Draw {
            pick: self.pick(),
            standing: &|address| self.shared.endpoints.standing(address, now),
            tried: &[],
            meshed: false,
            transport: Transport::Udp,
        };
        decide_outbound(table, remote, &draw)
    }

    /// Plaintext from outside that no flow has.
    pub(super) fn open_plain_inbound(&mut self, pair: Pair, payload: &[u8], now: Instant) {
        let table = Arc::clone(&self.table);
        let decided = decide_inbound_plaintext(&table, pair.remote, pair.app);
        let InboundPlaintext::Admit(admission) = decided else {
            if decided == InboundPlaintext::Refuse(Reason::AccessDenied) {
                self.count_ruling(None, pair.app);
            }
            self.counters().udp_dropped(UdpDrop::Refused);
            return;
        };
        if admission == Admission::Permissive {
            self.count_ruling(None, pair.app);
        }
        let info = self.info(Direction::Inbound, pair.remote, pair.app, now);
        let way = Way::Plain(pair.remote);
        if let Some(key) = self.begin_udp(pair, way, info, now) {
            self.deliver(key, payload, now);
        }
    }

    /// Plaintext from outside for a flow. A flow of the mesh takes none.
    pub(super) fn plain_received(&mut self, key: usize, payload: &[u8], now: Instant) {
        match &self.flows[key].flow {
            Flow::Udp(flow) if matches!(flow.way, Way::Plain(_)) => {
                self.deliver(key, payload, now);
            }
            _ => self.counters().udp_dropped(UdpDrop::Refused),
        }
    }

    /// The table was replaced: ends the flows that it would not let begin in the same way.
    pub(in super::super) fn recheck_udp(&mut self, now: Instant) {
        let table = Arc::clone(&self.table);
        let stale = |(key, slot): (usize, &Slot)| (!self.stays(&table, slot)).then_some(key);
        let keys: Vec<usize> = self.flows.iter().filter_map(stale).collect();
        for key in keys {
            self.finish_udp(key, now);
        }
    }

    fn stays(&self, table: &Table, slot: &Slot) -> bool {
        let (Flow::Udp(flow), Some(info)) = (&slot.flow, &slot.info) else {
            return true;
        };
        let at = |address: SocketAddr| table.workload_at(address.ip()).map(|w| &w.spiffe_id);
        match (&flow.way, info.direction) {
            (Way::Plain(to), Direction::Outbound) => {
                at(*to).is_none() && table.outbound(to.port()) == OutboundMode::Allow
            }
            (Way::Plain(from), Direction::Inbound) => {
                let decided = decide_inbound_plaintext(table, *from, flow.pair.app);
                matches!(decided, InboundPlaintext::Admit(_))
            }
            (Way::Opening(peer), _) => at(info.destination) == peer.expect.as_ref(),
            (Way::Mesh(_), Direction::Outbound) => at(info.destination) == self.proven(slot),
            (Way::Mesh(_), Direction::Inbound) => {
                let peer = self.proven(slot);
                let ruling = table.access().rule(peer, info.destination.port());
                at(info.source) == peer && ruling.admits()
            }
        }
    }

    /// The identity that the peer of a flow has proven.
    fn proven(&self, slot: &Slot) -> Option<&SpiffeId> {
        let link = self.links.get(slot.connection?)?.as_ref()?;
        Some(&link.evidence.as_ref()?.peer.as_ref()?.spiffe)
    }
}
