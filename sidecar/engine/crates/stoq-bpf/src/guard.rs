//! `xdp_guard` and `tc_guard`: what pretends to be STOQ is dropped at the node's uplink.

use std::net::IpAddr;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, PerCpuArray};

use crate::address::{Network, unmapped};
use aya::programs::TcAttachType;
use aya::programs::xdp::XdpMode;

use crate::attach::{Attached, Hook};
use crate::error::Error;
use crate::limits::Limits;
use crate::load::Loaded;
use crate::maps::{at, found, sum};
use crate::numbers::numbers;
use crate::object::Object;
use crate::pins::Pins;
use crate::run::{Action, Arrival};
use crate::shared::{Bucket, Count, GuardConfig};

const CONFIG: &str = "guard_config";
const COUNTS: &str = "guard_counts";
const SOURCES: &str = "guard_sources";
const BUCKETS: &str = "guard_buckets";
const CEILING: &str = "guard_ceiling";

numbers! {
    /// What became of a packet.
    Verdict = "STOQ_VERDICT_" {
        /// Passed: not for a STOQ port, or left to the stack to refuse.
        Other = 0 "OTHER",
        /// Passed: STOQ, not the first packet of a handshake.
        Stoq = 1 "STOQ",
        /// Passed: an Initial within its rate.
        Initial = 2 "INITIAL",
        /// Passed: an Initial of an allowed source.
        Listed = 3 "LISTED",
        /// Dropped: no QUIC packet, or headers that hide what it is.
        Malformed = 4 "MALFORMED",
        /// Dropped: a version that STOQ does not speak.
        Version = 5 "VERSION",
        /// Dropped: 0-RTT (wire-format H7).
        ZeroRtt = 6 "ZERO_RTT",
        /// Dropped: the first fragment of a datagram to a STOQ port.
        Fragment = 7 "FRAGMENT",
        /// Dropped: the source is denied, or on no list where only listed ones are allowed.
        Denied = 8 "DENIED",
        /// Dropped: the source's prefix is over its rate.
        SourceRate = 9 "SOURCE_RATE",
        /// Dropped: all sources together are over the ceiling.
        Ceiling = 10 "CEILING",
    }
}

/// What is known of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Its Initials are not limited; their form is checked all the same.
    Allow = 1,
    /// Nothing of it reaches a STOQ port.
    Deny = 2,
}

/// At which of the kernel's hooks a guard looks: a program of its own each, with maps of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// XDP: `xdp_guard`.
    Xdp,
    /// tc, of what comes in: `tc_guard`.
    Tc,
}

/// How a guard is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardMode {
    /// XDP in the driver. On a veth it ends GSO for the other end.
    Native,
    /// XDP in the kernel, which makes room in front of every packet first and copies it for that.
    Generic,
    /// tc.
    Tc,
}

/// The guard, in the kernel.
#[derive(Debug)]
pub struct Guard {
    loaded: Loaded,
    stage: Stage,
}

impl Guard {
    /// Loads that of a stage; with `pins`, over the maps of its predecessor.
    ///
    /// # Errors
    /// As the variants of [`Error`] say.
    pub fn load(stage: Stage, pins: Option<&Pins>) -> Result<Self, Error> {
        let loaded = Loaded::load(stage.object(), pins)?;
        Ok(Self { loaded, stage })
    }

    /// Attaches it to an interface, or takes the place of its predecessor there, whose mode stays.
    ///
    /// # Errors
    /// [`Error::Value`] for a mode of the other stage, otherwise as the variants of [`Error`] say; the
    /// kernel refuses a mode that the driver does not know.
    pub fn attach(&mut self, ifindex: u32, mode: GuardMode) -> Result<Attached, Error> {
        let (stage, hook) = match mode {
            GuardMode::Native => (Stage::Xdp, Hook::Xdp(XdpMode::Driver)),
            GuardMode::Generic => (Stage::Xdp, Hook::Xdp(XdpMode::Skb)),
            GuardMode::Tc => (Stage::Tc, Hook::Tc(TcAttachType::Ingress)),
        };
        let program = self.program();
        if stage != self.stage {
            return Err(Error::Value(format!(
                "mode {mode:?}: {program} cannot be attached so, the guard of the other stage can"
            )));
        }
        self.loaded.attach(program, ifindex, hook)
    }

    /// Detaches it, within moments; false if it was not there.
    ///
    /// # Errors
    /// [`Error::Pins`] if the pin cannot be removed.
    pub fn detach(&self, ifindex: u32) -> Result<bool, Error> {
        self.loaded.detach(self.program(), ifindex)
    }

    /// Forgets the pinned maps of other versions, once all links run this one.
    ///
    /// # Errors
    /// [`Error::Pins`].
    pub fn sweep(&self) -> Result<(), Error> {
        self.loaded.sweep()
    }

