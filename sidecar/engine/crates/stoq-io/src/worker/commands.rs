//! What other threads ask a worker.

use std::sync::Arc;
use std::time::Instant;

use quinn_proto::Transmit;
use stoq_wire::code::ConnectionCode;

use super::info::describe;
use super::{Timer, Worker};
use crate::counters::ResponseFlag;
use crate::mailbox::Command;
use crate::socket::udp::Sent;

impl Worker {
    /// Empties the mailbox.
    pub(super) fn run_commands(&mut self, now: Instant) {
        let shared = Arc::clone(&self.shared);
        let mailbox = &shared.mailboxes[self.index];
        mailbox.opened();
        self.take_forwarded(now);
        while let Some(command) = mailbox.next_command() {
            self.run_command(command, now);
        }
        self.take_passed(now);
    }

    fn run_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Relay(captured) => self.begin_relay(*captured, now),
            Command::UdpFlow { pairs, worker } => self.udp_elsewhere(pairs, worker, false),
            Command::UdpGone { pairs, worker } => self.udp_elsewhere(pairs, worker, true),
            Command::Api(request) => self.api_request(request, now),
            Command::Objects(request) => self.object_request(request, now),
            Command::StripeLane(place) => self.place_stripe_lane(*place, now),
            Command::Stripe(seat) => self.stripe_due(seat),
            Command::Table => self.table_changed(now),
            Command::Reauthorise => {
                for index in 0..self.links.len() {
                    self.check_authority(index, now);
                }
                self.recheck_origins(now);
            }
            Command::Prove => self.prove_everywhere(),
            Command::Policy(policy) => self.use_policy(*policy, now),
            Command::Adapt => self.adapt_all(now),
            Command::Drain(until) => {
                self.draining = true;
                self.listeners.clear();
                self.finish_all_udp(now);
                self.timers.set(until, Timer::Drain);
            }
            Command::Shutdown => self.stop = true,
            Command::Connections(reply) => {
                for link in self.links.iter().flatten() {
                    // The caller may have stopped waiting.
                    let _ = reply.send(describe(self.index, link, now));
                }
            }
        }
    }

    /// Tells every peer that this is the end. The sockets go with the worker.
    pub(super) fn end(mut self) {
        self.stop = true;
        let now = Instant::now();
        let code = if self.draining {
            ConnectionCode::Draining
        } else {
            ConnectionCode::NoError
        };
        self.end_inner(code, now);
        for index in 0..self.links.len() {
            self.close(index, code, "shutting down", now);
            self.send_close(index, now);
        }
        let why = Arc::from("the engine is shutting down");
        let flows: Vec<usize> = self.flows.iter().map(|(key, _)| key).collect();
        for key in flows {
            self.connection_gone(key, &why, ResponseFlag::Reset, now);
        }
    }

    fn send_close(&mut self, index: usize, now: Instant) {
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        if link.inner.is_some() {
            return;
        }
        let datagrams = &mut self.ports[link.port].datagrams;
        self.outgoing.clear();
        let transmit: Option<Transmit> = link.quic.poll_transmit(now, 1, &mut self.outgoing);
        if let Some(transmit) = transmit
            && !datagrams.is_blocked()
            && let Sent::Refused(error) = datagrams.send(transmit, &mut self.outgoing)
        {
            self.shared.log.debug(format_args!("send: {error}"));
        }
    }
}
