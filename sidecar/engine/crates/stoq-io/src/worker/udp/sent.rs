//! Datagrams of the application, on their way to the other end.

use std::sync::Arc;
use std::time::Instant;

use quinn_proto::SendDatagramError;
use stoq_core::table::Outbound;
use stoq_core::udp::Pair;
use stoq_wire::udp as wire;

use super::super::labels::{named, party};
use super::super::{Direction, Flow, PeerKey, Worker};
use super::{ENTRY, Sent, Way};
use crate::counters::{SecurityPolicy, UdpDrop};

impl Worker {
    /// The first datagram of a flow that an application begins.
    pub(super) fn open_outbound(&mut self, pair: Pair, sent: Sent, now: Instant) {
        let table = Arc::clone(&self.table);
        let mut info = self.info(Direction::Outbound, pair.app, pair.remote, now);
        info.service = table.service_at(pair.remote.ip()).map(named);
        let way = match self.decide_udp(&table, pair.remote, now) {
            Outbound::Mesh {
                peer,
                stoq,
                expect,
                destination,
                ..
            } => {
                info.destination = destination;
                info.peer = party(peer);
                info.policy = SecurityPolicy::MutualTls;
                Way::Opening(PeerKey {
                    address: stoq,
                    expect: Some(expect),
                    shadow: false,
                    lane: 0,
                })
            }
            Outbound::Passthrough { destination, .. } => {
                info.destination = destination;
                Way::Plain(destination)
            }
            // A service that leads back to this pod: its answers would come from another address.
            Outbound::Own { .. } | Outbound::Refuse(_) => {
                self.counters().udp_dropped(UdpDrop::Refused);
                return;
            }
        };
        let opening = matches!(way, Way::Opening(_));
        let Some(key) = self.begin_udp(pair, way, info, now) else {
            return;
        };
        self.send_udp(key, sent, now);
        if opening {
            self.place(key, now);
        }
    }

    /// A datagram for the other end of a flow.
    pub(super) fn send_udp(&mut self, key: usize, sent: Sent, now: Instant) {
        let (Some(slot), Some(udp)) = (self.flows.get_mut(key), self.udp.as_mut()) else {
            return;
        };
        let Flow::Udp(flow) = &mut slot.flow else {
            return;
        };
        flow.idle.sent(now);
        let bytes = sent.payload.len() as u64;
        let held = sent.payload.len() + ENTRY;
        let dropped = match flow.way {
            Way::Opening(_) => {
                if flow.hold(held, udp) {
                    flow.waiting.push_back(sent);
                    return;
                }
                Some(UdpDrop::QueueFull)
            }
            Way::Plain(to) => {
                let raw = self.shared.raw.as_ref();
                if raw.is_some() {
                    self.shared.counters[self.index].udp_plain(bytes);
                }
                // A router that has to refuse it quotes `to`: an application that has dialled a service at
                // another address would not hear of it.
                let whole = sent.whole && to == flow.pair.remote;
                let left = raw.map(|raw| {
                    let fragments = udp.fragments(to, &sent, whole, raw.mtu());
                    raw.emit(flow.pair.app, to, &sent.payload, fragments)
                });
                match left {
                    Some(Ok(())) => None,
                    _ => Some(UdpDrop::Kernel),
                }
            }
            Way::Mesh(stream) => {
                let Some(index) = slot.connection else { return };
                let Some(link) = self.links[index].as_mut() else {
                    return;
                };
                let id = u64::from(stream);
                let mut datagrams = link.quic.datagrams();
                let room = datagrams.max_size().unwrap_or(0);
                let fits =
                    id < wire::FLOWS_BELOW && wire::overhead(id) + sent.payload.len() <= room;
                let left = fits.then(|| datagrams.send(wire::datagram(id, &sent.payload), false));
                match left {
                    Some(Ok(())) => {
                        self.activate(index);
                        None
                    }
                    Some(Err(SendDatagramError::Blocked(_))) => Some(UdpDrop::QueueFull),
                    _ if !flow.hold(held, udp) => Some(UdpDrop::QueueFull),
                    _ => {
                        flow.unsent.push(wire::message(&sent.payload), held);
                        self.counters().udp_streamed();
                        self.queue(key);
                        None
                    }
                }
            }
        };
        match dropped {
            Some(why) => self.counters().udp_dropped(why),
            None => {
                if let Some(Flow::Udp(flow)) = self.flows.get_mut(key).map(|slot| &mut slot.flow) {
                    flow.moved.0 += bytes;
                }
                self.counters().udp_moved_out(bytes);
            }
        }
    }

    /// Hands the stream what waits for it. `false` when the stream is gone.
    pub(super) fn write_udp(&mut self, key: usize) -> bool {
        let slot = &mut self.flows[key];
        let (Flow::Udp(flow), Some(index), Some(udp)) =
            (&mut slot.flow, slot.connection, self.udp.as_mut())
        else {
            return false;
        };
        let (Some(stream), Some(link)) = (flow.stream(), self.links[index].as_mut()) else {
            return false;
        };
        while let Some(next) = flow.unsent.next() {
            match link.quic.send_stream(stream).write(next) {
                Ok(written) => {
                    let freed = flow.unsent.written(written);
                    flow.release(freed, udp);
                }
                Err(quinn_proto::WriteError::Blocked) => break,
                Err(_) => return false,
            }
        }
        self.activate(index);
        true
    }
}
