//! Datagrams from peers, on their way to the application.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use quinn_proto::{ReadError, StreamId, VarInt};
use stoq_wire::code::{ConnectionCode, StreamCode};
use stoq_wire::udp;

use super::super::observe::Outcome;
use super::super::{Flow, Worker};
use super::PARTIAL;
use crate::counters::UdpDrop;

/// Bytes read from a stream at once.
const CHUNK: usize = 64 * 1024;

impl Worker {
    /// A QUIC datagram of captured UDP.
    pub(in super::super) fn udp_datagram(&mut self, index: usize, datagram: Bytes, now: Instant) {
        let (flow, payload) = match udp::split(datagram) {
            Ok(found) => found,
            Err(error) => {
                return self.close(index, ConnectionCode::Protocol, &error.to_string(), now);
            }
        };
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        let stream = StreamId::from(VarInt::from_u64(flow).unwrap_or(VarInt::MAX));
        let key = link.flow_of(stream);
        let kept = match key.map(|key| (key, &self.flows[key].flow)) {
            Some((key, Flow::Udp(_))) => return self.deliver(key, &payload, now),
            Some((_, Flow::Head { .. })) | None => self.keep_datagram(index, stream, payload),
            Some(_) => false,
        };
        if !kept {
            self.counters().udp_dropped(UdpDrop::NoFlow);
        }
    }

    /// Delivers what came before the head of a flow.
    pub(super) fn take_early(&mut self, key: usize, stream: StreamId, now: Instant) {
        for payload in self.early_of(key, stream) {
            self.deliver(key, &payload, now);
        }
    }

    /// Hands a datagram to the application.
    pub(super) fn deliver(&mut self, key: usize, payload: &[u8], now: Instant) {
        let Flow::Udp(flow) = &mut self.flows[key].flow else {
            return;
        };
        flow.idle.received(now);
        let raw = self.shared.raw.as_ref();
        let (remote, app) = (flow.pair.remote, flow.pair.app);
        match raw.map(|raw| raw.inject(remote, app, payload)) {
            Some(Ok(())) => {
                flow.moved.1 += payload.len() as u64;
                self.counters().udp_moved_in(payload.len() as u64);
            }
            Some(Err(error)) => {
                self.counters().udp_dropped(UdpDrop::Kernel);
                self.shared
                    .log
                    .debug(format_args!("cannot deliver UDP to {app}: {error}"));
            }
            None => self.counters().udp_dropped(UdpDrop::Kernel),
        }
    }

    /// Takes messages from a flow's stream; `false` when it has ended. One that says what is wrong, or by which
    /// its connection has too many begun, is ended here.
    pub(super) fn read_udp(&mut self, key: usize, now: Instant) -> bool {
        let slot = &mut self.flows[key];
        let (Flow::Udp(flow), Some(index)) = (&mut slot.flow, slot.connection) else {
            return false;
        };
        let (Some(stream), Some(link)) = (flow.stream(), self.links[index].as_mut()) else {
            return false;
        };
        let mut open = true;
        let mut found = Vec::new();
        let mut wrong = None;
        let mut receive = link.quic.recv_stream(stream);
        match receive.read(true) {
            Ok(mut chunks) => {
                loop {
                    match chunks.next(CHUNK) {
                        Ok(Some(chunk)) => flow.partial.extend_from_slice(&chunk.bytes),
                        Ok(None) | Err(ReadError::Reset(_)) => open = false,
                        Err(ReadError::Blocked) => break,
                    }
                    loop {
                        match udp::take(&mut flow.partial) {
                            Ok(Some(payload)) => found.push(payload),
                            Ok(None) => break,
                            Err(error) => {
                                wrong = Some(error.to_string());
                                break;
                            }
                        }
                    }
                    if !open || wrong.is_some() {
                        break;
                    }
                }
                let _ = chunks.finalize();
            }
            Err(_) => open = false,
        }
        // What is left of a read would keep the memory of all of it.
        flow.partial = BytesMut::from(&flow.partial[..]);
        link.partial_udp = link.partial_udp.saturating_sub(flow.counted) + flow.partial.len();
        flow.counted = flow.partial.len();
        let too_much = link.partial_udp > PARTIAL;
        self.activate(index);
        for payload in found {
            self.deliver(key, &payload, now);
        }
        if let Some(why) = wrong {
            self.close(index, ConnectionCode::Protocol, &why, now);
            return true;
        }
        if too_much {
            self.counters().udp_dropped(UdpDrop::QueueFull);
            self.counters().stream_refused(StreamCode::Denied);
            let why = "too many datagrams of its peer are not whole".to_owned();
            self.end_flow(key, StreamCode::Denied, Outcome::Refused(why), now);
            return true;
        }
        open
    }
}
