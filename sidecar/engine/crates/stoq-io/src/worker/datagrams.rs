//! Datagrams on a connection (`docs/wire-format.md`, sections 11 and 12).

use std::time::Instant;

use stoq_wire::code::ConnectionCode;
use stoq_wire::packet::StoqPacket;
use stoq_wire::udp::is_flow;

use super::Worker;

impl Worker {
    /// Takes the datagrams that a connection has, all of them, so that none pile up.
    pub(super) fn take_datagrams(&mut self, index: usize, now: Instant) {
        loop {
            let Some(link) = self.links[index].as_mut() else {
                return;
            };
            let Some(datagram) = link.quic.datagrams().recv() else {
                return;
            };
            if is_flow(&datagram) && self.has_udp(index) {
                self.udp_datagram(index, datagram, now);
                continue;
            }
            let Some(link) = self.links[index].as_ref() else {
                return;
            };
            let agreed = link.evidence.as_ref().map(|evidence| evidence.agreed);
            match StoqPacket::from_datagram(&datagram, &agreed.unwrap_or_default()) {
                // No other frame that a datagram carries is offered, so none may come (E1, E4).
                Ok(packet) => {
                    if let Some(shard) = packet.shard {
                        self.shard_datagram(index, shard, now);
                    }
                }
                Err(error) => {
                    let why = format!("a datagram of {} bytes: {error}", datagram.len());
                    self.close(index, ConnectionCode::Protocol, &why, now);
                }
            }
        }
    }
}
