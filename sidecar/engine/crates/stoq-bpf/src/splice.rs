//! `tc_splice`: TCP between two pods of this node, from link to link.

use std::net::IpAddr;

use aya::maps::{HashMap, MapError, PerCpuHashMap, PerCpuValues};
use aya::programs::TcAttachType;
use aya::util::nr_cpus;

use crate::address::{mapped, unmapped};
use crate::attach::{Attached, Hook};
use crate::error::Error;
use crate::load::Loaded;
use crate::maps::{at, found, sum};
use crate::object::Object;
use crate::pins::Pins;
use crate::run::{Action, Arrival};
use crate::shared::{Count, SpliceEnd, SpliceKey};

const PROGRAM: &str = "splice_from_pod";
const PAIRS: &str = "splice_pairs";
const COUNTS: &str = "splice_counts";

/// One of two pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct End {
    /// Index of the host's end of its link.
    pub ifindex: u32,
    /// Its address.
    pub address: IpAddr,
}

/// Who may speak to whom that way: from any port of the client to one of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pair {
    /// Who opens connections.
    pub client: End,
    /// Who takes them.
    pub server: End,
    /// Where.
    pub port: u16,
}

/// The splice, in the kernel.
#[derive(Debug)]
pub struct Splice(Loaded);

impl Splice {
    /// Loads it; with `pins`, over the pairs that are in force.
    ///
    /// # Errors
    /// As the variants of [`Error`] say.
    pub fn load(pins: Option<&Pins>) -> Result<Self, Error> {
        Ok(Self(Loaded::load(Object::Splice, pins)?))
    }

    /// Attaches it to the host's end of a pod's link, in front of all programs that are there. One that is
    /// attached later stands in front of this one: what it counts or drops then is not what it was
    /// made for, so detach first and attach again.
    ///
    /// # Errors
    /// As the variants of [`Error`] say.
    pub fn attach(&mut self, ifindex: u32) -> Result<Attached, Error> {
        self.0
            .attach(PROGRAM, ifindex, Hook::Tc(TcAttachType::Ingress))
    }

    /// Detaches it; false if it was not there.
    ///
    /// # Errors
    /// [`Error::Pins`] if the pin cannot be removed.
    pub fn detach(&self, ifindex: u32) -> Result<bool, Error> {
        self.0.detach(PROGRAM, ifindex)
    }

    /// Forgets the pinned maps of other versions, once all links run this one.
    ///
    /// # Errors
    /// [`Error::Pins`].
    pub fn sweep(&self) -> Result<(), Error> {
        self.0.sweep()
    }

    /// Puts a pair in force until a time, or moves its end: nanoseconds of `CLOCK_MONOTONIC`.
    ///
    /// # Errors
    /// [`Error::Full`] if 8,192 pairs are in force or 4,096 pods are counted.
    pub fn join(&mut self, pair: Pair, until_ns: u64) -> Result<(), Error> {
        for end in [pair.client, pair.server] {
            self.count(end.ifindex)?;
        }
        let mut map: HashMap<_, SpliceKey, SpliceEnd> = self.0.map_mut(PAIRS)?;
        for (key, ifindex) in pair.entries() {
            let end = SpliceEnd {
                until_ns,
                ifindex,
                reserved: 0,
            };
            map.insert(key, end, 0).map_err(at(PAIRS))?;
        }
        Ok(())
    }

    /// Takes a pair out of force; false if it was not in it.
    ///
    /// # Errors
    /// [`Error::Map`] as the kernel says.
    pub fn part(&mut self, pair: Pair) -> Result<bool, Error> {
        let mut map: HashMap<_, SpliceKey, SpliceEnd> = self.0.map_mut(PAIRS)?;
        let mut any = false;
        for (key, _) in pair.entries() {
            any |= found(map.remove(&key)).map_err(at(PAIRS))?;
        }
        Ok(any)
    }

