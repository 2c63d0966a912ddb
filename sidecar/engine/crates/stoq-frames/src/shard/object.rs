//! An object that comes in shards (D3 to D5).

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use stoq_wire::frame::shard::{Manifest, Range};

use super::Refusal;
use crate::sha256;

/// What there is of an object.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) manifest: Manifest,
    shards: Vec<Option<Bytes>>,
    missing: usize,
}

impl Object {
    pub(super) fn new(manifest: Manifest) -> Self {
        let missing = manifest.digests.len();
        Self {
            manifest,
            shards: vec![None; missing],
            missing,
        }
    }

    /// Puts a shard in its place. False if it is there already.
    pub(super) fn put(&mut self, offset: u64, data: &Bytes) -> Result<bool, Refusal> {
        let length = data.len() as u64;
        let index = offset / self.manifest.shard_size;
        let known = index < self.manifest.count() && self.range(index as usize).offset == offset;
        if !known || self.range(index as usize).length != length {
            return Err(Refusal::NoShard { offset, length });
        }
        let index = index as usize;
        if sha256(data) != self.manifest.digests[index] {
            return Err(Refusal::Corrupt(offset));
        }
        if self.shards[index].is_some() {
            return Ok(false);
        }
        // A copy, for the data may be a part of a large buffer, which it would hold.
        self.shards[index] = Some(Bytes::copy_from_slice(data));
        self.missing -= 1;
        Ok(true)
    }

    /// All shards in order, once they are there and the whole is right.
    pub(super) fn whole(&mut self) -> Result<Option<Vec<Bytes>>, Refusal> {
        if self.missing > 0 {
            return Ok(None);
        }
        let mut whole = Sha256::new();
        self.shards
            .iter()
            .flatten()
            .for_each(|shard| whole.update(shard));
        if <[u8; 32]>::from(whole.finalize()) != self.manifest.digest {
            return Err(Refusal::Whole);
        }
        Ok(Some(self.shards.drain(..).flatten().collect()))
    }

    /// What is missing, at most `most` ranges: shards that follow each other are one.
    pub(super) fn missing(&self, most: usize) -> Vec<Range> {
        let mut found: Vec<Range> = Vec::new();
        for (index, _) in self
            .shards
            .iter()
            .enumerate()
            .filter(|(_, shard)| shard.is_none())
        {
            let range = self.range(index);
            if let Some(last) = found.last_mut()
                && last.offset + last.length == range.offset
            {
                last.length += range.length;
            } else if found.len() < most {
                found.push(range);
            } else {
                break;
            }
        }
        found
    }

    fn range(&self, index: usize) -> Range {
        let offset = index as u64 * self.manifest.shard_size;
        Range {
            offset,
            length: self.manifest.shard_size.min(self.manifest.size - offset),
        }
    }
}
