//! Connections to services: counted by endpoint, and tried at another endpoint when they fail
//! before anything of the application can have been delivered.
//!
//! Nobody waits for a peer to say that its application took the connection: what the client
//! says travels with the stream's head, and is kept until the first answer, so that it can be
//! said again. A peer whose application does not take the connection says so by a code that
//! means nothing was delivered. A STOQ connection that is lost says nothing of the kind: then
//! only a client that has said nothing yet is taken elsewhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use stoq_core::table::{Draw, Failure, Outbound, Table, Transport, decide_outbound};
use stoq_wire::code::StreamCode;

use super::inbound::CONNECT_TIMEOUT;
use super::observe::{Outcome, count_moved};
use super::outbound::Outgoing;
use super::{Flow, FlowInfo, Phase, Worker};
use crate::counters::ResponseFlag;
use crate::endpoints::OpenTo;
use crate::relay::up::Said;

/// Endpoints that one connection is tried at.
const TRIES: usize = 3;

/// How long what a client said is kept at most: a peer that cannot reach its application has
/// said so by then.
pub(super) const ANSWER_TIMEOUT: Duration = CONNECT_TIMEOUT.saturating_add(Duration::from_secs(5));

/// A connection's way among the endpoints of a service.
#[derive(Debug)]
pub(crate) struct Trial {
    /// Name and namespace of the service.
    service: (Arc<str>, Arc<str>),
    /// What the application dialled.
    pub(super) dialled: SocketAddr,
    /// The endpoints so far, the present one last.
    tried: Vec<SocketAddr>,
    /// Whether one of them was reached over the mesh.
    meshed: bool,
    /// Whether it is over: the present endpoint has answered, or failed for good.
    settled: bool,
    /// Whether another endpoint may be left.
    pub(super) may_repeat: bool,
    open: OpenTo,
}