    /// The pairs that were put in force, also those whose time is over, each with its end as
    /// [`Self::join`] was given it.
    ///
    /// # Errors
    /// [`Error::Map`] as the kernel says.
    pub fn pairs(&self) -> Result<Vec<(Pair, u64)>, Error> {
        let map: HashMap<_, SpliceKey, SpliceEnd> = self.0.map(PAIRS)?;
        let pairs = map.iter().map(|entry| {
            let (key, end) = entry.map_err(at(PAIRS))?;
            Ok(decode(&key, end))
        });
        pairs.filter_map(Result::transpose).collect()
    }

    /// What left the pods of these pairs that way, by link, of all processors.
    ///
    /// # Errors
    /// [`Error::Map`] as the kernel says.
    pub fn counts(&self) -> Result<Vec<(u32, Count)>, Error> {
        let map: PerCpuHashMap<_, u32, Count> = self.0.map(COUNTS)?;
        let counts = map.iter().map(|entry| {
            let (ifindex, values) = entry.map_err(at(COUNTS))?;
            Ok((ifindex, sum(values.iter().copied())))
        });
        counts.collect()
    }

    /// Forgets what was counted of a pod whose link is gone: the next one may get its number.
    ///
    /// # Errors
    /// [`Error::Map`] as the kernel says.
    pub fn forget(&mut self, ifindex: u32) -> Result<bool, Error> {
        let mut map: PerCpuHashMap<_, u32, Count> = self.0.map_mut(COUNTS)?;
        found(map.remove(&ifindex)).map_err(at(COUNTS))
    }

    /// Runs it on one frame, which goes nowhere.
    ///
    /// # Errors
    /// [`Error::Program`] for a frame that the kernel cannot make, or an interface that is not there.
    pub fn run(&mut self, frame: &[u8], arrival: Arrival) -> Result<Action, Error> {
        self.0.run_tc(PROGRAM, frame, arrival)
    }

    fn count(&mut self, ifindex: u32) -> Result<(), Error> {
        let mut map: PerCpuHashMap<_, u32, Count> = self.0.map_mut(COUNTS)?;
        match map.get(&ifindex, 0) {
            Ok(_) => return Ok(()),
            Err(MapError::KeyNotFound) => {}
            Err(error) => return Err(at(COUNTS)(error)),
        }
        let processors = nr_cpus().map_err(|(_, error)| at(COUNTS)(error.into()))?;
        let zeros = PerCpuValues::try_from(vec![Count::default(); processors])
            .map_err(|error| at(COUNTS)(error.into()))?;
        map.insert(ifindex, zeros, 0).map_err(at(COUNTS))
    }
}

impl Pair {
    /// Both ways, each with the link that it leads to.
    fn entries(self) -> [(SpliceKey, u32); 2] {
        let way = |from: End, to: End, serves| {
            let key = SpliceKey {
                ifindex: from.ifindex,
                own: mapped(from.address),
                peer: mapped(to.address),
                port: self.port,
                serves,
                reserved: 0,
            };
            (key, to.ifindex)
        };
        [
            way(self.client, self.server, 0),
            way(self.server, self.client, 1),
        ]
    }
}

/// The pair of a client's entry and its end; `None` for the server's, which says the same.
fn decode(key: &SpliceKey, end: SpliceEnd) -> Option<(Pair, u64)> {
    let pair = Pair {
        client: End {
            ifindex: key.ifindex,
            address: unmapped(key.own),
        },
        server: End {
            ifindex: end.ifindex,
            address: unmapped(key.peer),
        },
        port: key.port,
    };
    (key.serves == 0).then_some((pair, end.until_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_read_back_from_its_clients_entry_alone() {
        let end = |ifindex, address: &str| End {
            ifindex,
            address: address.parse().unwrap(),
        };
        let pair = Pair {
            client: end(7, "10.0.0.1"),
            server: end(9, "10.0.0.2"),
            port: 5432,
        };
        let [(client, to_server), (server, to_client)] = pair.entries();
        assert_eq!((to_server, to_client), (9, 7));
        let to = |ifindex| SpliceEnd {
            until_ns: 1,
            ifindex,
            reserved: 0,
        };
        assert_eq!(decode(&client, to(to_server)), Some((pair, 1)));
        assert_eq!(decode(&server, to(to_client)), None);
    }
}
