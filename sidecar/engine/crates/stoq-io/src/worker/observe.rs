//! What a worker counts and reports.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use stoq_core::session::Evidence;
use stoq_wire::code::StreamCode;

use super::{Direction, Flow, FlowInfo, Slot, Worker};
use crate::access_log::{self, AccessRecord};
use crate::counters::{
    Counters, FlowLabels, Gauges, Party, Reporter, ResponseFlag, SecurityPolicy, Suite,
};
use crate::xsk::Xsk;

/// How a flow ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Both directions ended cleanly, or the caller closed it.
    Finished,
    /// The application's socket failed.
    Application(io::Error),
    /// The peer abandoned the stream.
    Peer(Option<StreamCode>),
    /// The connection is gone, or never came.
    Connection {
        /// What happened, for a person.
        why: Arc<str>,
        /// The same for metrics.
        flag: ResponseFlag,
    },
    /// We refused it; the text says why.
    Refused(String),
    /// Its opening phase took too long.
    TimedOut,
}

impl Outcome {
    /// The code by which the peer abandoned the stream.
    pub(crate) fn code(&self) -> Option<StreamCode> {
        match self {
            Self::Peer(code) => *code,
            _ => None,
        }
    }
}

impl Outcome {
    /// How metrics and the access log call it; none when nothing failed.
    pub(crate) fn flag(&self) -> Option<ResponseFlag> {
        match self {
            Self::Finished => None,
            Self::Refused(_) => Some(ResponseFlag::Deny),
            Self::TimedOut => Some(ResponseFlag::Connect),
            Self::Application(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::TimedOut => Some(ResponseFlag::Connect),
                _ => Some(ResponseFlag::Reset),
            },
            Self::Peer(Some(StreamCode::Refused | StreamCode::Unreachable)) => {
                Some(ResponseFlag::Connect)
            }
            Self::Peer(Some(
                StreamCode::Denied
                | StreamCode::AccessDenied
                | StreamCode::NotMine
                | StreamCode::ForbiddenPort,
            )) => Some(ResponseFlag::Deny),
            Self::Peer(_) => Some(ResponseFlag::Reset),
            Self::Connection { flag, .. } => Some(*flag),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("finished"),
            Self::Application(error) => write!(f, "the application's connection: {error}"),
            Self::Peer(Some(code)) => write!(f, "reset by the peer: {}", code.name()),
            Self::Peer(None) => f.write_str("reset by the peer"),
            Self::Connection { why, .. } => f.write_str(why),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::TimedOut => f.write_str("timed out"),
        }
    }
}

impl Worker {
    pub(super) fn counters(&self) -> &Counters {
        &self.shared.counters[self.index]
    }

    /// A flow begins: finds its counters.
    pub(super) fn count_opened(&mut self, key: usize) {
        let Some(info) = self.flows.get(key).and_then(|slot| slot.info.as_deref()) else {
            return;
        };
        let labels = self.labels(info);
        let counters = self.flow_table.resolve(labels);
        counters.opened();
        if let Some(info) = self
            .flows
            .get_mut(key)
            .and_then(|slot| slot.info.as_deref_mut())
        {
            info.counters = Some(counters);
        }
    }

    /// A flow is gone, whether or not it had begun.
    pub(super) fn count_closed(&mut self, slot: &mut Slot, outcome: &Outcome, now: Instant) {
        count_moved(slot);
        let Some(info) = &slot.info else { return };
        let flag = outcome.flag();
        // Metrics of their own count flows of captured UDP.
        if !matches!(slot.flow, Flow::Udp(_)) {
            let counters = match &info.counters {
                Some(counters) => {
                    counters.closed();
                    Arc::clone(counters)
                }
                None => {
                    let labels = self.labels(info);
                    self.flow_table.resolve(labels)
                }
            };
            if let Some(flag) = flag {
                counters.failed(flag);
            }
        }
        if self.shared.access_log.is_on() {
            let record = self.record(slot, info, outcome, now);
            self.shared.access_log.record(record);
        }
    }

