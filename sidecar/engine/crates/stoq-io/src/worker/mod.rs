//! A worker: one thread, its sockets, its connections and its relays.
//!
//! The thread goes round one loop: take what the sockets have, let connections and
//! relays work on it, send. Nothing here waits, locks or calls another thread's
//! data; other threads reach a worker through its mailbox.

mod accept;
mod access;
mod adapt;
mod api;
mod commands;
mod connection;
mod connections;
mod control;
mod datagrams;
mod deadlines;
mod early;
mod failover;
mod flow;
mod flows;
mod frames;
mod handshakes;
mod hops;
mod inbound;
mod info;
mod labels;
mod lost;
mod mirrors;
mod objects;
mod observe;
mod outbound;
mod path;
mod peers;
mod plain;
mod proofs;
mod receive;
mod recorded;
mod start;
mod stripes;
mod timers;
mod tokens;
mod transmit;
mod udp;
mod wakes;
mod watches;
mod window;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use quinn_proto::{Endpoint, ServerConfig, TransportConfig};
use slab::Slab;

pub(crate) use connection::{Link, Origin, Phase};
pub(crate) use failover::Trial;
pub(crate) use flow::{Captured, Client, Direction, Flow, FlowInfo, Slot};
pub(crate) use hops::Mark;
pub(crate) use peers::PeerKey;
pub(crate) use start::{Listener, ListenerKind, Plan, Port, PortKind};
pub(crate) use stripes::LaneTo;
pub(crate) use udp::Passed;

use crate::api::StreamToken;
use crate::counters::FlowTable;
use crate::pool::BlockPool;
use crate::relay::down::Scratch;
use crate::relay::pipe::Side;
use crate::shared::Shared;
use crate::socket::udp::Datagrams;
use crate::transport::Controllers;
use crate::xsk::Xsk;
use early::Early;
use handshakes::Handshakes;
use peers::Peers;
use proofs::ProofQueue;
use stoq_adapt::Policy;
use stoq_core::table::{Access, Table};
use timers::{Timer, Timers};

/// The waker's token.
pub(crate) const WAKER: Token = Token(0);

/// Tokens of UDP sockets begin here.
const PORTS: usize = 1;

/// Tokens of TCP listeners begin here.
const LISTENERS: usize = 8;

/// The token of the socket at which captured UDP arrives.
const CAPTURE: Token = Token(FLOWS - 1);

/// Tokens of flows begin here, two for each: a pipe has two sockets.
const FLOWS: usize = 16;

/// Tokens of AF_XDP queues begin here: nothing has so many flows.
const XSK: usize = usize::MAX / 2;

/// Kernel events taken per turn.
const EVENTS: usize = 512;

/// How often an otherwise idle worker gives memory back, and looks whether it may.
const TRIM_AFTER: Duration = Duration::from_secs(5);

/// One worker. Its parts are changed by the files of this folder, by subject.
pub(crate) struct Worker {
    index: usize,
    shared: Arc<Shared>,
    table: Arc<Table>,
    /// The policies that open flows have been held against.
    access: Arc<Access>,
    poll: Poll,
    endpoint: Endpoint,
    transport: Arc<TransportConfig>,
    /// Of connections inside others, and the bytes of their packets.
    inner_transport: Arc<TransportConfig>,
    inner_payload: u16,
    /// Makes the congestion controllers of connections.
    controllers: Controllers,
    /// What adaptation may do; none: it is off.
    policy: Option<Policy>,
    mesh: Option<Arc<ServerConfig>>,
    bootstrap: Option<Arc<ServerConfig>>,
    ports: Vec<Port>,
    /// Datagrams past the kernel's stack; none: all go by the ports.
    xsk: Option<Xsk>,
    listeners: Vec<Listener>,
    links: Vec<Option<Box<Link>>>,
    flows: Slab<Slot>,
    peers: Peers,
    /// Captured UDP; none: it is not captured.
    udp: Option<udp::Udp>,
    flow_table: FlowTable,
    api_flows: HashMap<StreamToken, usize>,
    /// Objects in shards, in both directions.
    objects: objects::Objects,
    /// Copies of flows.
    mirrors: mirrors::Mirrors,
    /// Further lanes of flows at work here.
    stripe_lanes: usize,
    /// Tunnels over gateways and through this one.
    tunnels: hops::Tunnels,
    handshakes: Handshakes,
    proofs: ProofQueue,
    timers: Timers,
    /// Captured connections that wait for the first table.
    early: Vec<Early>,
    /// Connections to look after in this turn.
    active: Vec<usize>,
    /// Flows to run.
    runnable: VecDeque<usize>,
    blocks: BlockPool,
    scratch: Scratch,
    outgoing: Vec<u8>,
    serial: u64,
    random: u64,
    /// Bytes by which connection windows exceed what is configured, in sum.
    extra_window: u64,
    /// The flows that have some of it, the oldest first; ended ones among them.
    granted: VecDeque<usize>,
    /// Whether flows were run in the last turn.
    moving: bool,
    busy_since_trim: bool,
    trim_armed: bool,
    draining: bool,
    stop: bool,
}

