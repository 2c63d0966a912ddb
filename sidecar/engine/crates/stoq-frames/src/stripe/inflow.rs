//! From the lanes to the application: reassembly by offset within a window.

use std::collections::BTreeMap;

use bytes::Bytes;
use stoq_wire::stripe::{FIRST_LIMIT, MAX_CHUNK, MAX_CHUNKS, TOLD_BYTES};

use super::Fault;

/// The peer is told again when so many chunks were handed on since: a quarter of what it may have on
/// the way, lest it wait for the word of bytes that were few.
const TOLD_CHUNKS: usize = MAX_CHUNKS / 4;

/// What there is of a direction.
#[derive(Debug)]
pub(super) struct Inflow {
    /// Most bytes that are kept.
    window: u64,
    /// Bytes that were handed on.
    handed: u64,
    /// What was not handed on yet, by offset.
    waiting: BTreeMap<u64, Bytes>,
    /// Bytes of the direction, once known.
    size: Option<u64>,
    /// Whether the end was handed on, too.
    ended: bool,
    /// Whether anything has come.
    begun: bool,
    /// The limit that the peer was told, or has without being told.
    limit: u64,
    /// What the peer was told to have come.
    told: u64,
    /// Chunks handed on since.
    since: usize,
    /// Whether the peer is to be told at once.
    due: bool,
}

impl Inflow {
    /// A direction of which the peer knows the first limit. It is told the window at once.
    pub(super) fn new(window: u64) -> Self {
        Self {
            window: window.max(FIRST_LIMIT),
            handed: 0,
            waiting: BTreeMap::new(),
            size: None,
            ended: false,
            begun: false,
            limit: FIRST_LIMIT,
            told: 0,
            since: 0,
            due: true,
        }
    }

    /// Takes data that came on some lane, once or more often.
    pub(super) fn data(&mut self, offset: u64, data: Bytes) -> Result<(), Fault> {
        self.begun = true;
        let end = offset + data.len() as u64;
        if end > self.limit {
            let limit = self.limit;
            return Err(Fault::Limit { end, limit });
        }
        if end <= self.handed {
            return Ok(());
        }
        let known = self.waiting.get(&offset);
        if known.is_some_and(|known| known.len() == data.len()) {
            return Ok(());
        }
        if self.size.is_some_and(|size| end > size) {
            return Err(Fault::End(end));
        }
        let before = self.waiting.range(..end).next_back();
        let overlaps = before.is_some_and(|(at, known)| at + known.len() as u64 > offset);
        if overlaps || offset < self.handed {
            return Err(Fault::Overlap(offset));
        }
        if self.waiting.len() >= MAX_CHUNKS {
            return Err(Fault::Chunks);
        }
        // A copy of what is short, for it may be a part of a large buffer, which it would hold.
        let data = match data.len() < MAX_CHUNK / 2 {
            true => Bytes::copy_from_slice(&data),
            false => data,
        };
        self.waiting.insert(offset, data);
        Ok(())
    }

    /// Takes the end, once or more often.
    pub(super) fn end(&mut self, size: u64) -> Result<(), Fault> {
        self.begun = true;
        let last = self.waiting.last_key_value();
        let there = last.map_or(self.handed, |(at, data)| at + data.len() as u64);
        if size < there || self.size.is_some_and(|known| known != size) {
            return Err(Fault::End(size));
        }
        self.size = Some(size);
        Ok(())
    }

    /// The next bytes in order, if they are there.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let data = self.waiting.remove(&self.handed)?;
        self.handed += data.len() as u64;
        self.since += 1;
        Some(data)
    }

    pub(super) fn at_end(&self) -> bool {
        !self.ended && self.size == Some(self.handed)
    }

    pub(super) fn end_told(&mut self) {
        if self.at_end() {
            self.ended = true;
            self.due = true;
        }
    }

    pub(super) const fn is_ended(&self) -> bool {
        self.ended
    }

    pub(super) const fn begun(&self) -> bool {
        self.begun
    }

    /// What the peer was told last may not have come.
    pub(super) fn tell_again(&mut self) {
        self.due = true;
    }

    const fn received(&self) -> u64 {
        self.handed + self.ended as u64
    }

    /// Whether the peer is to be told something.
    pub(super) const fn is_due(&self) -> bool {
        let much = self.received() - self.told >= TOLD_BYTES;
        self.due || much || self.since >= TOLD_CHUNKS
    }

    /// What the peer is to be told now: bytes handed on, the end counted as one, and the limit. A
    /// sender may keep to less than the limit, so the window does not say when that is due.
    pub(super) fn report(&mut self) -> Option<(u64, u64)> {
        if !self.is_due() {
            return None;
        }
        let received = self.received();
        self.due = false;
        self.since = 0;
        self.told = received;
        self.limit = self.limit.max(self.handed + self.window);
        Some((received, self.limit))
    }
}