    fn record(
        &self,
        slot: &Slot,
        info: &FlowInfo,
        outcome: &Outcome,
        now: Instant,
    ) -> AccessRecord {
        let link = slot
            .connection
            .and_then(|index| self.links.get(index)?.as_ref());
        AccessRecord {
            time: SystemTime::now(),
            labels: Arc::new(self.labels(info)),
            flow: (info.policy == SecurityPolicy::MutualTls).then_some(info.flow),
            udp: matches!(slot.flow, Flow::Udp(_)),
            source: info.source,
            destination: info.destination,
            stoq: link.map(|link| link.quic.remote_address()),
            adaptation: link.and_then(|link| Some(link.path.as_ref()?.standing())),
            bytes_sent: info.moved.0,
            bytes_received: info.moved.1,
            duration: now - info.started,
            outcome: match (outcome, outcome.flag()) {
                (Outcome::Refused(why), _) => access_log::Outcome::Refused(why.clone()),
                (_, Some(flag)) => access_log::Outcome::Failed(flag, outcome.to_string()),
                (_, None) => access_log::Outcome::Complete,
            },
        }
    }

    fn labels(&self, info: &FlowInfo) -> FlowLabels {
        let settings = &self.shared.settings;
        let mut addresses = self.table.own().addresses.iter();
        let own = Party {
            workload: Some(settings.name.as_str().into()),
            namespace: Some(settings.namespace.as_str().into()),
            principal: addresses
                .find_map(|ip| self.table.workload_at(*ip))
                .map(|workload| workload.spiffe_id.as_str().into()),
        };
        let peer = info.peer.clone();
        let (reporter, source, destination) = match info.direction {
            Direction::Outbound => (Reporter::Source, own, peer),
            Direction::Inbound => (Reporter::Destination, peer, own),
        };
        FlowLabels {
            reporter,
            source,
            destination,
            service: info.service.clone(),
            policy: info.policy,
            suite: info.suite,
        }
    }

    /// What this worker holds, for whoever reads the counters.
    pub(super) fn set_gauges(&self) {
        let api_streams = self.api_flows.len() as u64;
        let shard_streams = self.objects.streams() as u64;
        let mirrors = self.mirrors.count() as u64;
        let stripe_lanes = self.stripe_lanes as u64;
        let tunnels = self.tunnels.count() as u64;
        let udp_flows = self.udp.as_ref().map_or(0, |udp| udp.flows.count() as u64);
        self.counters().set_gauges(Gauges {
            connections: self.endpoint.open_connections() as u64,
            handshakes: self.handshakes.pressure() as u64,
            relays: (self.flows.len() as u64).saturating_sub(
                api_streams + udp_flows + shard_streams + mirrors + stripe_lanes + tunnels,
            ),
            udp_flows,
            api_streams,
            shard_streams,
            mirrors,
            stripe_lanes,
            routes: self.tunnels.routes() as u64,
            buffer_bytes: self.blocks.held() as u64,
            af_xdp_queues: self.xsk.as_ref().map_or(0, Xsk::queues) as u64,
        });
    }
}

/// Counts the bytes that a flow has moved since the last time.
pub(super) fn count_moved(slot: &mut Slot) {
    let (to_peer, from_peer) = match &slot.flow {
        Flow::Relay(relay) | Flow::Connecting(relay) => relay.bytes(),
        Flow::Stripe(relay) => relay.bytes(),
        Flow::Pipe(pipe) => pipe.bytes(),
        Flow::Udp(flow) => {
            // Metrics of their own count its datagrams.
            if let Some(info) = &mut slot.info {
                info.moved = flow.moved;
            }
            return;
        }
        _ => return,
    };
    let Some(info) = &mut slot.info else { return };
    let Some(counters) = &info.counters else {
        return;
    };
    // A pipe counts from its client's side, which is the peer when it dialled us.
    let inbound_pipe = matches!(slot.flow, Flow::Pipe(_)) && info.direction == Direction::Inbound;
    let (sent, received) = if inbound_pipe {
        (from_peer, to_peer)
    } else {
        (to_peer, from_peer)
    };
    counters.moved(sent - info.moved.0, received - info.moved.1);
    info.moved = (sent, received);
}

/// What a connection negotiated, as labels.
pub(super) fn suite(evidence: &Evidence) -> Suite {
    Suite {
        key_exchange: evidence.key_exchange,
        signature: evidence.peer_signature,
        cipher: evidence.cipher,
    }
}
