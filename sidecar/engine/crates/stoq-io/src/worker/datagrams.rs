//! Datagrams on a connection (`docs/wire-format.md`, sections 11 to 14 and 17).

use std::time::Instant;

use bytes::Bytes;
use quinn_proto::{Dir, StreamId};
use stoq_wire::code::ConnectionCode;
use stoq_wire::frame::hop::Hop;
use stoq_wire::packet::StoqPacket;
use stoq_wire::udp::is_flow;

use super::Worker;

/// Datagrams per connection that wait for the beginning of their stream, which another packet has.
const EARLY: usize = 64;

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
                    if let Some(Hop::Packet { tunnel, data }) = packet.hop {
                        self.hop_datagram(index, tunnel, data, now);
                    }
                }
                Err(error) => {
                    let why = format!("a datagram of {} bytes: {error}", datagram.len());
                    self.close(index, ConnectionCode::Protocol, &why, now);
                }
            }
        }
    }

    /// Keeps a datagram that came before the beginning of its stream, which is still to be opened by
    /// the peer or has not said yet what it is for. False: it is too late, or one too many.
    pub(super) fn keep_datagram(&mut self, index: usize, stream: StreamId, data: Bytes) -> bool {
        let Some(link) = self.links[index].as_mut() else {
            return false;
        };
        let theirs = stream.initiator() != link.quic.side() && stream.dir() == Dir::Bi;
        let undecided = link.flow_of(stream).is_some();
        let to_come = stream.index() >= link.accepted_streams;
        let kept = theirs && (undecided || to_come) && link.early.len() < EARLY;
        if kept {
            link.early.push_back((stream, data));
        }
        kept
    }

    /// What came before the beginning of a flow's stream; and forgets what is too old.
    pub(super) fn early_of(&mut self, key: usize, stream: StreamId) -> Vec<Bytes> {
        let index = self.flows[key].connection;
        let Some(link) = index.and_then(|index| self.links[index].as_mut()) else {
            return Vec::new();
        };
        let early = std::mem::take(&mut link.early);
        let accepted = link.accepted_streams;
        let mut mine = Vec::new();
        for (other, data) in early {
            if other == stream {
                mine.push(data);
            } else if other.index() + EARLY as u64 >= accepted {
                link.early.push_back((other, data));
            }
        }
        mine
    }
}
