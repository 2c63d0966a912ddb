//! Running flows and ending them.

use std::sync::Arc;
use std::time::Instant;

use quinn_proto::{StreamId, VarInt};
use stoq_wire::code::StreamCode;

use super::mirrors::MirrorWay;
use super::observe::{Outcome, count_moved};
use super::udp::Way;
use super::{Flow, FlowInfo, Slot, Worker};
use crate::counters::ResponseFlag;
use crate::relay::pipe::Side;
use crate::relay::{Fault, Turn};
use crate::socket::tcp::reset_on_close;

impl Worker {
    pub(super) fn insert_flow(&mut self, flow: Flow, info: Option<FlowInfo>) -> usize {
        let serial = self.next_serial();
        self.flows.insert(Slot {
            flow,
            connection: None,
            info: info.map(Box::new),
            trial: None,
            serial,
            queued: false,
            deadline: None,
        })
    }

    /// Has a flow run in this turn or the next.
    pub(super) fn queue(&mut self, key: usize) {
        if let Some(slot) = self.flows.get_mut(key)
            && !std::mem::replace(&mut slot.queued, true)
        {
            self.runnable.push_back(key);
        }
    }

    pub(super) fn flow_readable(&mut self, key: usize) {
        match self.flows.get_mut(key).map(|slot| &mut slot.flow) {
            Some(Flow::Relay(relay) | Flow::Connecting(relay)) => relay.ready.stream_read = true,
            Some(Flow::Stripe(relay)) => relay.lane.readable = true,
            Some(Flow::StripeLane(one)) => one.lane.readable = true,
            Some(Flow::Api(api)) => api.readable = true,
            _ => {}
        }
        self.queue(key);
    }

    pub(super) fn flow_writable(&mut self, key: usize) {
        match self.flows.get_mut(key).map(|slot| &mut slot.flow) {
            Some(Flow::Relay(relay) | Flow::Connecting(relay)) => relay.ready.stream_write = true,
            Some(Flow::Stripe(relay)) => relay.lane.writable = true,
            Some(Flow::StripeLane(one)) => one.lane.writable = true,
            Some(Flow::Api(api)) => api.writable = true,
            _ => {}
        }
        self.queue(key);
    }

    /// The peer does not want what we send: its side of the flow is gone.
    pub(super) fn flow_stopped(&mut self, key: usize, code: Option<StreamCode>, now: Instant) {
        if matches!(
            self.flows.get(key).map(|slot| &slot.flow),
            Some(Flow::Udp(_))
        ) {
            return self.finish_udp(key, now);
        }
        if !self.api_stopped(key, code) && !self.proof_refused(key, code, now) {
            self.fail_flow(key, Fault::Peer(code), now);
        }
    }

    /// Runs every flow that is due once; `true` when there was any.
    pub(super) fn run_flows(&mut self, now: Instant) -> bool {
        let due = self.runnable.len();
        for _ in 0..due {
            let Some(key) = self.runnable.pop_front() else {
                break;
            };
            if let Some(slot) = self.flows.get_mut(key) {
                slot.queued = false;
                self.run_flow(key, now);
            }
        }
        due > 0
    }

    fn run_flow(&mut self, key: usize, now: Instant) {
        match &self.flows[key].flow {
            Flow::Relay(_) => self.run_relay(key, now),
            Flow::Connecting(relay) if relay.ready.tcp_write => {
                self.application_connected(key, now)
            }
            Flow::Stripe(_) => self.run_stripe(key, now),
            Flow::StripeLane(_) => self.run_stripe_lane(key, now),
            Flow::Head { .. } => self.read_head(key, now),
            Flow::Pipe(_) => self.run_pipe(key, now),
            Flow::Api(_) => self.run_api(key, now),
            Flow::Udp(_) => self.run_udp(key, now),
            Flow::Frames(_) => self.run_frames(key, now),
            Flow::Lane(_) => self.run_lane(key, now),
            Flow::Hop(_) => self.run_hop(key, now),
            Flow::Mirror(_) => self.run_mirror(key, now),
            Flow::Proof { .. } => self.run_proof(key, now),
            Flow::Control { .. } => self.run_control(key, now),
            Flow::Connecting(_)
            | Flow::Waiting(_)
            | Flow::ApiWaiting { .. }
            | Flow::LaneWaiting(_)
            | Flow::StripeWaiting(_)
            | Flow::Asking(_) => {}
        }
    }

