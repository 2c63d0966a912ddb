//! `tc_account`: bytes and packets of each pod, by peer, direction and class.

use std::net::IpAddr;

use aya::maps::PerCpuHashMap;

use crate::address::unmapped;
use crate::attach::Attached;
use crate::error::Error;
use crate::load::Loaded;
use crate::maps::at;
use crate::numbers::{Class, Direction};
use crate::object::Object;
use crate::pins::Pins;
use crate::run::{Action, Arrival};
use crate::shared::{AccountCount, AccountEntry};

const PEERS: &str = "account_peers";

/// Whose traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AccountKey {
    /// Index of the host's end of the pod's link.
    pub ifindex: u32,
    /// The other side; `::` for what cannot be read.
    pub peer: IpAddr,
    /// Which way.
    pub direction: Direction,
    /// What it was.
    pub class: Class,
}

/// How much, of all processors, since the pair was first seen or last forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accounted {
    /// Packets as the wire would carry them.
    pub packets: u64,
    /// Bytes behind the UDP or TCP header, or behind IP's for other protocols.
    pub payload_bytes: u64,
}

/// The accounts, in the kernel.
#[derive(Debug)]
pub struct Account(Loaded);

impl Account {
    /// Loads it; with `pins`, over the accounts that are there.
    ///
    /// # Errors
    /// As the variants of [`Error`] say.
    pub fn load(pins: Option<&Pins>) -> Result<Self, Error> {
        Ok(Self(Loaded::load(Object::Account, pins)?))
    }

    /// Attaches both directions to the host's end of a pod's link.
    ///
    /// # Errors
    /// As the variants of [`Error`] say.
    pub fn attach(&mut self, ifindex: u32) -> Result<Attached, Error> {
        self.0.attach_both(program, ifindex)
    }

    /// Detaches both; false if none was there.
    ///
    /// # Errors
    /// [`Error::Pins`] if a pin cannot be removed.
    pub fn detach(&self, ifindex: u32) -> Result<bool, Error> {
        self.0.detach_both(program, ifindex)
    }

    /// Forgets the pinned maps of other versions, once all links run this one.
    ///
    /// # Errors
    /// [`Error::Pins`].
    pub fn sweep(&self) -> Result<(), Error> {
        self.0.sweep()
    }

    /// All accounts; at most 16,384, the least recently used are forgotten.
    ///
    /// # Errors
    /// [`Error::Map`] as the kernel says.
    pub fn read(&self) -> Result<Vec<(AccountKey, Accounted)>, Error> {
        let map: PerCpuHashMap<_, AccountEntry, AccountCount> = self.0.map(PEERS)?;
        let mut accounts = Vec::new();
        for entry in map.iter() {
            let (key, values) = entry.map_err(at(PEERS))?;
            let sum = values
                .iter()
                .fold(Accounted::default(), |sum, one| Accounted {
                    packets: sum.packets + one.packets,
                    payload_bytes: sum.payload_bytes + one.payload_bytes,
                });
            accounts.extend(decode(&key).map(|key| (key, sum)));
        }
        Ok(accounts)
    }

    /// Runs one direction on one frame.
    ///
    /// # Errors
    /// [`Error::Program`] for a frame that the kernel cannot make, or an interface that is not there.
    pub fn run(
        &mut self,
        direction: Direction,
        frame: &[u8],
        arrival: Arrival,
    ) -> Result<Action, Error> {
        self.0.run_tc(program(direction), frame, arrival)
    }
}

const fn program(direction: Direction) -> &'static str {
    match direction {
        Direction::ToPod => "account_to_pod",
        Direction::FromPod => "account_from_pod",
    }
}

/// `None` for numbers that the program never writes.
fn decode(key: &AccountEntry) -> Option<AccountKey> {
    Some(AccountKey {
        ifindex: key.ifindex,
        peer: unmapped(key.peer),
        direction: *Direction::ALL.get(usize::from(key.direction))?,
        class: *Class::ALL.get(usize::from(key.class))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_and_one_with_foreign_numbers_is_left_out() {
        let key = AccountEntry {
            ifindex: 7,
            peer: crate::address::mapped("10.0.0.1".parse().unwrap()),
            direction: 1,
            class: 3,
            reserved: 0,
        };
        let read = decode(&key).unwrap();
        assert_eq!(read.peer.to_string(), "10.0.0.1");
        assert_eq!(
            (read.direction, read.class),
            (Direction::FromPod, Class::Udp)
        );
        assert_eq!(decode(&AccountEntry { class: 9, ..key }), None);
        assert_eq!(
            decode(&AccountEntry {
                direction: 2,
                ..key
            }),
            None
        );
    }
}
