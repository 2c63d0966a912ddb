//! The connection pool: which connection carries a new flow to a peer. Decides
//! only; dialling and closing are the worker's.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::SocketAddr;

use stoq_core::spiffe::SpiffeId;

/// A peer as the registry knows it: an address and who must answer there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PeerKey {
    /// Where its sidecar receives STOQ.
    pub(crate) address: SocketAddr,
    /// The identity it must prove; none: any of the mesh.
    pub(crate) expect: Option<SpiffeId>,
    /// Whether it gets copies. Their connections carry nothing else: what a shadow does not read
    /// uses up no window that originals need.
    pub(crate) shadow: bool,
    /// Of striped flows, the lane: each has connections of its own, and mostly a worker. Everything
    /// else is 0.
    pub(crate) lane: u8,
}

impl PeerKey {
    /// The worker that holds the connections to this peer.
    pub(crate) fn owner(&self, workers: usize) -> usize {
        // The same on every worker: no random state.
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(self);
        (hash % workers as u64) as usize
    }
}

/// What a connection of the pool can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// It carries so many streams and takes more.
    Streams(usize),
    /// The peer allows no further stream for now.
    Full,
    /// It serves the flows it has and takes no new ones.
    Stale,
}

/// What to do with a new flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Open a stream on this connection.
    Use(usize),
    /// Wait: a dial is under way.
    Wait,
    /// Dial, then wait.
    Dial,
}

/// One peer's connections.
#[derive(Debug, Default)]
struct Peer {
    live: Vec<usize>,
    dialling: Option<usize>,
    waiting: Vec<usize>,
}

/// Every peer this worker dials.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    by_key: HashMap<PeerKey, Peer>,
}

/// Bounds of the pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolLimits {
    /// Streams on a connection above which a further one is dialled.
    pub(crate) streams: usize,
    /// Connections to one peer at most.
    pub(crate) connections: usize,
}

impl Peers {
    /// Places a flow on the connection with the fewest streams, as `load` tells.
    pub(crate) fn place(
        &self,
        key: &PeerKey,
        limits: PoolLimits,
        load: impl Fn(usize) -> Load,
    ) -> Placement {
        let Some(peer) = self.by_key.get(key) else {
            return Placement::Dial;
        };
        let loads = || peer.live.iter().map(|index| (load(*index), *index));
        let best = loads()
            .filter_map(|(load, index)| match load {
                Load::Streams(streams) => Some((streams, index)),
                Load::Full | Load::Stale => None,
            })
            .min();
        let current = loads().filter(|(load, _)| *load != Load::Stale).count();
        match best {
            Some((streams, index)) if streams < limits.streams => Placement::Use(index),
            _ if peer.dialling.is_some() => Placement::Wait,
            _ if current < limits.connections => Placement::Dial,
            Some((_, index)) => Placement::Use(index),
            None => Placement::Wait,
        }
    }

    /// Queues a flow until a connection to its peer can take it.
    pub(crate) fn wait(&mut self, key: &PeerKey, flow: usize) {
        self.by_key
            .entry(key.clone())
            .or_default()
            .waiting
            .push(flow);
    }

    /// Notes that a dial is under way.
    pub(crate) fn dialled(&mut self, key: &PeerKey, index: usize) {
        self.by_key.entry(key.clone()).or_default().dialling = Some(index);
    }

    /// The dial succeeded.
    pub(crate) fn established(&mut self, key: &PeerKey, index: usize) {
        let peer = self.by_key.entry(key.clone()).or_default();
        if peer.dialling == Some(index) {
            peer.dialling = None;
        }
        peer.live.push(index);
    }

