//! Issues connection IDs of the layout in [`stoq_wire::cid`].

use std::time::Duration;

use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};
use rand_core::{OsRng, RngCore};
use stoq_wire::cid::{CID_LEN, ConnectionIdLayout};

use crate::worker::Mark;

/// Random connection IDs drawn from the kernel at once; a draw is a system call.
const BATCH: usize = 64;

/// Length of the random part.
const RANDOM: usize = CID_LEN - 2;

/// Generates `worker | generation | random`.
///
/// The random part comes from the kernel's generator: an observer who could
/// predict it could match connection IDs to each other (RFC 9000, 5.1).
pub(crate) struct StoqConnectionIds {
    worker: u8,
    generation: u8,
    /// What no connection ID begins its random part with: ids beside tunnels do.
    reserved: Mark,
    pool: [u8; BATCH * RANDOM],
    used: usize,
}

impl StoqConnectionIds {
    pub(crate) fn new(worker: u8, generation: u8, reserved: Mark) -> Self {
        let pool = [0; BATCH * RANDOM];
        let used = pool.len();
        Self {
            worker,
            generation,
            reserved,
            pool,
            used,
        }
    }

    fn random(&mut self) -> [u8; RANDOM] {
        if self.used == self.pool.len() {
            OsRng.fill_bytes(&mut self.pool);
            self.used = 0;
        }
        let mut random = [0; RANDOM];
        random.copy_from_slice(&self.pool[self.used..self.used + RANDOM]);
        self.used += RANDOM;
        random
    }
}

impl ConnectionIdGenerator for StoqConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut random = self.random();
        while self.reserved.begins(&random) {
            random = self.random();
        }
        let layout = ConnectionIdLayout {
            worker: self.worker,
            generation: self.generation,
            random,
        };
        ConnectionId::new(&layout.encode())
    }

    /// IDs of another generation are ours to answer by a stateless reset; those of
    /// another worker are not, and never come here unless forwarding failed.
    fn validate(&self, cid: &ConnectionId) -> Result<(), InvalidCid> {
        match ConnectionIdLayout::decode(cid) {
            Some(layout) if layout.worker == self.worker => Ok(()),
            _ => Err(InvalidCid),
        }
    }

    fn cid_len(&self) -> usize {
        CID_LEN
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// The worker that owns `datagram`, out of `workers`.
///
/// `None`: no connection ID, so whoever received it may keep it. A client's first
/// Initial has a random connection ID; the same rule sends it, its retransmissions
/// and the second half of its ClientHello to one worker.
pub(crate) fn owner_of(datagram: &[u8], workers: usize) -> Option<usize> {
    stoq_wire::cid::worker_of(datagram).map(|worker| usize::from(worker) % workers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issued_id_names_its_worker_and_generation() {
        let mut ids = StoqConnectionIds::new(3, 9, Mark::default());
        let layout = ConnectionIdLayout::decode(&ids.generate_cid()).unwrap();
        assert_eq!((layout.worker, layout.generation), (3, 9));
    }

    #[test]
    fn ids_differ_beyond_one_draw_from_the_kernel() {
        let mut ids = StoqConnectionIds::new(0, 0, Mark::default());
        let issued: std::collections::HashSet<Vec<u8>> = (0..3 * BATCH)
            .map(|_| ids.generate_cid().to_vec())
            .collect();
        assert_eq!(issued.len(), 3 * BATCH);
    }

    #[test]
    fn only_ids_of_this_worker_are_valid() {
        let ids = StoqConnectionIds::new(1, 0, Mark::default());
        let other = ConnectionIdLayout {
            worker: 0,
            generation: 0,
            random: [0; RANDOM],
        };
        assert!(ids.validate(&ConnectionId::new(&other.encode())).is_err());
        assert!(ids.validate(&ConnectionId::new(&[1, 2])).is_err());
        let older = ConnectionIdLayout {
            worker: 1,
            generation: 7,
            random: [0; RANDOM],
        };
        assert!(ids.validate(&ConnectionId::new(&older.encode())).is_ok());
    }
}
