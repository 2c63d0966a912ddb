//! Tunnels that we open to a gateway, and the end of every tunnel.

use std::sync::Arc;
use std::time::Instant;

use quinn_proto::{StreamId, VarInt};
use stoq_core::tls::TlsContext;
use stoq_wire::code::StreamCode;
use stoq_wire::extension::{HOPS, SIGNED_ROUTES};
use stoq_wire::frame::hop::Hop as HopFrame;
use stoq_wire::frame::{Frame, FrameError};
use stoq_wire::head::StreamKind;

use super::super::labels::encode;
use super::super::objects::Frames;
use super::super::observe::Outcome;
use super::super::{Direction, Flow, Worker};
use super::{Far, Hop, Near, Proof};
use crate::counters::{HopDrop, ResponseFlag};

impl Worker {
    /// Whether a connection's peer takes routes; if not, the tunnel has failed.
    pub(in super::super) fn hop_possible(
        &mut self,
        key: usize,
        index: usize,
        now: Instant,
    ) -> bool {
        if !matches!(self.flows[key].flow, Flow::Hop(_)) {
            return true;
        }
        let link = self.links[index].as_deref();
        let evidence = link.and_then(|link| link.evidence.as_ref());
        if evidence.is_some_and(|evidence| evidence.agreed.extensions & HOPS != 0) {
            return true;
        }
        let why = "it takes no routes: it does not offer them, or we do not";
        self.connection_gone(key, &why.into(), ResponseFlag::Deny, now);
        false
    }

    /// A stream for a waiting tunnel is open: sends its head and its route, then what has waited.
    pub(in super::super) fn begin_tunnel(
        &mut self,
        key: usize,
        index: usize,
        stream: StreamId,
        now: Instant,
    ) {
        let link = self.links[index].as_deref();
        let agreed = link.and_then(|link| Some(link.evidence.as_ref()?.agreed));
        let remote = link.map(|link| link.quic.remote_address());
        let Flow::Hop(hop) = &self.flows[key].flow else {
            return;
        };
        let destination = hop.route.destination;
        let source = remote.unwrap_or(destination);
        let info = self.info(Direction::Outbound, source, source, now);
        let head = encode(StreamKind::Frames, &info, false);
        let signs = agreed.is_some_and(|agreed| agreed.extensions & SIGNED_ROUTES != 0);
        let Flow::Hop(hop) = &mut self.flows[key].flow else {
            return;
        };
        let mut open = Vec::new();
        let written = begun(hop, signs.then_some(&self.shared.tls), &mut open);
        if let Err(error) = written {
            let outcome = Outcome::Refused(format!("the route to {destination}: {error}"));
            return self.end_flow(key, StreamCode::NoRoute, outcome, now);
        }
        hop.near = Near::Open(stream, Frames::of_tunnel(agreed.unwrap_or_default()));
        hop.unsent.extend_from_slice(&head);
        hop.unsent.extend_from_slice(&open);
        let far = match hop.far {
            Far::Inner { index, .. } => Some(index),
            _ => None,
        };
        self.run_hop(key, now);
        if let Some(inner) = far {
            self.activate(inner);
        }
    }

    /// Ends a tunnel as it should end: its peer is told so.
    pub(super) fn finish_hop(&mut self, key: usize, now: Instant) {
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

    /// A tunnel is gone: so is what is at its far side (G5).
    pub(in super::super) fn hop_ended(
        &mut self,
        key: usize,
        hop: Hop,
        outcome: &Outcome,
        now: Instant,
    ) {
        if let Near::Opening(peer) = &hop.near {
            self.peers.forget(peer, key);
        }
        if let Some(beside) = &hop.beside {
            self.tunnels.bare.forget(&beside.ours);
        }
        let waited = hop.queue.len();
        self.counters().hops_dropped(HopDrop::NoTunnel, waited);
        if hop.admitted
            && let Some(forwarder) = &self.shared.forwarder
        {
            forwarder.close(&hop.route.id);
        }
        match hop.far {
            Far::Inner { index, serial } => {
                self.tunnels.inner -= 1;
                let opened = hop.stream().is_some();
                self.tunnel_lost(index, serial, opened, outcome, now);
            }
            Far::Workload(_) => self.tunnels.routes -= 1,
            Far::Tunnel { key, serial } => {
                self.tunnels.routes -= 1;
                if self.flows.get(key).is_none_or(|slot| slot.serial != serial) {
                    return;
                }
                match outcome {
                    Outcome::Finished => self.finish_hop(key, now),
                    other => {
                        let code = code_of(other);
                        self.end_flow(key, code, Outcome::Refused(other.to_string()), now);
                    }
                }
            }
        }
    }
}

/// Writes how a tunnel begins: who began its route, for a gateway that takes that, and the route.
fn begun(hop: &Hop, signs: Option<&Arc<TlsContext>>, out: &mut Vec<u8>) -> Result<(), FrameError> {
    match (signs, &hop.far) {
        (Some(tls), Far::Inner { .. }) => Proof::of(tls, &hop.route)?.encode(out)?,
        (Some(_), _) => hop.proof.encode(out)?,
        (None, _) => {}
    }
    Frame::Hop(HopFrame::Open(hop.route.clone())).encode(out)
}

/// What the other side of a route is reset with.
fn code_of(outcome: &Outcome) -> StreamCode {
    match outcome {
        Outcome::Peer(code) => code.unwrap_or(StreamCode::Reset),
        Outcome::Connection { .. } => StreamCode::Unreachable,
        Outcome::TimedOut => StreamCode::TimedOut,
        Outcome::Refused(_) => StreamCode::Denied,
        Outcome::Finished | Outcome::Application(_) => StreamCode::Cancelled,
    }
}
