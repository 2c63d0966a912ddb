//! Which flow a datagram belongs to, and how many flows there may be.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// The two ends of a flow as the application of this pod sees them. Both directions have the
/// same pair, whoever began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pair {
    /// The application's own end.
    pub app: SocketAddr,
    /// The other.
    pub remote: SocketAddr,
}

/// Where a flow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// This worker has it, under this key.
    Here(usize),
    /// Another worker has it: the one of this number.
    At(usize),
}

/// How many flows one worker may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In sum.
    pub flows: usize,
    /// With one address.
    pub per_peer: usize,
}

/// The flows of one worker, and what it knows of the others'.
#[derive(Debug)]
pub struct Flows {
    limits: Limits,
    places: HashMap<Pair, Place>,
    /// How many there are here, by the address at the other end.
    peers: HashMap<IpAddr, usize>,
    here: usize,
}

impl Flows {
    /// None yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            places: HashMap::new(),
            peers: HashMap::new(),
            here: 0,
        }
    }

    /// How many this worker has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.here
    }

    /// Where the flow of `pair` is, if there is one.
    #[must_use]
    pub fn find(&self, pair: &Pair) -> Option<Place> {
        self.places.get(pair).copied()
    }

    /// Whether one more flow with `peer` may begin here.
    #[must_use]
    pub fn admits(&self, peer: IpAddr) -> bool {
        self.here < self.limits.flows
            && self.peers.get(&peer).copied().unwrap_or(0) < self.limits.per_peer
    }

    /// A flow with `peer` begins here. It is counted whether or not `pair` is new; `false` when
    /// the pair is another flow's, which then keeps it.
    pub fn open(&mut self, pair: Pair, peer: IpAddr, key: usize) -> bool {
        self.here += 1;
        *self.peers.entry(peer).or_default() += 1;
        self.name(pair, key)
    }

    /// Gives a flow of this worker one more pair; `false` when that is another's.
    pub fn name(&mut self, pair: Pair, key: usize) -> bool {
        match self.places.get(&pair) {
            Some(Place::Here(_)) => false,
            _ => {
                self.places.insert(pair, Place::Here(key));
                true
            }
        }
    }

    /// The flow `key`, which [`Flows::open`] has counted, is over.
    pub fn close(&mut self, pairs: impl IntoIterator<Item = Pair>, peer: IpAddr, key: usize) {
        for pair in pairs {
            if self.find(&pair) == Some(Place::Here(key)) {
                self.places.remove(&pair);
            }
        }
        self.here = self.here.saturating_sub(1);
        if let Some(count) = self.peers.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(&peer);
            }
        }
    }

    /// Another worker has the flow of `pair`.
    pub fn elsewhere(&mut self, pair: Pair, worker: usize) {
        self.places.entry(pair).or_insert(Place::At(worker));
    }

    /// Another worker no longer has it.
    pub fn gone(&mut self, pair: Pair, worker: usize) {
        if self.find(&pair) == Some(Place::At(worker)) {
            self.places.remove(&pair);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits {
        flows: 6,
        per_peer: 3,
    };

    fn peer(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    fn pair(port: u16, number: u8) -> Pair {
        Pair {
            app: SocketAddr::from(([10, 0, 0, 1], port)),
            remote: SocketAddr::new(peer(number), 53),
        }
    }

    #[test]
    fn a_pair_names_the_first_flow_that_has_it() {
        let mut flows = Flows::new(LIMITS);
        assert!(flows.open(pair(1, 2), peer(2), 7));
        assert!(!flows.open(pair(1, 2), peer(2), 8));
        assert_eq!(flows.find(&pair(1, 2)), Some(Place::Here(7)));
        flows.close([pair(1, 2)], peer(2), 8);
        assert_eq!(flows.find(&pair(1, 2)), Some(Place::Here(7)));
        flows.close([pair(1, 2)], peer(2), 7);
        assert_eq!((flows.find(&pair(1, 2)), flows.count()), (None, 0));
    }

    #[test]
    fn what_is_here_is_not_elsewhere() {
        let mut flows = Flows::new(LIMITS);
        flows.elsewhere(pair(1, 2), 3);
        assert_eq!(flows.find(&pair(1, 2)), Some(Place::At(3)));
        assert!(flows.open(pair(1, 2), peer(2), 7));
        flows.elsewhere(pair(1, 2), 3);
        flows.gone(pair(1, 2), 3);
        assert_eq!(flows.find(&pair(1, 2)), Some(Place::Here(7)));
    }

    #[test]
    fn only_who_has_told_of_a_flow_takes_it_back() {
        let mut flows = Flows::new(LIMITS);
        flows.elsewhere(pair(1, 2), 3);
        flows.gone(pair(1, 2), 1);
        assert_eq!(flows.find(&pair(1, 2)), Some(Place::At(3)));
        flows.gone(pair(1, 2), 3);
        assert_eq!(flows.find(&pair(1, 2)), None);
    }

    proptest! {
        #[test]
        fn there_are_never_more_than_allowed_and_none_stays_behind(
            steps in proptest::collection::vec((any::<bool>(), 0..4_u16, 0..4_u8), 0..200),
        ) {
            let mut flows = Flows::new(LIMITS);
            let mut open: Vec<(Pair, IpAddr, usize)> = Vec::new();
            for (key, (opening, port, number)) in steps.into_iter().enumerate() {
                let (pair, peer) = (pair(port, number), peer(number));
                if opening && flows.admits(peer) {
                    flows.open(pair, peer, key);
                    open.push((pair, peer, key));
                } else if !opening && !open.is_empty() {
                    let (pair, peer, key) = open.swap_remove(key % open.len());
                    flows.close([pair], peer, key);
                }
                prop_assert_eq!(flows.count(), open.len());
                prop_assert!(open.len() <= LIMITS.flows);
                let with = open.iter().filter(|(_, other, _)| *other == peer).count();
                prop_assert!(with <= LIMITS.per_peer);
            }
            for (pair, peer, key) in open {
                flows.close([pair], peer, key);
            }
            prop_assert_eq!(flows.count(), 0);
            prop_assert!(flows.peers.is_empty() && flows.places.is_empty());
        }
    }
}
