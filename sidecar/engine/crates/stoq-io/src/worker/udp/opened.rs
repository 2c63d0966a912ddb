//! The streams of flows: opened here or by a peer, run, and ended.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use quinn_proto::{StreamId, VarInt};
use stoq_core::table::{InboundStream, client_address, decide_inbound_stream};
use stoq_core::udp::Pair;
use stoq_wire::code::StreamCode;
use stoq_wire::extension::CAPTURED_UDP;
use stoq_wire::head::{StreamHead, StreamKind};

use super::super::labels::{encode, party};
use super::super::observe::{Outcome, suite};
use super::super::{Direction, Flow, Link, Worker};
use super::{UdpFlow, Way};
use crate::counters::{ResponseFlag, SecurityPolicy, UdpDrop};
use crate::socket::udp::canonical;

impl Worker {
    /// Whether captured UDP is in use on a connection.
    pub(in super::super) fn has_udp(&self, index: usize) -> bool {
        carries_udp(self.links[index].as_deref())
    }

    /// Whether a connection's peer takes captured UDP. A flow whose peer does not is refused, and
    /// never in plaintext.
    pub(in super::super) fn udp_possible(
        &mut self,
        key: usize,
        index: usize,
        now: Instant,
    ) -> bool {
        if carries_udp(self.links[index].as_deref()) {
            return true;
        }
        let dropped = match &self.flows[key].flow {
            Flow::Udp(flow) => flow.waiting.len(),
            _ => return true,
        };
        for _ in 0..dropped {
            self.counters().udp_dropped(UdpDrop::NoExtension);
        }
        let remote = self.links[index]
            .as_ref()
            .map(|link| link.quic.remote_address());
        let why = format!(
            "{} does not take captured UDP: its sidecar is older, or has none captured (capture \
             mode init)",
            remote.map_or_else(|| "the peer".to_owned(), |remote| remote.to_string())
        );
        self.shared.log.warn(format_args!("UDP refused: {why}"));
        self.connection_gone(key, &why.into(), ResponseFlag::Deny, now);
        false
    }

    /// A stream for a waiting flow is open: sends its head and what has waited.
    pub(in super::super) fn begin_udp_stream(
        &mut self,
        key: usize,
        index: usize,
        stream: StreamId,
        now: Instant,
    ) {
        let evidence = self.links[index]
            .as_ref()
            .and_then(|link| link.evidence.clone());
        let slot = &mut self.flows[key];
        let (Flow::Udp(flow), Some(info)) = (&mut slot.flow, &mut slot.info) else {
            return;
        };
        if let Some(evidence) = evidence {
            info.suite = Some(suite(&evidence));
            let peer = evidence.peer.as_ref();
            info.peer.principal = peer.map(|peer| peer.spiffe.as_str().into());
        }
        let head = encode(StreamKind::Udp, info, false);
        flow.way = Way::Mesh(stream);
        flow.unsent.push(head, 0);
        let waiting = std::mem::take(&mut flow.waiting);
        if let Some(udp) = self.udp.as_mut() {
            flow.release(flow.held, udp);
        }
        self.watch_udp(key);
        // The head goes first, so that no datagram has to wait for it there.
        self.write_udp(key);
        for sent in waiting {
            self.send_udp(key, sent, now);
        }
        self.queue(key);
    }

