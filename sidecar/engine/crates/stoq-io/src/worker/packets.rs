//! Faults at the end of packets, found while they were opened (`docs/wire-format.md`, T8).

use std::time::Instant;

use super::{Phase, Worker};

impl Worker {
    /// Closes a connection of which a packet was wrong. Costs next to nothing where none was.
    pub(super) fn check_packets(&mut self, index: usize, now: Instant) {
        let link = self.links.get(index).and_then(Option::as_ref);
        let Some(link) = link.filter(|link| link.phase != Phase::Gone) else {
            return;
        };
        let Some(fault) = link.packets.as_ref().and_then(|packets| packets.fault()) else {
            return;
        };
        let (code, why) = (fault.code(), fault.to_string());
        let remote = link.quic.remote_address();
        self.shared
            .log
            .warn(format_args!("closing the connection with {remote}: {why}"));
        self.counters().packet_refused();
        self.close(index, code, &why, now);
    }
}
