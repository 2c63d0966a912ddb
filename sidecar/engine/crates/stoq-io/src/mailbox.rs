//! How other threads reach a worker: a queue and a wake-up, no lock.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use bytes::BytesMut;
use crossbeam_queue::{ArrayQueue, SegQueue};
use mio::Waker;
use quinn_proto::EcnCodepoint;
use stoq_adapt::Policy;
use stoq_core::udp::Pair;

use crate::api::Request;
use crate::objects::ObjectRequest;
use crate::snapshot::ConnectionInfo;
use crate::stripes::Seat;
use crate::worker::{Captured, LaneTo, Passed};

/// Misrouted datagrams that may wait for a worker: about two full GRO batches of
/// each other worker. More are dropped, as a full socket buffer would.
const FORWARDED: usize = 1024;

/// Captured datagrams that may wait for the worker that has their flow.
const PASSED: usize = 1024;

/// Something a worker is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Relay a captured connection whose peer this worker serves.
    Relay(Box<Captured>),
    /// Another worker has a flow of captured UDP.
    UdpFlow { pairs: [Pair; 2], worker: usize },
    /// It no longer has.
    UdpGone { pairs: [Pair; 2], worker: usize },
    /// Something about an API stream.
    Api(Request),
    /// Something about objects.
    Objects(ObjectRequest),
    /// A further lane of a striped flow, over a connection that this worker holds.
    StripeLane(Box<LaneTo>),
    /// A flow that carries a striped one may have something to do.
    Stripe(Seat),
    /// The routing table was replaced.
    Table,
    /// Check every live connection against the current trust and time.
    Reauthorise,
    /// Prove our present identity on every live connection.
    Prove,
    /// Take nothing new, and end when everything is done or at the given instant.
    Drain(Instant),
    /// Close everything and end.
    Shutdown,
    /// Adapt within another policy.
    Policy(Box<Policy>),
    /// Judge the path of every connection at once.
    Adapt,
    /// Describe every connection.
    Connections(mpsc::Sender<ConnectionInfo>),
}

/// A datagram that reached the wrong worker.
#[derive(Debug)]
pub(crate) struct Forwarded {
    /// Index of the receiving socket among a worker's sockets.
    pub(crate) port: usize,
    pub(crate) remote: SocketAddr,
    pub(crate) local_ip: Option<IpAddr>,
    pub(crate) ecn: Option<EcnCodepoint>,
    pub(crate) data: BytesMut,
}

/// A worker's inbox.
pub(crate) struct Mailbox {
    commands: SegQueue<Command>,
    datagrams: ArrayQueue<Forwarded>,
    passed: ArrayQueue<Passed>,
    waker: Waker,
    /// Set while a wake-up is under way: further ones would only cost a system call.
    woken: AtomicBool,
}

impl Mailbox {
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            commands: SegQueue::new(),
            datagrams: ArrayQueue::new(FORWARDED),
            passed: ArrayQueue::new(PASSED),
            waker,
            woken: AtomicBool::new(false),
        }
    }

    /// Asks the worker for something.
    pub(crate) fn post(&self, command: Command) {
        self.commands.push(command);
        self.wake();
    }

    /// Hands over a datagram; `false` when the queue was full and it was dropped.
    pub(crate) fn forward(&self, datagram: Forwarded) -> bool {
        let taken = self.datagrams.push(datagram).is_ok();
        self.wake();
        taken
    }

    /// Passes a captured datagram on; `false` when the queue was full and it was dropped.
    pub(crate) fn pass(&self, datagram: Passed) -> bool {
        let taken = self.passed.push(datagram).is_ok();
        self.wake();
        taken
    }

    /// To be called by the worker before it empties the queues, so that whatever
    /// comes later wakes it again.
    pub(crate) fn opened(&self) {
        self.woken.store(false, Ordering::Release);
    }

    pub(crate) fn has_commands(&self) -> bool {
        !self.commands.is_empty()
    }

    pub(crate) fn next_command(&self) -> Option<Command> {
        self.commands.pop()
    }

    pub(crate) fn next_datagram(&self) -> Option<Forwarded> {
        self.datagrams.pop()
    }

    pub(crate) fn next_passed(&self) -> Option<Passed> {
        self.passed.pop()
    }

    fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            // An eventfd write fails only when its counter is about to overflow, and
            // then the worker is awake.
            let _: io::Result<()> = self.waker.wake();
        }
    }
}
