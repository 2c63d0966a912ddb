//! The ways by which peers behind gateways are dialled, and which gateways have failed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use stoq_core::spiffe::SpiffeId;
use stoq_core::table::{Failure, GatewayAt, Reach, Table, WayDraw};
use stoq_wire::code::ConnectionCode;

use super::super::observe::Outcome;
use super::super::{PeerKey, Phase, Worker};

/// A way that was chosen.
pub(in super::super) struct Way {
    pub(super) first: GatewayAt,
    pub(super) gateways: Vec<String>,
    /// Who is at the end.
    pub(super) identity: SpiffeId,
    pub(super) tried: Vec<SocketAddr>,
}

impl Worker {
    /// The way by which a peer is dialled; none: directly. Gateways that were `tried` are left out.
    pub(in super::super) fn way_to(
        &mut self,
        key: &PeerKey,
        tried: Vec<SocketAddr>,
        now: Instant,
    ) -> Result<Option<Way>, String> {
        let table: Arc<Table> = Arc::clone(&self.table);
        let pick = self.pick();
        let draw = WayDraw {
            pick,
            standing: &|address| self.shared.endpoints.standing(address, now),
            tried: &tried,
        };
        match table.reach(key.address, &draw) {
            Reach::Direct => Ok(None),
            Reach::Nowhere => Err(format!(
                "{} is reached over gateways only, and none of them took the route",
                key.address
            )),
            Reach::Over { first, gateways } => {
                let known = table.workload_at(key.address.ip());
                let known = known.map(|workload| workload.spiffe_id.clone());
                let identity = key.expect.clone().or(known);
                let identity = identity.ok_or("nobody is known to be there")?;
                Ok(Some(Way {
                    first: first.clone(),
                    gateways: gateways.iter().map(ToString::to_string).collect(),
                    identity,
                    tried,
                }))
            }
        }
    }

    /// The tunnel of a connection is gone, and the connection with it.
    pub(super) fn tunnel_lost(
        &mut self,
        index: usize,
        serial: u64,
        opened: bool,
        outcome: &Outcome,
        now: Instant,
    ) {
        let Some(link) = self.link_of(index, serial) else {
            return;
        };
        let gone = link.phase == Phase::Gone;
        let Some(inner) = link.inner.as_mut() else {
            return;
        };
        inner.tunnel = None;
        inner.failed = true;
        if gone {
            return;
        }
        let remote = link.quic.remote_address();
        let gateway = link.inner.as_ref().map_or(remote, |inner| inner.gateway);
        let text = format!("the gateway {gateway} does not lead to {remote}: {outcome}");
        let failure = match outcome {
            Outcome::Peer(_) => Failure::Refused,
            _ => Failure::Unanswered,
        };
        if !opened || matches!(outcome, Outcome::Peer(_)) {
            self.gateway_failed(index, failure, now);
        }
        self.shared.log.warn(format_args!("{text}"));
        self.close(index, ConnectionCode::NoError, &text, now);
    }

    /// A dial inside a tunnel was not answered: perhaps because of the way.
    pub(in super::super) fn inner_unanswered(&mut self, index: usize, now: Instant) {
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let Some(inner) = link.inner.as_mut() else {
            return;
        };
        inner.failed = true;
        let slot = inner.tunnel.and_then(|key| self.flows.get(key));
        if slot.is_some_and(|slot| slot.stream().is_none()) {
            self.gateway_failed(index, Failure::Unanswered, now);
        }
    }

    fn gateway_failed(&self, index: usize, failure: Failure, now: Instant) {
        let link = self.links[index].as_ref();
        let Some(inner) = link.and_then(|link| link.inner.as_ref()) else {
            return;
        };
        if let Some(length) = self.shared.endpoints.failed(&inner.open, failure, now) {
            self.shared.log.warn(format_args!(
                "the gateway {} gets no routes for {length:?}: the last ones failed",
                inner.gateway
            ));
        }
    }

    /// A connection inside a tunnel is established: its gateway does what it should.
    pub(in super::super) fn inner_established(&mut self, index: usize) {
        let link = self.links[index].as_ref();
        let Some(inner) = link.and_then(|link| link.inner.as_ref()) else {
            return;
        };
        inner.open.succeeded();
        if let (Some(tunnel), Some(ids)) = (inner.tunnel, inner.ids) {
            self.ask_beside(tunnel, ids);
        }
    }

    /// Flows have waited for a dial that failed: dials again over another gateway if that was the
    /// fault of the way. Gives them back when there is no other.
    pub(in super::super) fn dial_elsewhere(
        &mut self,
        key: &PeerKey,
        index: usize,
        waiting: Vec<usize>,
        now: Instant,
    ) -> Vec<usize> {
        let link = self.links[index].as_ref();
        let failed = link.and_then(|link| link.inner.as_ref());
        let Some(inner) = failed.filter(|inner| inner.failed && !self.stop && !self.draining)
        else {
            return waiting;
        };
        if waiting.is_empty() {
            return waiting;
        }
        let mut tried = inner.tried.clone();
        tried.push(inner.gateway);
        for flow in &waiting {
            self.peers.wait(key, *flow);
        }
        match self.dial_trying(key, tried, now) {
            Ok(()) => Vec::new(),
            Err(_) => self.peers.take_waiting(key),
        }
    }
}
