//! From the capture socket to the flows.

use std::sync::Arc;
use std::time::Instant;

use stoq_core::udp::{Pair, Place};

use super::super::{Direction, Flow, FlowInfo, Worker};
use super::{Passed, Sent, UdpFlow, Way};
use crate::counters::UdpDrop;
use crate::mailbox::Command;
use crate::socket::capture::CapturedDatagram;

/// Reads per turn, of some datagrams each.
const READS: usize = 8;

impl Worker {
    /// Takes what has been captured, up to the budget; `true` when there was anything.
    pub(in super::super) fn receive_captured(&mut self, now: Instant) -> bool {
        let mut any = false;
        for _ in 0..READS {
            let Some(udp) = self.udp.as_mut().filter(|udp| udp.readable) else {
                break;
            };
            match udp.socket.receive() {
                Ok(Some(batch)) => {
                    any = true;
                    self.heed_others(now);
                    for datagram in batch {
                        self.captured(datagram, now);
                    }
                }
                Ok(None) => udp.readable = false,
                // An error that an earlier packet brought; what comes next may be fine.
                Err(error) => self.shared.log.debug(format_args!("captured UDP: {error}")),
            }
        }
        any
    }

    /// Learns of flows that began elsewhere since this turn looked into the mailbox. A worker tells of one
    /// before its first datagram leaves, so before any answer: one that came here would else begin a flow
    /// of its own, and reach the client from another address than the one it dialled.
    fn heed_others(&mut self, now: Instant) {
        if self.shared.mailboxes[self.index].has_commands() {
            self.run_commands(now);
        }
    }

    fn captured(&mut self, datagram: CapturedDatagram, now: Instant) {
        let CapturedDatagram {
            source,
            destination,
            payload,
            whole,
        } = datagram;
        if self.draining || self.undecided() || self.refuses_ipv4(destination) {
            let why = if self.undecided() {
                UdpDrop::Undecided
            } else {
                UdpDrop::Refused
            };
            self.counters().udp_dropped(why);
            return;
        }
        let from_app = !self.table.is_own(destination.ip());
        let (app, remote) = if from_app {
            (source, destination)
        } else {
            (destination, source)
        };
        let pair = Pair { app, remote };
        self.dispatch(
            Passed {
                pair,
                sent: Sent { payload, whole },
                from_app,
            },
            now,
        );
    }

    fn dispatch(&mut self, passed: Passed, now: Instant) {
        let place = self
            .udp
            .as_ref()
            .and_then(|udp| udp.flows.find(&passed.pair));
        match place {
            Some(Place::Here(key)) if passed.from_app => self.send_udp(key, passed.sent, now),
            Some(Place::Here(key)) => self.plain_received(key, &passed.sent.payload, now),
            Some(Place::At(worker)) => {
                if !self.shared.mailboxes[worker].pass(passed) {
                    self.counters().udp_dropped(UdpDrop::QueueFull);
                }
            }
            None if passed.from_app => self.open_outbound(passed.pair, passed.sent, now),
            None => self.open_plain_inbound(passed.pair, &passed.sent.payload, now),
        }
    }

    /// Takes the datagrams that other workers passed on.
    pub(in super::super) fn take_passed(&mut self, now: Instant) {
        let shared = Arc::clone(&self.shared);
        while let Some(passed) = shared.mailboxes[self.index].next_passed() {
            let place = self
                .udp
                .as_ref()
                .and_then(|udp| udp.flows.find(&passed.pair));
            match place {
                Some(Place::Here(key)) if passed.from_app => {
                    self.send_udp(key, passed.sent, now);
                }
                Some(Place::Here(key)) => self.plain_received(key, &passed.sent.payload, now),
                // It has just ended; the sender hears of it before the next datagram.
                _ => self.counters().udp_dropped(UdpDrop::NoFlow),
            }
        }
    }

