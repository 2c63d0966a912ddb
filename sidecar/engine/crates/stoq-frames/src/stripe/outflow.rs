//! From the application to the lanes.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use stoq_wire::stripe::{FIRST_LIMIT, MAX_CHUNK, MAX_CHUNKS, MAX_LANES, Record};

use super::Fault;

/// Bytes that a lane may always have: less would leave packets half empty.
const LEAST_SHARE: u64 = 2 * MAX_CHUNK as u64;

/// A chunk that the peer has not said to have.
#[derive(Debug)]
struct Chunk {
    data: Bytes,
    /// The lane that it went on last; none while it waits for one.
    lane: Option<u8>,
}

/// The end of the direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The application may say more.
    Open,
    /// It waits for a lane.
    Due,
    /// It went on this lane.
    Sent(u8),
    /// The peer has it.
    Known,
}

/// What there is of a direction.
#[derive(Debug)]
pub(super) struct Outflow {
    /// Most bytes that are kept until the peer says to have them, whatever limit it says.
    window: u64,
    /// Bytes that the application has said.
    size: u64,
    /// Bytes that went on some lane, once or more often.
    sent: u64,
    /// Whether the end did.
    end_sent: bool,
    /// Bytes that the peer has handed on.
    received: u64,
    /// No chunk may end behind it.
    limit: u64,
    /// Chunks that the peer has not said to have, by offset.
    chunks: BTreeMap<u64, Chunk>,
    /// Which of them wait for a lane, in the order in which they are to go.
    waiting: VecDeque<u64>,
    /// Bytes of the chunks that each lane has.
    carried: [u64; MAX_LANES as usize],
    end: End,
    /// Whether the peer has said anything.
    heard: bool,
}

impl Outflow {
    /// A direction that has so much kept for it.
    pub(super) fn new(window: u64) -> Self {
        Self {
            window: window.max(FIRST_LIMIT),
            size: 0,
            sent: 0,
            end_sent: false,
            received: 0,
            limit: FIRST_LIMIT,
            chunks: BTreeMap::new(),
            waiting: VecDeque::new(),
            carried: [0; MAX_LANES as usize],
            end: End::Open,
            heard: false,
        }
    }

    /// No chunk goes that ends behind it.
    fn bound(&self) -> u64 {
        self.limit.min(self.received + self.window)
    }

    /// Bytes that may be handed in.
    pub(super) fn room(&self) -> usize {
        if self.end != End::Open || self.chunks.len() >= MAX_CHUNKS {
            return 0;
        }
        let room = self.bound().saturating_sub(self.size);
        usize::try_from(room).unwrap_or(usize::MAX)
    }

    /// Takes a chunk.
    pub(super) fn push(&mut self, data: Bytes) {
        debug_assert!(data.len() <= self.room().min(MAX_CHUNK));
        if data.is_empty() {
            return;
        }
        let offset = self.size;
        self.size += data.len() as u64;
        self.chunks.insert(offset, Chunk { data, lane: None });
        self.waiting.push_back(offset);
    }

    pub(super) fn finish(&mut self) {
        if self.end == End::Open {
            self.end = End::Due;
        }
    }

    pub(super) fn ahead(&self) -> usize {
        self.waiting.len()
    }

    /// Whether something waits for a lane.
    pub(super) fn is_due(&self) -> bool {
        !self.waiting.is_empty() || self.end == End::Due
    }

    /// What goes next on a lane, of so many.
    pub(super) fn next(&mut self, lane: u8, lanes: u32) -> Option<Record> {
        let carried = self.carried.get(usize::from(lane)).copied();
        let share = (self.bound() - self.received) / u64::from(lanes.max(1));
        if carried.is_none_or(|carried| carried >= share.max(LEAST_SHARE)) {
            return None;
        }
        while let Some(offset) = self.waiting.pop_front() {
            // The word that it has come may have been faster than the loss of its lane.
            if let Some(chunk) = self.chunks.get_mut(&offset) {
                chunk.lane = Some(lane);
                self.carried[usize::from(lane)] += chunk.data.len() as u64;
                let data = chunk.data.clone();
                self.sent = self.sent.max(offset + data.len() as u64);
                return Some(Record::Data { offset, data });
            }
        }
        if self.end == End::Due {
            self.end = End::Sent(lane);
            self.end_sent = true;
            return Some(Record::End { size: self.size });
        }
        None
    }

    /// What a lane may not have brought waits for another, before all that never went: the peer
    /// waits for it.
    pub(super) fn lost(&mut self, lane: u8) {
        if let Some(carried) = self.carried.get_mut(usize::from(lane)) {
            *carried = 0;
        }
        for (offset, chunk) in self.chunks.iter_mut().rev() {
            if chunk.lane == Some(lane) {
                chunk.lane = None;
                self.waiting.push_front(*offset);
            }
        }
        if self.end == End::Sent(lane) {
            self.end = End::Due;
        }
    }

    /// The peer's word. Words may come in any order: the largest holds.
    pub(super) fn received(&mut self, received: u64, limit: u64) -> Result<(), Fault> {
        if received > self.sent + u64::from(self.end_sent) {
            return Err(Fault::Received(received));
        }
        self.heard = true;
        self.limit = self.limit.max(limit);
        if received > self.size {
            self.end = End::Known;
        }
        self.received = self.received.max(received.min(self.size));
        while let Some(first) = self.chunks.first_entry() {
            if first.key() + first.get().data.len() as u64 > self.received {
                break;
            }
            let chunk = first.remove();
            if let Some(lane) = chunk.lane {
                self.carried[usize::from(lane)] -= chunk.data.len() as u64;
            }
        }
        Ok(())
    }

    /// The peer is known to have everything, if everything went.
    pub(super) fn finish_without_word(&mut self) -> bool {
        if self.end_sent {
            self.end = End::Known;
            self.received = self.size;
            self.chunks.clear();
            self.carried = [0; MAX_LANES as usize];
            self.waiting.clear();
        }
        self.end_sent
    }

    pub(super) const fn heard(&self) -> bool {
        self.heard
    }

    pub(super) const fn is_finished(&self) -> bool {
        matches!(self.end, End::Known)
    }
}