    /// The connection is gone or must not be used any more. Returns the flows that
    /// waited for it and have nothing else to wait for.
    pub(crate) fn remove(&mut self, key: &PeerKey, index: usize) -> Vec<usize> {
        let Some(peer) = self.by_key.get_mut(key) else {
            return Vec::new();
        };
        if peer.dialling == Some(index) {
            peer.dialling = None;
        }
        peer.live.retain(|live| *live != index);
        let orphans = match peer.live.is_empty() && peer.dialling.is_none() {
            true => std::mem::take(&mut peer.waiting),
            false => Vec::new(),
        };
        if peer.live.is_empty() && peer.dialling.is_none() {
            self.by_key.remove(key);
        }
        orphans
    }

    /// The flows that wait for this peer, to be placed again.
    pub(crate) fn take_waiting(&mut self, key: &PeerKey) -> Vec<usize> {
        self.by_key
            .get_mut(key)
            .map(|peer| std::mem::take(&mut peer.waiting))
            .unwrap_or_default()
    }

    /// A waiting flow is gone.
    pub(crate) fn forget(&mut self, key: &PeerKey, flow: usize) {
        if let Some(peer) = self.by_key.get_mut(key) {
            peer.waiting.retain(|waiting| *waiting != flow);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PoolLimits = PoolLimits {
        streams: 2,
        connections: 2,
    };

    fn key() -> PeerKey {
        PeerKey {
            address: "[fd00::2]:14008".parse().unwrap(),
            expect: None,
            shadow: false,
            lane: 0,
        }
    }

    fn place(peers: &Peers, load: impl Fn(usize) -> Load) -> Placement {
        peers.place(&key(), LIMITS, load)
    }

    #[test]
    fn the_second_flow_waits_for_the_first_ones_dial() {
        let mut peers = Peers::default();
        assert_eq!(place(&peers, |_| Load::Full), Placement::Dial);
        peers.dialled(&key(), 4);
        peers.wait(&key(), 1);
        assert_eq!(place(&peers, |_| Load::Full), Placement::Wait);
        peers.wait(&key(), 2);
        peers.established(&key(), 4);
        assert_eq!(peers.take_waiting(&key()), [1, 2]);
        assert_eq!(place(&peers, |_| Load::Streams(0)), Placement::Use(4));
    }

    #[test]
    fn a_full_connection_gets_a_companion_and_no_more_than_allowed() {
        let mut peers = Peers::default();
        peers.established(&key(), 4);
        assert_eq!(place(&peers, |_| Load::Streams(2)), Placement::Dial);
        peers.established(&key(), 5);
        assert_eq!(place(&peers, |i| Load::Streams(i - 3)), Placement::Use(4));
        assert_eq!(place(&peers, Load::Streams), Placement::Use(4));
        assert_eq!(place(&peers, |_| Load::Full), Placement::Wait);
    }

    #[test]
    fn a_stale_connection_takes_no_flow_and_does_not_count() {
        let mut peers = Peers::default();
        peers.established(&key(), 4);
        peers.established(&key(), 5);
        assert_eq!(place(&peers, |_| Load::Stale), Placement::Dial);
    }

    #[test]
    fn a_failed_dial_returns_everyone_who_waited() {
        let mut peers = Peers::default();
        peers.dialled(&key(), 4);
        peers.wait(&key(), 1);
        peers.wait(&key(), 2);
        peers.forget(&key(), 1);
        assert_eq!(peers.remove(&key(), 4), [2]);
        assert_eq!(place(&peers, |_| Load::Full), Placement::Dial);
    }

    #[test]
    fn flows_keep_waiting_while_another_connection_lives() {
        let mut peers = Peers::default();
        peers.established(&key(), 3);
        peers.dialled(&key(), 4);
        peers.wait(&key(), 1);
        assert_eq!(peers.remove(&key(), 4), Vec::<usize>::new());
        assert_eq!(peers.take_waiting(&key()), [1]);
    }

    #[test]
    fn every_worker_agrees_on_the_owner_of_a_peer() {
        assert_eq!(key().owner(4), key().owner(4));
        assert_eq!(key().owner(1), 0);
    }
}