    /// Begins a flow; none when there are too many.
    pub(super) fn begin_udp(
        &mut self,
        pair: Pair,
        way: Way,
        info: FlowInfo,
        now: Instant,
    ) -> Option<usize> {
        let peer = info_peer(&info);
        let relays = self.shared.settings.limits.relays as usize;
        let admitted = self.udp.as_ref().is_some_and(|udp| udp.flows.admits(peer));
        if !admitted || self.flows.len() >= relays {
            self.counters().udp_dropped(UdpDrop::TooManyFlows);
            return None;
        }
        let direction = info.direction;
        let plain = matches!(way, Way::Plain(_));
        let flow = UdpFlow::new(pair, way, now);
        let pairs = flow.pairs();
        let key = self.insert_flow(Flow::Udp(Box::new(flow)), Some(info));
        self.name_udp(key, pairs, peer);
        if plain || direction == Direction::Inbound {
            self.tell_others(|worker| Command::UdpFlow { pairs, worker });
        }
        self.counters().udp_flow_opened(direction, plain);
        self.watch_udp(key);
        Some(key)
    }

    /// Lets datagrams of these pairs find the flow.
    pub(super) fn name_udp(&mut self, key: usize, pairs: [Pair; 2], peer: std::net::IpAddr) {
        if let Some(udp) = self.udp.as_mut() {
            udp.flows.open(pairs[0], peer, key);
            if pairs[1] != pairs[0] {
                udp.flows.name(pairs[1], key);
            }
        }
    }

    pub(super) fn tell_others(&self, command: impl Fn(usize) -> Command) {
        for (worker, mailbox) in self.shared.mailboxes.iter().enumerate() {
            if worker != self.index {
                mailbox.post(command(self.index));
            }
        }
    }

    /// Another worker has told about a flow of its own.
    pub(in super::super) fn udp_elsewhere(&mut self, pairs: [Pair; 2], worker: usize, gone: bool) {
        let Some(udp) = self.udp.as_mut() else { return };
        for pair in pairs {
            if gone {
                udp.flows.gone(pair, worker);
            } else {
                udp.flows.elsewhere(pair, worker);
            }
        }
    }

    /// A flow of captured UDP has ended: nothing finds it any more.
    pub(in super::super) fn udp_ended(
        &mut self,
        (key, connection): (usize, Option<usize>),
        flow: &UdpFlow,
        info: &FlowInfo,
    ) {
        if let Some(link) = connection.and_then(|index| self.links.get_mut(index)?.as_mut()) {
            link.partial_udp = link.partial_udp.saturating_sub(flow.counted);
        }
        let pairs = flow.pairs();
        if let Some(udp) = self.udp.as_mut() {
            udp.flows.close(pairs, info_peer(info), key);
            udp.held = udp.held.saturating_sub(flow.held);
        }
        if matches!(flow.way, Way::Plain(_)) || info.direction == Direction::Inbound {
            self.tell_others(|worker| Command::UdpGone { pairs, worker });
        }
    }

    /// Sets the timer that ends a silent flow.
    pub(super) fn watch_udp(&mut self, key: usize) {
        let Some(patience) = self.udp.as_ref().map(|udp| udp.patience) else {
            return;
        };
        if let Some(Flow::Udp(flow)) = self.flows.get(key).map(|slot| &slot.flow) {
            let at = flow.idle.ends(patience);
            self.set_deadline(key, at);
        }
    }

    /// The timer of a flow has fired: it ends, unless it has spoken meanwhile.
    pub(in super::super) fn udp_due(&mut self, key: usize, now: Instant) {
        let Some(patience) = self.udp.as_ref().map(|udp| udp.patience) else {
            return;
        };
        match self.flows.get(key).map(|slot| &slot.flow) {
            Some(Flow::Udp(flow)) if flow.idle.ends(patience) <= now => self.finish_udp(key, now),
            _ => self.watch_udp(key),
        }
    }
}

/// The address by which the flows with a peer are counted.
fn info_peer(info: &FlowInfo) -> std::net::IpAddr {
    match info.direction {
        Direction::Outbound => info.destination.ip(),
        Direction::Inbound => info.source.ip(),
    }
}