    fn run_relay(&mut self, key: usize, now: Instant) {
        let slot = &mut self.flows[key];
        let (Flow::Relay(relay), Some(index)) = (&mut slot.flow, slot.connection) else {
            return;
        };
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        let turn = relay.run(&mut link.quic, &mut self.blocks, &mut self.scratch);
        let stalled = relay.stalled();
        let answered = relay.answered() && slot.trial.as_ref().is_some_and(|t| !t.is_settled());
        let copied = relay.tee().is_some();
        count_moved(slot);
        if copied {
            self.feed_mirrors(key, now);
        }
        if answered {
            self.answered(key);
        }
        self.activate(index);
        match turn {
            Turn::Waiting if stalled => self.grant_window(key, index),
            Turn::Waiting => {}
            Turn::More => self.queue(key),
            Turn::Finished => self.finish_flow(key, now),
            Turn::Failed(fault) => self.fail_flow(key, fault, now),
        }
    }

    fn run_pipe(&mut self, key: usize, now: Instant) {
        let Flow::Pipe(pipe) = &mut self.flows[key].flow else {
            return;
        };
        let turn = match pipe.connected() {
            Ok(true) => pipe.run(&mut self.blocks),
            Ok(false) => return,
            Err(error) => return self.fail_flow(key, Fault::Application(error), now),
        };
        let slot = &mut self.flows[key];
        let answered = slot.trial.as_ref().is_some_and(|t| !t.is_settled());
        count_moved(slot);
        if answered {
            self.answered(key);
        }
        match turn {
            Turn::Waiting => {}
            Turn::More => self.queue(key),
            Turn::Finished => self.finish_flow(key, now),
            Turn::Failed(fault) => self.fail_flow(key, fault, now),
        }
    }

    fn application_connected(&mut self, key: usize, now: Instant) {
        self.cancel_deadline(key);
        let slot = &mut self.flows[key];
        let Flow::Connecting(relay) = &slot.flow else {
            return;
        };
        if let Err(fault) = relay.connected() {
            self.fail_flow(key, fault, now);
            return;
        }
        let placeholder = Flow::Head {
            stream: relay.stream,
            seen: Vec::new(),
        };
        if let Flow::Connecting(relay) = std::mem::replace(&mut slot.flow, placeholder) {
            slot.flow = Flow::Relay(relay);
        }
        self.run_relay(key, now);
    }

    /// Both directions ended as they should.
    pub(super) fn finish_flow(&mut self, key: usize, now: Instant) {
        self.take_flow(key, Outcome::Finished, now);
    }

    /// A flow cannot go on: tells both ends, as TCP would by a RST.
    pub(super) fn fail_flow(&mut self, key: usize, fault: Fault, now: Instant) {
        let Some(slot) = self.flows.get(key) else {
            return;
        };
        let connecting = match &slot.flow {
            Flow::Connecting(_) => true,
            Flow::Stripe(relay) => relay.connecting,
            _ => false,
        };
        let (code, outcome) = match fault {
            Fault::Application(error) => (code_of(&error, connecting), Outcome::Application(error)),
            Fault::Peer(code) => (code.unwrap_or(StreamCode::Reset), Outcome::Peer(code)),
            Fault::Stripe(fault) => (fault.code(), Outcome::Refused(fault.to_string())),
            Fault::Token(fault) => return self.token_refused(key, &fault, now),
        };
        if self.tried_elsewhere(key, &outcome, now) {
            return;
        }
        self.end_flow(key, code, outcome, now);
    }

    /// Ends a flow: its stream is reset with `code`, its sockets by RST.
    pub(super) fn end_flow(
        &mut self,
        key: usize,
        code: StreamCode,
        outcome: Outcome,
        now: Instant,
    ) {
        let Some(slot) = self.flows.get(key) else {
            return;
        };
        if let (Some(index), Some(stream)) = (slot.connection, slot.stream()) {
            let sent_all = match &slot.flow {
                Flow::Relay(relay) => relay.sending_ended(),
                Flow::Stripe(relay) => relay.lane.finished,
                Flow::StripeLane(one) => one.lane.finished,
                Flow::Api(api) => api.send_ended,
                Flow::Proof { pending, .. } => pending.is_empty(),
                Flow::Lane(lane) => lane.finished,
                Flow::Mirror(mirror) => mirror.finished,
                _ => false,
            };
            if let Flow::Stripe(relay) = &slot.flow {
                relay.striped.abandon(code); // L8: all lanes with the same
            }
            self.reset_stream(index, stream, code, sent_all);
        }
        self.take_flow(key, outcome, now);
    }

    /// The connection under a flow is gone, or will never come.
    pub(super) fn connection_gone(
        &mut self,
        key: usize,
        why: &Arc<str>,
        flag: ResponseFlag,
        now: Instant,
    ) {
        if self.is_stripe_over(key) {
            return self.finish_flow(key, now);
        }
        let outcome = Outcome::Connection {
            why: Arc::clone(why),
            flag,
        };
        if !self.tried_elsewhere(key, &outcome, now) {
            self.take_flow(key, outcome, now);
        }
    }

