//! Takes a transfer apart.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use stoq_wire::frame::FrameError;
use stoq_wire::frame::shard::{MAX_SHARD_LEN, Manifest, Range, Shard, ShardBody, TransferId};

use crate::sha256;

/// The manifest of an object in shards of `shard_size` bytes.
///
/// # Errors
/// [`FrameError::Value`] for a shard size that is 0 or too large, and for one so small that the
/// object has more shards than a manifest can list.
pub fn manifest(object: &[u8], shard_size: u64) -> Result<Manifest, FrameError> {
    let size = object.len() as u64;
    let digests = match usize::try_from(shard_size) {
        // Counted before anything is hashed.
        Ok(each @ 1..) if size.div_ceil(shard_size) <= stoq_wire::frame::shard::MAX_SHARDS => {
            object.chunks(each).map(sha256).collect()
        }
        _ => Vec::new(),
    };
    let manifest = Manifest {
        size,
        shard_size,
        digest: sha256(object),
        digests,
    };
    manifest.check()?;
    if shard_size == 0 {
        return Err(FrameError::Value {
            frame: "SHARD",
            field: "shard size",
            value: 0,
            least: 1,
            most: MAX_SHARD_LEN,
        });
    }
    Ok(manifest)
}

/// The shards of an object that `ranges` touch: all it has for a range from 0 to its end.
pub fn cut<'a>(
    id: TransferId,
    object: &'a Bytes,
    shard_size: u64,
    ranges: &'a [Range],
) -> impl Iterator<Item = Shard> + 'a {
    let size = object.len() as u64;
    let each = shard_size.max(1);
    let indices = ranges.iter().flat_map(move |range| {
        let end = range.offset.saturating_add(range.length).min(size);
        range.offset / each..end.div_ceil(each)
    });
    indices.map(move |index| {
        let offset = index * each;
        let end = (offset + each).min(size);
        let data = object.slice(offset as usize..end as usize);
        Shard {
            transfer: id,
            body: ShardBody::Object { offset, data },
        }
    })
}

/// Takes a bulk transfer apart while it comes.
#[derive(Debug)]
pub struct BulkWriter {
    id: TransferId,
    /// Most bytes in a shard.
    most: usize,
    offset: u64,
    whole: Sha256,
}

impl BulkWriter {
    /// A transfer in shards of at most `most` bytes, held between 1 and [`MAX_SHARD_LEN`].
    #[must_use]
    pub fn new(id: TransferId, most: u64) -> Self {
        let most = most.clamp(1, MAX_SHARD_LEN) as usize;
        Self {
            id,
            most,
            offset: 0,
            whole: Sha256::new(),
        }
    }

    /// The next bytes, as shards.
    pub fn push(&mut self, mut data: Bytes) -> Vec<Shard> {
        self.whole.update(&data);
        let mut shards = Vec::new();
        while !data.is_empty() {
            let part = data.split_to(self.most.min(data.len()));
            let offset = self.offset;
            self.offset += part.len() as u64;
            let body = ShardBody::Bulk {
                offset,
                digest: sha256(&part),
                data: part,
            };
            shards.push(Shard {
                transfer: self.id,
                body,
            });
        }
        shards
    }

    /// The manifest: the last frame.
    #[must_use]
    pub fn finish(self) -> Shard {
        let manifest = Manifest {
            size: self.offset,
            shard_size: 0,
            digest: self.whole.finalize().into(),
            digests: Vec::new(),
        };
        Shard {
            transfer: self.id,
            body: ShardBody::Manifest(manifest),
        }
    }
}