    /// A peer has opened a flow; `first` followed its head.
    pub(in super::super) fn accept_udp(
        &mut self,
        key: usize,
        index: usize,
        stream: StreamId,
        head: &StreamHead,
        first: &Bytes,
        now: Instant,
    ) {
        let table = Arc::clone(&self.table);
        let evidence = self.links[index]
            .as_ref()
            .and_then(|link| link.evidence.clone());
        let proven = evidence
            .as_ref()
            .and_then(|evidence| evidence.peer.as_ref());
        let (Some(peer), true, Some(_)) = (
            proven,
            carries_udp(self.links[index].as_deref()),
            self.udp.as_ref(),
        ) else {
            let why = "captured UDP is not in use on this connection".to_owned();
            return self.end_flow(key, StreamCode::Denied, Outcome::Refused(why), now);
        };
        let (source, destination) = (canonical(head.source), canonical(head.destination));
        let mut info = self.info(Direction::Inbound, source, destination, now);
        info.flow = head.flow;
        info.peer = table
            .workload_at(source.ip())
            .map(party)
            .unwrap_or_default();
        info.peer.principal = Some(Arc::from(peer.spiffe.as_str()));
        info.policy = SecurityPolicy::MutualTls;
        info.suite = evidence.as_deref().map(suite);
        self.flows[key].info = Some(Box::new(info.clone()));
        let code = match decide_inbound_stream(&table, head, &peer.spiffe) {
            InboundStream::Refuse(StreamCode::AccessDenied) => {
                let ruling = table.access().rule(Some(&peer.spiffe), destination.port());
                return self.deny_access(key, &ruling, now);
            }
            InboundStream::Refuse(code) => Some(code),
            InboundStream::Connect(to) if self.refuses_ipv4(to) => Some(StreamCode::Unreachable),
            // Its datagrams enter the pod from its own address, so that address has to be its own.
            InboundStream::Connect(_) => match client_address(&table, head, &peer.spiffe) {
                Some(_) => None,
                None => Some(StreamCode::Denied),
            },
        };
        if let Some(code) = code {
            self.counters().stream_refused(code);
            let why = format!("{destination}: {}", code.name());
            return self.end_flow(key, code, Outcome::Refused(why), now);
        }
        self.count_ruling(Some(&peer.spiffe), destination);
        let pair = Pair {
            app: destination,
            remote: source,
        };
        self.take_inbound(key, pair, stream, first, now);
    }

    fn take_inbound(
        &mut self,
        key: usize,
        pair: Pair,
        stream: StreamId,
        first: &Bytes,
        now: Instant,
    ) {
        let peer = pair.remote.ip();
        let admitted = self.udp.as_ref().is_some_and(|udp| udp.flows.admits(peer));
        if !admitted {
            self.counters().udp_dropped(UdpDrop::TooManyFlows);
            let why = "too many flows of captured UDP".to_owned();
            return self.end_flow(key, StreamCode::Denied, Outcome::Refused(why), now);
        }
        let mut flow = UdpFlow::new(pair, Way::Mesh(stream), now);
        flow.partial.extend_from_slice(first);
        let pairs = flow.pairs();
        self.flows[key].flow = Flow::Udp(Box::new(flow));
        self.name_udp(key, pairs, peer);
        self.tell_others(|worker| crate::mailbox::Command::UdpFlow { pairs, worker });
        self.counters().udp_flow_opened(Direction::Inbound, false);
        self.watch_udp(key);
        self.take_early(key, stream, now);
        self.run_udp(key, now);
    }

    /// Both directions of a flow's stream, as far as they go now.
    pub(in super::super) fn run_udp(&mut self, key: usize, now: Instant) {
        let mesh = matches!(&self.flows[key].flow, Flow::Udp(flow) if flow.stream().is_some());
        if mesh && !(self.write_udp(key) && self.read_udp(key, now)) {
            self.finish_udp(key, now);
        }
    }

    /// Ends a flow: its stream says so to the peer.
    pub(in super::super) fn finish_udp(&mut self, key: usize, now: Instant) {
        let Some(slot) = self.flows.get(key) else {
            return;
        };
        if let (Some(index), Some(stream)) = (slot.connection, slot.stream())
            && let Some(link) = self.links.get_mut(index).and_then(Option::as_mut)
        {
            // Either half may have ended by itself.
            let _ = link.quic.send_stream(stream).finish();
            let _ = link.quic.recv_stream(stream).stop(VarInt::from_u32(0));
            self.activate(index);
        }
        self.finish_flow(key, now);
    }

    /// Ends every flow: the application is going, or the engine.
    pub(in super::super) fn finish_all_udp(&mut self, now: Instant) {
        let udp = |(key, slot): (usize, &super::super::Slot)| {
            matches!(slot.flow, Flow::Udp(_)).then_some(key)
        };
        let keys: Vec<usize> = self.flows.iter().filter_map(udp).collect();
        for key in keys {
            self.finish_udp(key, now);
        }
    }
}

/// Whether both ends of a connection know captured UDP.
fn carries_udp(link: Option<&Link>) -> bool {
    let evidence = link.and_then(|link| link.evidence.as_ref());
    evidence.is_some_and(|evidence| evidence.agreed.extensions & CAPTURED_UDP != 0)
}
