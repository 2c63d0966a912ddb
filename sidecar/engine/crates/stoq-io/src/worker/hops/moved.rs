//! Packets of inner connections, from one side of a tunnel to the other.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use quinn_proto::{SendDatagramError, StreamId, VarInt};
use stoq_frames::hop::{Fit, fit};
use stoq_wire::frame::hop::packet_frame;

use super::super::{Flow, Worker};
use super::Far;
use crate::counters::HopDrop;

/// What came of a packet for the near side.
pub(super) enum Put {
    /// It goes.
    Gone,
    /// The connection takes no datagram now.
    Full,
    /// It can never go.
    Never,
}

impl Worker {
    /// A datagram with a packet for a tunnel (G4).
    pub(in super::super) fn hop_datagram(
        &mut self,
        index: usize,
        tunnel: u64,
        packet: Bytes,
        now: Instant,
    ) {
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        let stream = StreamId::from(VarInt::from_u64(tunnel).unwrap_or(VarInt::MAX));
        let key = link.flow_of(stream);
        let kept = match key.map(|key| (key, &self.flows[key].flow)) {
            Some((key, Flow::Hop(_))) => return self.hop_received(key, &packet, now),
            Some((_, Flow::Head { .. } | Flow::Frames(_))) | None => {
                self.keep_datagram(index, stream, packet)
            }
            Some(_) => false,
        };
        if !kept {
            self.counters().hop_dropped(HopDrop::NoTunnel);
        }
    }

    /// A packet from the near side: goes to the far one.
    pub(super) fn hop_received(&mut self, key: usize, packet: &[u8], now: Instant) {
        let Some(Flow::Hop(hop)) = self.flows.get_mut(key).map(|slot| &mut slot.flow) else {
            return self.counters().hop_dropped(HopDrop::NoTunnel);
        };
        hop.queue.forwarded(now);
        match &mut hop.far {
            Far::Inner { index, serial } => {
                let (index, serial) = (*index, *serial);
                self.inner_datagram(index, serial, BytesMut::from(packet), now);
            }
            Far::Tunnel { key, serial } => {
                let (key, serial) = (*key, *serial);
                if self
                    .flows
                    .get(key)
                    .is_some_and(|slot| slot.serial == serial)
                {
                    self.counters().hop_forwarded(packet.len() as u64);
                    self.hop_send(key, packet, now);
                } else {
                    self.counters().hop_dropped(HopDrop::NoTunnel);
                }
            }
            Far::Workload(workload) => {
                let put = workload.put(&[packet]);
                self.queue(key);
                self.count_put(put, packet.len());
            }
        }
    }

    /// Counts what [`Workload::put`](super::Workload) says of a packet of so many bytes.
    pub(super) fn count_put(&self, (leaves, dropped): (bool, usize), length: usize) {
        if leaves {
            self.counters().hop_forwarded(length as u64);
        }
        self.counters().hops_dropped(HopDrop::Kernel, dropped);
    }

    /// A packet from the far side: goes to the near one, beside the tunnel where it may, else by a datagram
    /// where it fits one, else by the stream. Without room it is dropped and counted.
    pub(super) fn hop_send(&mut self, key: usize, packet: &[u8], now: Instant) {
        if self.send_beside(key, packet, now) {
            return;
        }
        let Some(Flow::Hop(hop)) = self.flows.get_mut(key).map(|slot| &mut slot.flow) else {
            return self.counters().hop_dropped(HopDrop::NoTunnel);
        };
        hop.queue.forwarded(now);
        let waits = hop.stream().is_none() || !hop.queue.is_empty();
        let put = match waits {
            true => Put::Full,
            false => self.put(key, packet),
        };
        let Some(Flow::Hop(hop)) = self.flows.get_mut(key).map(|slot| &mut slot.flow) else {
            return;
        };
        match put {
            Put::Gone => {}
            Put::Full if hop.queue.put(Bytes::copy_from_slice(packet)) => self.wait_for_room(key),
            Put::Full => self.counters().hop_dropped(HopDrop::Full),
            Put::Never => self.counters().hop_dropped(HopDrop::TooLong),
        }
    }

    pub(super) fn put(&mut self, key: usize, packet: &[u8]) -> Put {
        let slot = &mut self.flows[key];
        let (Flow::Hop(hop), Some(index)) = (&mut slot.flow, slot.connection) else {
            return Put::Full;
        };
        let (Some(stream), Some(link)) = (hop.stream(), self.links[index].as_mut()) else {
            return Put::Full;
        };
        let tunnel = u64::from(stream);
        let mut datagrams = link.quic.datagrams();
        match fit(tunnel, packet.len(), datagrams.max_size()) {
            Fit::Nowhere => return Put::Never,
            Fit::Datagram => match datagrams.send(packet_frame(tunnel, packet), false) {
                Ok(()) => {
                    self.activate(index);
                    return Put::Gone;
                }
                Err(SendDatagramError::Blocked(_)) => return Put::Full,
                // What it says of its largest may have become less.
                Err(_) => {}
            },
            Fit::Stream => {}
        }
        if hop.unsent.len() + packet.len() > hop.most {
            return Put::Full;
        }
        hop.unsent.extend_from_slice(&packet_frame(tunnel, packet));
        self.counters().hop_streamed();
        self.queue(key);
        Put::Gone
    }
}