impl Worker {
    /// Decides where a connection goes, at first or after the endpoints of `trial` have failed.
    pub(super) fn decide<'t>(
        &mut self,
        table: &'t Table,
        dialled: SocketAddr,
        trial: Option<&Trial>,
        now: Instant,
    ) -> Outbound<'t> {
        let draw = Draw {
            pick: self.pick(),
            standing: &|address| self.shared.endpoints.standing(address, now),
            tried: trial.map_or(&[], |trial| &trial.tried),
            meshed: trial.is_some_and(|trial| trial.meshed),
            transport: Transport::Tcp,
        };
        decide_outbound(table, dialled, &draw)
    }

    /// Counts a connection that goes to an endpoint, where `info` says, after the `earlier` ones;
    /// none when it is no service that was `dialled`.
    pub(super) fn trial(
        &self,
        dialled: SocketAddr,
        earlier: Option<Box<Trial>>,
        info: &FlowInfo,
        meshed: bool,
    ) -> Option<Box<Trial>> {
        let service = self.table.service_at(dialled.ip())?;
        let open = self.shared.endpoints.open(info.destination);
        let mut trial = match earlier {
            Some(mut earlier) => {
                earlier.open = open;
                earlier
            }
            None => Box::new(Trial {
                service: info.service.clone()?,
                dialled,
                tried: Vec::new(),
                meshed,
                settled: false,
                may_repeat: false,
                open,
            }),
        };
        trial.tried.push(info.destination);
        trial.meshed |= meshed;
        trial.settled = false;
        trial.may_repeat = trial.tried.len() < TRIES.min(service.endpoints.len());
        Some(trial)
    }

    /// The endpoint of a flow has answered.
    pub(super) fn answered(&mut self, key: usize) {
        if let Some(trial) = self.flows[key].trial.as_deref() {
            trial.open.succeeded();
            self.settle(key);
        }
    }

    /// Nothing can speak against the endpoint of a flow any more, nor has to be said again.
    pub(super) fn settle(&mut self, key: usize) {
        self.cancel_deadline(key);
        let slot = &mut self.flows[key];
        if let Some(trial) = slot.trial.as_deref_mut() {
            trial.settled = true;
        }
        match &mut slot.flow {
            Flow::Relay(relay) => drop(relay.take_said()),
            Flow::Stripe(relay) => drop(relay.take_said()),
            _ => {}
        }
    }

    /// A flow is about to fail. If that speaks against its endpoint it is noted; and if nothing
    /// was delivered and another endpoint is left the flow goes there instead, and it is true.
    pub(super) fn tried_elsewhere(&mut self, key: usize, outcome: &Outcome, now: Instant) -> bool {
        let Some(slot) = self.flows.get_mut(key).filter(|_| !self.stop) else {
            return false;
        };
        let Some(failure) = failure_of(&slot.flow, outcome) else {
            return false;
        };
        let Some(mut trial) = slot.trial.take_if(|trial| !trial.settled) else {
            return false;
        };
        trial.settled = true;
        let repeatable = is_repeatable(&slot.flow, outcome);
        self.note_failure(&trial, failure, now);
        let table = Arc::clone(&self.table);
        let next = repeatable.then(|| self.another(&table, &trial, now));
        let Some(next) = next.flatten() else {
            self.flows[key].trial = Some(trial);
            return false;
        };
        if let Some((tcp, said, info)) = self.let_go(key, now) {
            self.go_elsewhere(Outgoing::again(tcp, said, &info, trial), next, now);
        }
        true
    }

    /// As [`Worker::tried_elsewhere`], for a connection that is no flow yet. Gives it back when
    /// there is nowhere to go.
    pub(super) fn plain_failed(
        &mut self,
        outgoing: Outgoing,
        now: Instant,
    ) -> Result<(), TcpStream> {
        let Some(trial) = outgoing.earlier.as_deref() else {
            return Err(outgoing.tcp);
        };
        self.note_failure(trial, Failure::Refused, now);
        let table = Arc::clone(&self.table);
        let Some(next) = self.another(&table, trial, now) else {
            return Err(outgoing.tcp);
        };
        self.go_elsewhere(outgoing, next, now);
        Ok(())
    }

    fn go_elsewhere(&mut self, outgoing: Outgoing, next: Outbound<'_>, now: Instant) {
        if let Some(trial) = &outgoing.earlier {
            self.counters().failed_over(&trial.service);
            self.shared.log.debug(format_args!(
                "{} did not take a connection to {}; trying another endpoint",
                trial.open_to(),
                trial.dialled
            ));
        }
        self.pursue(outgoing, next, now);
    }

    /// Where else the connection may go.
    fn another<'t>(
        &mut self,
        table: &'t Table,
        trial: &Trial,
        now: Instant,
    ) -> Option<Outbound<'t>> {
        if trial.tried.len() >= TRIES || table.service_at(trial.dialled.ip()).is_none() {
            return None;
        }
        let next = self.decide(table, trial.dialled, Some(trial), now);
        (!matches!(next, Outbound::Refuse(_))).then_some(next)
    }

    fn note_failure(&self, trial: &Trial, failure: Failure, now: Instant) {
        let endpoints = &self.shared.endpoints;
        if let Some(length) = endpoints.failed(&trial.open, failure, now) {
            self.counters().ejected(&trial.service);
            let (name, namespace) = &trial.service;
            self.shared.log.warn(format_args!(
                "{}, an endpoint of {name}.{namespace}, gets no connections for {length:?}: the \
                 last ones failed",
                trial.open_to()
            ));
        }
    }

    /// Takes a flow's connection out of it, as if it had not begun.
    fn let_go(&mut self, key: usize, now: Instant) -> Option<(TcpStream, Said, FlowInfo)> {
        self.cancel_deadline(key);
        let slot = self.flows.get_mut(key)?;
        count_moved(slot);
        if let (Some(index), Some(stream)) = (slot.connection, slot.stream()) {
            let living = self.links[index]
                .as_ref()
                .is_some_and(|link| link.phase != Phase::Gone);
            if living {
                self.reset_stream(index, stream, StreamCode::Cancelled, false);
            }
            self.detach(index, stream, now);
        }
        let slot = self.flows.try_remove(key)?;
        let mut info = *slot.info?;
        if let Some(counters) = info.counters.take() {
            counters.closed();
        }
        let (mut tcp, said) = match slot.flow {
            Flow::Waiting(captured) => {
                self.peers.forget(&captured.peer, key);
                return Some((captured.client.tcp, captured.client.said, info));
            }
            Flow::Relay(mut relay) => {
                // Where it goes next it is copied anew, from its beginning.
                self.abandon_mirrors(relay.tee().take(), now);
                self.return_window(&relay, slot.connection);
                let said = relay.take_said().unwrap_or_default();
                (relay.tcp, said)
            }
            Flow::Stripe(mut relay) => {
                let begun = Outcome::Peer(Some(StreamCode::Cancelled));
                self.stripe_ended(key, slot.serial, &relay.striped, &begun);
                let said = relay.take_said().unwrap_or_default();
                (relay.tcp, said)
            }
            Flow::Pipe(pipe) => {
                let (client, _, said) = pipe.into_parts();
                (client, said)
            }
            _ => return None,
        };
        // It only fails for a socket that is not registered.
        let _ = self.poll.registry().deregister(&mut tcp);
        Some((tcp, said, info))
    }
}