    /// Abandons a stream. What was sent completely is still delivered.
    pub(super) fn reset_stream(
        &mut self,
        index: usize,
        stream: StreamId,
        code: StreamCode,
        sent_all: bool,
    ) {
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let code = VarInt::from_u64(code.as_u64()).unwrap_or(VarInt::MAX);
        // Either half may have ended by itself; then there is nothing to abandon.
        if !sent_all {
            let _ = link.quic.send_stream(stream).reset(code);
        }
        let _ = link.quic.recv_stream(stream).stop(code);
        self.activate(index);
    }

    /// Removes a flow and closes its sockets: by RST unless it finished.
    fn take_flow(&mut self, key: usize, outcome: Outcome, now: Instant) {
        self.cancel_deadline(key);
        let Some(mut slot) = self.flows.try_remove(key) else {
            return;
        };
        if let (Some(index), Some(stream)) = (slot.connection, slot.stream()) {
            self.detach(index, stream, now);
        }
        self.count_closed(&mut slot, &outcome, now);
        let abrupt = !matches!(outcome, Outcome::Finished);
        match slot.flow {
            Flow::Waiting(captured) => {
                self.peers.forget(&captured.peer, key);
                reset_on_close(&captured.client.tcp);
            }
            Flow::Relay(mut relay) | Flow::Connecting(mut relay) => {
                self.abandon_mirrors(relay.tee().take(), now);
                self.return_window(&relay, slot.connection);
                if abrupt {
                    reset_on_close(&relay.tcp);
                }
            }
            Flow::Stripe(relay) => {
                self.stripe_ended(key, slot.serial, &relay.striped, &outcome);
                if abrupt {
                    reset_on_close(&relay.tcp);
                }
            }
            Flow::StripeWaiting(place) => self.peers.forget(&place.peer, key),
            Flow::StripeLane(one) => self.stripe_lane_ended(key, slot.serial, &one, &outcome),
            Flow::Pipe(mut pipe) if abrupt => {
                reset_on_close(pipe.socket(Side::Client));
                reset_on_close(pipe.socket(Side::Server));
            }
            Flow::Udp(flow) => {
                if let Way::Opening(peer) = &flow.way {
                    self.peers.forget(peer, key);
                }
                if let Some(info) = &slot.info {
                    self.udp_ended((key, slot.connection), &flow, info);
                }
            }
            Flow::ApiWaiting { link, peer } => {
                self.peers.forget(&peer, key);
                self.api_ended(&link, &outcome);
            }
            Flow::Api(api) => self.api_ended(&api.link, &outcome),
            Flow::Frames(frames) => {
                self.objects.forget(key);
                if let Some(asked) = &frames.asks {
                    self.asked_in_vain(asked, &outcome);
                }
            }
            Flow::Asking(asked) => {
                self.peers.forget(&asked.peer, key);
                self.asked_in_vain(&asked, &outcome);
            }
            Flow::Mirror(mirror) => {
                if mirror.way == MirrorWay::Waiting {
                    self.peers.forget(&mirror.peer, key);
                }
                self.mirror_ended(&mirror, &outcome, now);
            }
            Flow::LaneWaiting(place) => {
                self.peers.forget(&place.peer, key);
                let lane = place.ended();
                self.lane_ended(key, lane, &outcome, now);
            }
            Flow::Lane(lane) => self.lane_ended(key, lane.ended(), &outcome, now),
            Flow::Hop(hop) => self.hop_ended(key, *hop, &outcome, now),
            Flow::Proof { .. } => {
                if let Some(index) = slot.connection {
                    self.proof_over(index);
                }
            }
            Flow::Pipe(_) | Flow::Head { .. } | Flow::Control { .. } => {}
        }
    }

    pub(super) fn detach(&mut self, index: usize, stream: StreamId, now: Instant) {
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        link.detach(stream, now);
        let idle = link.idle_since.is_some();
        self.activate(index);
        if idle {
            self.watch_idle(index, now);
        }
    }
}

/// The stream code for an application's socket error.
fn code_of(error: &std::io::Error, connecting: bool) -> StreamCode {
    use std::io::ErrorKind as Kind;
    if !connecting {
        return StreamCode::Reset;
    }
    match error.kind() {
        Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::AddrNotAvailable => {
            StreamCode::Unreachable
        }
        Kind::TimedOut => StreamCode::TimedOut,
        _ => StreamCode::Refused,
    }
}
