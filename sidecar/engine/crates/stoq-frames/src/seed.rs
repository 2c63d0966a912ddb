//! Seeds: what is copied, and when a copy is given up (wire format, section 15).

use std::collections::{HashSet, VecDeque};
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

/// What waits to be sent to one shadow peer. Nobody ever waits for it (M4).
#[derive(Debug)]
pub struct SeedQueue {
    /// Most bytes that wait.
    bytes: usize,
    /// Most copies at once.
    copies: usize,
    waiting: VecDeque<(u64, Bytes)>,
    kept: usize,
    /// Copies that are whole so far.
    open: HashSet<u64>,
    pause: Duration,
    /// Nothing is begun before.
    resume: Option<Instant>,
    /// Copies that were given up because they did not fit.
    pub dropped: u64,
    /// Copies that were not begun, by a pause or for their number.
    pub skipped: u64,
}

impl SeedQueue {
    /// A queue of at most `bytes` bytes, for at most `copies` at once.
    #[must_use]
    pub fn new(bytes: usize, copies: usize) -> Self {
        Self {
            bytes,
            copies,
            waiting: VecDeque::new(),
            kept: 0,
            open: HashSet::new(),
            pause: Duration::ZERO,
            resume: None,
            dropped: 0,
            skipped: 0,
        }
    }

    /// Begins a copy that the caller numbers. False if it is not to be made.
    pub fn begin(&mut self, copy: u64, now: Instant) -> bool {
        let paused = self.resume.is_some_and(|at| now < at);
        if paused || self.open.len() >= self.copies {
            self.skipped += 1;
            return false;
        }
        self.open.insert(copy)
    }

    /// Adds to a copy. False if there is no such copy any more: one that does not fit is given up
    /// as a whole; reset its stream with `cancelled`.
    pub fn push(&mut self, copy: u64, data: Bytes) -> bool {
        if !self.open.contains(&copy) {
            return false;
        }
        if self.kept + data.len() > self.bytes {
            self.dropped += 1;
            self.end(copy);
            return false;
        }
        self.kept += data.len();
        self.waiting.push_back((copy, data));
        true
    }

    /// What is sent next, and for which copy.
    pub fn pop(&mut self) -> Option<(u64, Bytes)> {
        let next = self.waiting.pop_front()?;
        self.kept -= next.1.len();
        Some(next)
    }

    /// The original has ended. What waits is still sent.
    pub fn finish(&mut self, copy: u64) {
        self.open.remove(&copy);
    }

    /// The copy is given up, and what waits of it.
    pub fn end(&mut self, copy: u64) {
        self.open.remove(&copy);
        self.waiting.retain(|(of, _)| *of != copy);
        self.kept = self.waiting.iter().map(|(_, data)| data.len()).sum();
    }

    /// The peer failed: all copies end, and none is begun for a while. Returns those that were open.
    pub fn failed(&mut self, now: Instant) -> Vec<u64> {
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.resume = Some(now + self.pause);
        self.waiting.clear();
        self.kept = 0;
        self.open.drain().collect()
    }

    /// The peer took a copy: the next failure is the first again.
    pub const fn succeeded(&mut self) {
        self.pause = Duration::ZERO;
        self.resume = None;
    }

    /// Bytes that wait.
    #[must_use]
    pub const fn kept(&self) -> usize {
        self.kept
    }
}
