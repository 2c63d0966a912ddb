//! A bulk transfer: handed on in order while it comes (D6, D7).

use std::collections::BTreeMap;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use stoq_wire::frame::shard::{Digest, Manifest, Range};

use super::{Refusal, SHARD_COST};
use crate::sha256;

/// What there is of a bulk transfer.
#[derive(Debug, Default)]
pub(super) struct Bulk {
    /// Bytes that were handed on.
    delivered: u64,
    /// SHA-256 of them.
    so_far: Sha256,
    /// Data that is not due yet, by offset.
    waiting: BTreeMap<u64, (Digest, Bytes)>,
    /// What that costs: its bytes, and more for each piece.
    pub(super) cost: usize,
    pub(super) manifest: Option<Manifest>,
}

/// What became of data.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It was due: these are the bytes that can be handed on.
    Due(Vec<Bytes>),
    /// It is kept until it is due.
    Kept,
    /// It was there already.
    Repeated,
    /// There is no room for it now.
    NoRoom,
}

impl Bulk {
    /// Takes data. `room` is how many bytes may be kept beyond what is due.
    pub(super) fn put(
        &mut self,
        offset: u64,
        digest: Digest,
        data: Bytes,
        room: usize,
    ) -> Result<Put, Refusal> {
        if sha256(&data) != digest {
            return Err(Refusal::Corrupt(offset));
        }
        let end = offset + data.len() as u64;
        if end <= self.delivered {
            return Ok(Put::Repeated);
        }
        if let Some((known, kept)) = self.waiting.get(&offset)
            && *known == digest
            && kept.len() == data.len()
        {
            return Ok(Put::Repeated);
        }
        if self.overlaps(offset, end) {
            return Err(Refusal::Overlap(offset));
        }
        if offset == self.delivered {
            return Ok(Put::Due(self.deliver(data)));
        }
        if data.len() + SHARD_COST > room {
            return Ok(Put::NoRoom);
        }
        self.cost += data.len() + SHARD_COST;
        // A copy, for the data may be a part of a large buffer, which it would hold.
        self.waiting
            .insert(offset, (digest, Bytes::copy_from_slice(&data)));
        Ok(Put::Kept)
    }

    /// Takes the manifest, which says where the transfer ends.
    pub(super) fn end(&mut self, manifest: Manifest) -> Result<(), Refusal> {
        let last = self.waiting.last_key_value();
        let there = last.map_or(self.delivered, |(at, (_, data))| at + data.len() as u64);
        if there > manifest.size {
            return Err(Refusal::Overlap(manifest.size));
        }
        self.manifest = Some(manifest);
        Ok(())
    }

    /// Whether all was handed on, and is what the manifest says.
    pub(super) fn is_whole(&self) -> Result<bool, Refusal> {
        match &self.manifest {
            Some(manifest) if manifest.size == self.delivered => {
                match <[u8; 32]>::from(self.so_far.clone().finalize()) == manifest.digest {
                    true => Ok(true),
                    false => Err(Refusal::Whole),
                }
            }
            _ => Ok(false),
        }
    }

    /// What is missing, at most `most` ranges; the last one has no end while there is no manifest.
    pub(super) fn missing(&self, most: usize) -> Vec<Range> {
        let end = self
            .manifest
            .as_ref()
            .map_or(stoq_wire::varint::MAX, |known| known.size);
        let mut next = self.delivered;
        let mut found = Vec::new();
        for (at, (_, data)) in &self.waiting {
            if *at > next {
                found.push(Range {
                    offset: next,
                    length: at - next,
                });
            }
            next = at + data.len() as u64;
        }
        if next < end {
            found.push(Range {
                offset: next,
                length: end - next,
            });
        }
        found.truncate(most);
        found
    }

    fn overlaps(&self, offset: u64, end: u64) -> bool {
        let beyond = self.manifest.as_ref().is_some_and(|known| end > known.size);
        let before = self.waiting.range(..end).next_back();
        let kept = before.is_some_and(|(at, (_, data))| at + data.len() as u64 > offset);
        beyond || kept || offset < self.delivered
    }

    fn deliver(&mut self, data: Bytes) -> Vec<Bytes> {
        let mut due = Vec::new();
        let mut next = Some(data);
        while let Some(data) = next {
            self.so_far.update(&data);
            self.delivered += data.len() as u64;
            due.push(data);
            next = self.waiting.remove(&self.delivered).map(|(_, data)| data);
            self.cost -= next.as_ref().map_or(0, |data| data.len() + SHARD_COST);
        }
        due
    }
}
