//! Seeds: what is copied, and when a copy is given up (wire format, section 15).

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use stoq_wire::frame::seed::WHOLE;

use crate::sha256;

/// How long a peer is left alone after its first failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Whether something with this id is copied, at a share of so many of ten thousand (M2).
#[must_use]
pub fn is_copied(id: &[u8; 16], share: u16) -> bool {
    let hash = sha256(id);
    let first = hash.first_chunk().expect("SHA-256 has 32 bytes");
    u64::from_be_bytes(*first) % u64::from(WHOLE) < u64::from(share)
}

/// What waits to be sent to one shadow peer. Nobody ever waits for it (M4), and no copy for another.
#[derive(Debug)]
pub struct SeedQueue {
    /// Most bytes that wait.
    bytes: usize,
    /// Most copies at once.
    copies: usize,
    open: HashMap<u64, Copied>,
    kept: usize,
    pause: Duration,
    /// Nothing is begun before.
    resume: Option<Instant>,
}

/// One copy.
#[derive(Debug, Default)]
struct Copied {
    waiting: VecDeque<Bytes>,
    kept: usize,
    /// The original has ended.
    finished: bool,
}

/// What a copy sends next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// These bytes.
    Data(Bytes),
    /// Nothing yet.
    Nothing,
    /// Its end: it is whole.
    End,
}

impl SeedQueue {
    /// A queue of at most `bytes` bytes, for at most `copies` at once. A piece counts for 64 at least.
    #[must_use]
    pub fn new(bytes: usize, copies: usize) -> Self {
        Self {
            bytes,
            copies,
            open: HashMap::new(),
            kept: 0,
            pause: Duration::ZERO,
            resume: None,
        }
    }

    /// Begins a copy that the caller numbers. False if it is not to be made: by a pause, or for
    /// their number.
    pub fn begin(&mut self, copy: u64, now: Instant) -> bool {
        if self.is_paused(now) || self.open.len() >= self.copies {
            return false;
        }
        self.open.insert(copy, Copied::default()).is_none()
    }

    /// Adds to a copy. False if it does not fit, or there is no such copy any more: one that does
    /// not fit is given up as a whole; reset its stream with `cancelled`.
    pub fn push(&mut self, copy: u64, data: Bytes) -> bool {
        let weight = weight(&data);
        if self.kept + weight > self.bytes {
            self.end(copy);
            return false;
        }
        let Some(found) = self.open.get_mut(&copy) else {
            return false;
        };
        found.kept += weight;
        self.kept += weight;
        found.waiting.push_back(data);
        true
    }

    /// What a copy sends next; [`Next::Nothing`] for one that is not there.
    pub fn next(&mut self, copy: u64) -> Next {
        let Some(found) = self.open.get_mut(&copy) else {
            return Next::Nothing;
        };
        match found.waiting.pop_front() {
            Some(data) => {
                found.kept -= weight(&data);
                self.kept -= weight(&data);
                Next::Data(data)
            }
            None if found.finished => Next::End,
            None => Next::Nothing,
        }
    }

    /// The original has ended. What waits is still sent.
    pub fn finish(&mut self, copy: u64) {
        if let Some(found) = self.open.get_mut(&copy) {
            found.finished = true;
        }
    }

    /// Whether the original of this copy has ended.
    #[must_use]
    pub fn is_finished(&self, copy: u64) -> bool {
        self.open.get(&copy).is_some_and(|found| found.finished)
    }

    /// The copy is over or given up, and what waits of it. False if there was no such copy.
    pub fn end(&mut self, copy: u64) -> bool {
        let ended = self.open.remove(&copy);
        self.kept -= ended.as_ref().map_or(0, |ended| ended.kept);
        ended.is_some()
    }

    /// The peer failed: all copies end, and none is begun for a while. Returns those that were open.
    ///
    /// What fails within the pause belongs to the same failure.
    pub fn failed(&mut self, now: Instant) -> Vec<u64> {
        if !self.is_paused(now) {
            self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            self.resume = Some(now + self.pause);
        }
        self.kept = 0;
        self.open.drain().map(|(copy, _)| copy).collect()
    }

    /// The peer took a copy: the next failure is the first again.
    pub const fn succeeded(&mut self) {
        self.pause = Duration::ZERO;
        self.resume = None;
    }

    fn is_paused(&self, now: Instant) -> bool {
        self.resume.is_some_and(|at| now < at)
    }

    /// Whether nothing is left to remember: no copy, and no failure or none for long.
    #[must_use]
    pub fn is_idle(&self, now: Instant) -> bool {
        let remembered = self.resume.is_some_and(|at| now < at + LONGEST_PAUSE);
        self.open.is_empty() && !remembered
    }

    /// Bytes that wait, a piece of less than 64 as 64.
    #[must_use]
    pub const fn kept(&self) -> usize {
        self.kept
    }
}

/// What a piece counts for: to keep it takes as much even if it is shorter, and whoever sends single
/// bytes could else have us keep eighty times what the queue may.
fn weight(data: &Bytes) -> usize {
    const LEAST: usize = 64;
    data.len().max(LEAST)
}
