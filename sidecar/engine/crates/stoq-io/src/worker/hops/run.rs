//! A tunnel's turn: what its stream and its socket have, and what has waited for room.

use std::time::Instant;

use stoq_wire::code::{ConnectionCode, StreamCode};
use stoq_wire::frame::Frame;
use stoq_wire::frame::hop::Hop as HopFrame;

use super::super::objects::Next;
use super::super::observe::Outcome;
use super::super::{Flow, Worker};
use super::moved::Put;
use super::{Far, Near};
use crate::counters::HopDrop;

/// Reads of a socket, and frames of a stream, in one turn.
const READS: usize = 8;
const FRAMES: usize = 256;

/// Largest read of a socket: the kernel delivers several datagrams as one.
const LARGEST: usize = 65_536;

impl Worker {
    /// Has a tunnel run when its connection has room for datagrams again.
    pub(super) fn wait_for_room(&mut self, key: usize) {
        let index = self.flows.get(key).and_then(|slot| slot.connection);
        let link = index.and_then(|index| self.links[index].as_mut());
        if let Some(link) = link
            && !link.full_tunnels.contains(&key)
        {
            link.full_tunnels.push(key);
        }
    }

    /// A connection has sent something: its tunnels may go on.
    pub(in super::super) fn room_for_tunnels(&mut self, index: usize) {
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        if link.full_tunnels.is_empty() || link.quic.datagrams().send_buffer_space() == 0 {
            return;
        }
        for key in std::mem::take(&mut link.full_tunnels) {
            self.queue(key);
        }
    }

    /// Both directions of a tunnel, as far as they go now.
    pub(in super::super) fn run_hop(&mut self, key: usize, now: Instant) {
        if self.write_hop(key, now) && self.read_hop(key, now) {
            self.flush_workload(key);
            self.read_workload(key, now);
            self.drain_hop(key);
            if let Some(Flow::Hop(hop)) = self.flows.get(key).map(|slot| &slot.flow)
                && let Far::Inner { index, .. } = hop.far
            {
                self.activate(index);
            }
        }
    }

    /// Hands the stream what waits for it; false when the tunnel is gone.
    fn write_hop(&mut self, key: usize, now: Instant) -> bool {
        let slot = &mut self.flows[key];
        let (Flow::Hop(hop), Some(index)) = (&mut slot.flow, slot.connection) else {
            return false;
        };
        let (Some(stream), Some(link)) = (hop.stream(), self.links[index].as_mut()) else {
            return false;
        };
        while !hop.unsent.is_empty() {
            match link.quic.send_stream(stream).write(&hop.unsent) {
                Ok(written) => {
                    let _ = hop.unsent.split_to(written);
                }
                Err(quinn_proto::WriteError::Blocked) => break,
                Err(_) => {
                    self.end_flow(key, StreamCode::Cancelled, Outcome::Peer(None), now);
                    return false;
                }
            }
        }
        self.activate(index);
        true
    }

    /// Takes packets from the stream; false when the tunnel is gone.
    fn read_hop(&mut self, key: usize, now: Instant) -> bool {
        for _ in 0..FRAMES {
            let Some(slot) = self.flows.get_mut(key) else {
                return false;
            };
            let (Flow::Hop(hop), Some(index)) = (&mut slot.flow, slot.connection) else {
                return false;
            };
            let (Near::Open(stream, frames), Some(link)) =
                (&mut hop.near, self.links[index].as_mut())
            else {
                return false;
            };
            let stream = *stream;
            let next = frames.next(&mut link.quic, stream);
            self.activate(index);
            match next {
                Ok(Next::Frame(Frame::Hop(HopFrame::Packet { tunnel, data }))) => {
                    if tunnel == u64::from(stream) {
                        self.hop_received(key, &data, now);
                    } else {
                        self.counters().hop_dropped(HopDrop::NoTunnel);
                    }
                }
                Ok(Next::Frame(Frame::Hop(HopFrame::Beside(frame)))) => {
                    if !self.hear_beside(key, frame, now) {
                        return false;
                    }
                }
                Ok(Next::Blocked) => return true,
                Ok(Next::Ended) => {
                    self.finish_hop(key, now);
                    return false;
                }
                Ok(Next::Reset(code)) => {
                    let answer = code.unwrap_or(StreamCode::Reset);
                    self.end_flow(key, answer, Outcome::Peer(code), now);
                    return false;
                }
                Ok(Next::Frame(other)) => {
                    let why = format!("a {} frame in a tunnel", other.kind().name());
                    self.end_flow(key, StreamCode::Denied, Outcome::Refused(why), now);
                    return false;
                }
                Err(fault) => {
                    self.close(index, ConnectionCode::Protocol, &fault.to_string(), now);
                    return false;
                }
            }
        }
        self.queue(key);
        true
    }

    /// Sends the workload at the end what has come for it.
    fn flush_workload(&mut self, key: usize) {
        if let Some(Flow::Hop(hop)) = self.flows.get_mut(key).map(|slot| &mut slot.flow)
            && let Far::Workload(workload) = &mut hop.far
        {
            let dropped = workload.flush();
            self.counters().hops_dropped(HopDrop::Kernel, dropped);
        }
    }

    /// Takes what the workload at the end has sent.
    fn read_workload(&mut self, key: usize, now: Instant) {
        for _ in 0..READS {
            let Some(Flow::Hop(hop)) = self.flows.get_mut(key).map(|slot| &mut slot.flow) else {
                return;
            };
            let Far::Workload(workload) = &mut hop.far else {
                return;
            };
            if !workload.readable {
                return;
            }
            let space = self.blocks.space(LARGEST);
            let received = match workload.socket.receive(space) {
                Ok(Some(received)) => received,
                Ok(None) => {
                    workload.readable = false;
                    return;
                }
                // An ICMP error for an earlier packet: to the inner connection it is lost.
                Err(_) => {
                    self.counters().hop_dropped(HopDrop::Kernel);
                    continue;
                }
            };
            let mut data = self.blocks.take(received.length);
            let stride = received.stride.max(1);
            while !data.is_empty() {
                let packet = data.split_to(stride.min(data.len()));
                self.counters().hop_forwarded(packet.len() as u64);
                self.hop_send(key, &packet, now);
            }
        }
        self.queue(key);
    }

    /// Sends what has waited for room.
    fn drain_hop(&mut self, key: usize) {
        loop {
            let Some(Flow::Hop(hop)) = self.flows.get_mut(key).map(|slot| &mut slot.flow) else {
                return;
            };
            let Some(packet) = hop.queue.take() else {
                return;
            };
            match self.put(key, &packet) {
                Put::Gone => {}
                Put::Never => self.counters().hop_dropped(HopDrop::TooLong),
                Put::Full => {
                    if let Flow::Hop(hop) = &mut self.flows[key].flow {
                        hop.queue.put_back(packet);
                    }
                    return self.wait_for_room(key);
                }
            }
        }
    }

    /// How many bytes of packets the near side of a tunnel takes now, beside what is around each.
    pub(super) fn hop_room(&mut self, key: usize) -> usize {
        let slot = &self.flows[key];
        let (Flow::Hop(hop), Some(index)) = (&slot.flow, slot.connection) else {
            return 0;
        };
        if hop.stream().is_none() || !hop.queue.is_empty() {
            return 0;
        }
        let stream = hop.most.saturating_sub(hop.unsent.len());
        let Some(link) = self.links[index].as_mut() else {
            return 0;
        };
        link.quic.datagrams().send_buffer_space().min(stream)
    }
}