impl Worker {
    /// Runs until the engine shuts down.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while !self.finished() {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.shared
                        .log
                        .error(format_args!("worker {}: epoll: {error}", self.index));
                    break;
                }
            }
            self.turn(&events);
        }
        self.end();
    }

    /// One round.
    fn turn(&mut self, events: &Events) {
        let now = Instant::now();
        self.table = self.shared.table.load_full();
        for event in events {
            self.note(event, now);
        }
        let received = self.receive_frames(now) | self.receive(now) | self.receive_captured(now);
        self.fire_timers(now);
        self.advance_handshakes(now);
        self.advance_proofs(now);
        self.accept(now);
        self.pump_active(now);
        self.moving = self.run_flows(now);
        self.transmit(now);
        if received || self.moving {
            self.arm_trim(now);
        }
        self.set_gauges();
    }

    /// Remembers what the kernel reported.
    fn note(&mut self, event: &mio::event::Event, now: Instant) {
        match event.token().0 {
            0 => self.run_commands(now),
            token if token < LISTENERS => {
                let index = token - PORTS;
                self.ports[index].readable |= event.is_readable();
                if event.is_writable() {
                    self.unblock(index);
                }
            }
            token if token == CAPTURE.0 => {
                if let Some(udp) = &mut self.udp {
                    udp.readable = true;
                }
            }
            token if token < FLOWS => {
                // There is none any more if the command to drain came with it.
                if let Some(listener) = self.listeners.get_mut(token - LISTENERS) {
                    listener.ready = true;
                }
            }
            token if token < XSK => self.note_flow(token - FLOWS, event),
            token => self.note_queue(token, event),
        }
    }

    fn note_flow(&mut self, token: usize, event: &mio::event::Event) {
        let (key, second) = (token / 2, token % 2 == 1);
        let Some(slot) = self.flows.get_mut(key) else {
            return;
        };
        match &mut slot.flow {
            Flow::Relay(relay) | Flow::Connecting(relay) => {
                relay.ready.tcp_read |= event.is_readable();
                relay.ready.tcp_end |= event.is_read_closed();
                relay.ready.tcp_write |= event.is_writable();
            }
            Flow::Stripe(relay) => {
                relay.ready.tcp_read |= event.is_readable();
                relay.ready.tcp_end |= event.is_read_closed();
                relay.ready.tcp_write |= event.is_writable();
            }
            Flow::Pipe(pipe) => {
                pipe.note(if second { Side::Server } else { Side::Client }, event);
                if second && event.is_writable() {
                    self.cancel_deadline(key);
                }
            }
            Flow::Hop(hop) => hop.note(event),
            Flow::Waiting(_)
            | Flow::Udp(_)
            | Flow::Head { .. }
            | Flow::ApiWaiting { .. }
            | Flow::Api(_)
            | Flow::Frames(_)
            | Flow::Mirror(_)
            | Flow::LaneWaiting(_)
            | Flow::StripeWaiting(_)
            | Flow::StripeLane(_)
            | Flow::Asking(_)
            | Flow::Lane(_)
            | Flow::Proof { .. }
            | Flow::Control { .. } => {}
        }
        self.queue(key);
    }

    /// How long to wait for events: not at all while something is left to do that no
    /// event will announce.
    fn timeout(&self) -> Option<Duration> {
        let work = !self.runnable.is_empty()
            || !self.active.is_empty()
            || self.handshakes.waiting()
            || self.proofs.waiting()
            || self.ports.iter().any(|port| port.readable)
            || self.xsk.as_ref().is_some_and(Xsk::is_readable)
            || self.listeners.iter().any(|listener| listener.ready)
            || self.udp.as_ref().is_some_and(|udp| udp.readable);
        if work {
            return Some(Duration::ZERO);
        }
        let next = self.timers.next()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn fire_timers(&mut self, now: Instant) {
        while let Some((at, timer)) = self.timers.pop(now) {
            match timer {
                Timer::Connection { index, serial } => self.connection_due(index, serial, at, now),
                Timer::Dial { index, serial } => self.dial_due(index, serial, now),
                Timer::PoolIdle { index, serial } => self.pool_idle_due(index, serial, now),
                Timer::Silence { index, serial } => self.silence_due(index, serial, now),
                Timer::Expiry { index, serial } => self.expiry_due(index, serial, now),
                Timer::Flow { key, serial } => self.flow_due(key, serial, now),
                Timer::Accept => self.listeners.iter_mut().for_each(|l| l.ready = true),
                Timer::Early => self.early_due(now),
                Timer::Transfers => self.transfers_due(now),
                Timer::Trim => self.trim(now),
                Timer::Drain => self.stop = true,
            }
        }
    }

    /// Gives memory back when nothing has moved for a while.
    fn trim(&mut self, now: Instant) {
        if std::mem::take(&mut self.busy_since_trim) {
            self.timers.set(now + TRIM_AFTER, Timer::Trim);
            return;
        }
        self.trim_armed = false;
        self.blocks.trim();
        self.outgoing = Vec::new();
        self.scratch = Scratch::new();
        if let Some(udp) = &mut self.udp {
            udp.socket.trim();
        }
        // Never emptied: a connection that became active in this very turn would be marked as
        // queued for ever, and neither send nor time out.
        self.active.shrink_to_fit();
        self.runnable.shrink_to_fit();
    }

    /// Sees to it that memory is given back after this busy time.
    fn arm_trim(&mut self, now: Instant) {
        self.busy_since_trim = true;
        if !std::mem::replace(&mut self.trim_armed, true) {
            self.timers.set(now + TRIM_AFTER, Timer::Trim);
        }
    }

    /// Whether the loop may end.
    fn finished(&self) -> bool {
        let left = self.flows.len() > self.tunnels.inner();
        self.stop || (self.draining && !left && !self.handshakes.waiting())
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// A number to choose endpoints and ways by (xorshift64*). Asked for each connection, so it is cheap; who
    /// sees enough choices can guess the next, and wins nothing by that. It must not leave the process, nor
    /// make what others are not to guess: ids and nonces are `OsRng`'s.
    fn pick(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn datagrams(&mut self, port: usize) -> &mut Datagrams {
        &mut self.ports[port].datagrams
    }
}