    /// Changes the settings, for the next packet.
    ///
    /// # Errors
    /// [`Error::Value`] for a rate, burst or prefix out of bounds.
    pub fn configure(&mut self, limits: &Limits) -> Result<(), Error> {
        let config = limits.encode()?;
        let mut map: Array<_, GuardConfig> = self.loaded.map_mut(CONFIG)?;
        map.set(0, config, 0).map_err(at(CONFIG))
    }

    /// Puts a source network on a list, in place of what the list said. The longest prefix counts.
    ///
    /// # Errors
    /// [`Error::Map`] if the list is full (16,384 networks).
    pub fn list(&mut self, source: Network, listing: Listing) -> Result<(), Error> {
        let mut map: LpmTrie<_, [u8; 16], u32> = self.loaded.map_mut(SOURCES)?;
        let key = Key::new(source.prefix_bits(), source.octets());
        map.insert(&key, listing as u32, 0).map_err(at(SOURCES))
    }

    /// Takes a source network off the list; false if it was not on it.
    ///
    /// # Errors
    /// [`Error::Map`] as the kernel says.
    pub fn unlist(&mut self, source: Network) -> Result<bool, Error> {
        let mut map: LpmTrie<_, [u8; 16], u32> = self.loaded.map_mut(SOURCES)?;
        let removed = map.remove(&Key::new(source.prefix_bits(), source.octets()));
        found(removed).map_err(at(SOURCES))
    }

    /// The networks on the list, in no order.
    ///
    /// # Errors
    /// [`Error::Map`] as the kernel says.
    pub fn listed(&self) -> Result<Vec<(Network, Listing)>, Error> {
        let map: LpmTrie<_, [u8; 16], u32> = self.loaded.map(SOURCES)?;
        let mut listed = Vec::new();
        for entry in map.iter() {
            let (key, listing) = entry.map_err(at(SOURCES))?;
            let listing = match listing {
                1 => Listing::Allow,
                _ => Listing::Deny,
            };
            let network = Network::from_key(key.prefix_len(), key.data());
            listed.extend(network.map(|network| (network, listing)));
        }
        Ok(listed)
    }

    /// What became of packets since the maps were made, of all processors.
    ///
    /// # Errors
    /// [`Error::Map`] as the kernel says.
    pub fn counts(&self) -> Result<Vec<(Verdict, Count)>, Error> {
        let map: PerCpuArray<_, Count> = self.loaded.map(COUNTS)?;
        let read = |&verdict: &Verdict| {
            let values = map.get(&(verdict as u32), 0).map_err(at(COUNTS))?;
            Ok((verdict, sum(values.iter().copied())))
        };
        Verdict::ALL.iter().map(read).collect()
    }

    /// Packets dropped by source prefix, of the prefixes that are remembered (65,536).
    ///
    /// # Errors
    /// [`Error::Map`] as the kernel says.
    pub fn dropped_by_source(&self) -> Result<Vec<(IpAddr, u64)>, Error> {
        let map: HashMap<_, [u8; 16], Bucket> = self.loaded.map(BUCKETS)?;
        let entries = map.iter().map(|entry| {
            let (source, bucket) = entry.map_err(at(BUCKETS))?;
            Ok((unmapped(source), bucket.dropped))
        });
        entries.collect()
    }

    /// Initials that the ceiling dropped.
    ///
    /// # Errors
    /// [`Error::Map`] as the kernel says.
    pub fn dropped_by_ceiling(&self) -> Result<u64, Error> {
        let map: Array<_, Bucket> = self.loaded.map(CEILING)?;
        Ok(map.get(&0, 0).map_err(at(CEILING))?.dropped)
    }

    /// Runs it on one frame, which is counted like any other.
    ///
    /// # Errors
    /// [`Error::Program`] for a frame that the kernel cannot make: shorter than an Ethernet header, or
    /// longer than 64 KiB.
    pub fn run(&mut self, frame: &[u8]) -> Result<Action, Error> {
        let program = self.program();
        match self.stage {
            Stage::Xdp => self.loaded.run_xdp(program, frame),
            Stage::Tc => self.loaded.run_tc(program, frame, LOOPBACK),
        }
    }

    fn program(&self) -> &'static str {
        self.stage.object().programs()[0]
    }
}

impl Stage {
    const fn object(self) -> Object {
        match self {
            Self::Xdp => Object::Guard,
            Self::Tc => Object::TcGuard,
        }
    }
}

/// The interface that is always there, for a run without a network.
const LOOPBACK: Arrival = Arrival {
    ifindex: 1,
    received_by: 1,
    segments: 0,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::enumerators;

    #[test]
    fn the_numbers_are_those_of_the_header() {
        assert_eq!(enumerators("STOQ_VERDICT_"), Verdict::C_NAMES);
        let listings = [Listing::Allow as u8, Listing::Deny as u8];
        let header = enumerators("STOQ_LISTING_");
        assert_eq!(
            header,
            [
                ("STOQ_LISTING_ALLOW", listings[0]),
                ("STOQ_LISTING_DENY", listings[1])
            ]
        );
    }
}