impl Trial {
    /// Whether it is over.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled
    }

    /// The endpoint that it is at.
    fn open_to(&self) -> SocketAddr {
        self.tried.last().copied().unwrap_or(self.dialled)
    }
}

/// What the end of a flow says about its endpoint; none: nothing.
fn failure_of(flow: &Flow, outcome: &Outcome) -> Option<Failure> {
    let unanswered = |flag: &ResponseFlag| match flag {
        ResponseFlag::NetworkPolicy => Failure::Unanswered,
        _ => Failure::Refused,
    };
    match (flow, outcome) {
        (Flow::Waiting(_) | Flow::Relay(_) | Flow::Stripe(_), Outcome::Connection { flag, .. }) => {
            Some(unanswered(flag))
        }
        (Flow::Waiting(_), Outcome::TimedOut) => Some(Failure::Unanswered),
        (Flow::Relay(_) | Flow::Stripe(_), Outcome::Peer(Some(code))) if undelivered(*code) => {
            Some(Failure::Refused)
        }
        (Flow::Pipe(pipe), Outcome::Application(_)) if pipe.is_connecting() => {
            Some(Failure::Refused)
        }
        (Flow::Pipe(pipe), Outcome::TimedOut) if pipe.is_connecting() => Some(Failure::Unanswered),
        _ => None,
    }
}

/// Whether a flow may begin anew: nothing of the application can have been delivered, and what
/// it has said is known.
fn is_repeatable(flow: &Flow, outcome: &Outcome) -> bool {
    match (flow, outcome) {
        (Flow::Relay(relay), Outcome::Peer(_)) => relay.repeatable(),
        (Flow::Relay(relay), _) => relay.repeatable() && relay.bytes().0 == 0,
        (Flow::Stripe(relay), Outcome::Peer(_)) => relay.repeatable(),
        (Flow::Stripe(relay), _) => relay.repeatable() && relay.bytes().0 == 0,
        _ => true,
    }
}

/// Whether a peer says by this code that its application did not get the connection, for a
/// reason that another endpoint may not have. Policies are no such reason.
fn undelivered(code: StreamCode) -> bool {
    matches!(
        code,
        StreamCode::Refused
            | StreamCode::Unreachable
            | StreamCode::TimedOut
            | StreamCode::NotMine
            | StreamCode::Draining
    )
}
