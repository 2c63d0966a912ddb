//! SHARD: a part of a transfer, what it is made of, and what is missing (wire format, section 13).
//!
//! ```text
//! type      8 bytes, 0xfe000002
//! form      1 byte: 0 manifest, 1 object data, 2 bulk data, 3 want
//! transfer  16 bytes
//!
//! manifest     size varint, shard size varint, digest 32 bytes, 32 bytes for each shard
//! object data  offset varint, length varint, data
//! bulk data    offset varint, digest 32 bytes, length varint, data
//! want         count varint, then offset varint and length varint of each range
//! ```

use bytes::Bytes;

use super::reader::{Reader, Stop, bounded};
use super::{FrameError, FrameType};
use crate::varint;

/// Most bytes of data in a frame.
pub const MAX_SHARD_LEN: u64 = 1 << 20;

/// Most shards of an object.
pub const MAX_SHARDS: u64 = 4096;

/// Most ranges of a want.
pub const MAX_RANGES: usize = 256;

/// SHA-256.
pub type Digest = [u8; 32];

/// Names a transfer on every connection that brings a part of it. Random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransferId(pub [u8; 16]);

/// A part of a transfer, or something about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// The transfer.
    pub transfer: TransferId,
    /// What is said of it.
    pub body: ShardBody,
}

/// The forms of a SHARD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShardBody {
    /// What the transfer is made of.
    Manifest(Manifest),
    /// A shard of an object, whose digest is in the manifest.
    Object {
        /// Where it begins.
        offset: u64,
        /// At least a byte.
        data: Bytes,
    },
    /// A part of a bulk transfer.
    Bulk {
        /// Where it begins.
        offset: u64,
        /// SHA-256 of the data.
        digest: Digest,
        /// At least a byte.
        data: Bytes,
    },
    /// Ranges that the receiver misses; none when all is there.
    Want(Vec<Range>),
}

/// What a transfer is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Bytes of the whole.
    pub size: u64,
    /// Bytes of each shard of an object but the last; 0 for a bulk transfer.
    pub shard_size: u64,
    /// SHA-256 of the whole.
    pub digest: Digest,
    /// SHA-256 of each shard of an object.
    pub digests: Vec<Digest>,
}

/// A range of a transfer's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range {
    /// The first byte.
    pub offset: u64,
    /// How many; at least 1.
    pub length: u64,
}

const NAME: &str = FrameType::Shard.name();

impl Shard {
    pub(super) const fn form(&self) -> u8 {
        match self.body {
            ShardBody::Manifest(_) => 0,
            ShardBody::Object { .. } => 1,
            ShardBody::Bulk { .. } => 2,
            ShardBody::Want(_) => 3,
        }
    }

    /// What the receiver's maximum shard has to be at least, for it to take the frame (D1).
    #[must_use]
    pub fn needs(&self) -> u64 {
        match &self.body {
            ShardBody::Object { data, .. } | ShardBody::Bulk { data, .. } => data.len() as u64,
            ShardBody::Manifest(manifest) => manifest.shard_size.max(1),
            ShardBody::Want(_) => 0,
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        out.push(self.form());
        out.extend_from_slice(&self.transfer.0);
        match &self.body {
            ShardBody::Manifest(manifest) => manifest.write(out),
            ShardBody::Object { offset, data } => {
                check_range(*offset, data.len() as u64, MAX_SHARD_LEN)?;
                varint::write(*offset, out);
                write_data(data, out);
                Ok(())
            }
            ShardBody::Bulk {
                offset,
                digest,
                data,
            } => {
                check_range(*offset, data.len() as u64, MAX_SHARD_LEN)?;
                varint::write(*offset, out);
                out.extend_from_slice(digest);
                write_data(data, out);
                Ok(())
            }
            ShardBody::Want(ranges) => write_ranges(ranges, out),
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        let form = reader.bounded_byte("form", 0, 3)?;
        let transfer = TransferId(reader.array()?);
        let body = match form {
            0 => ShardBody::Manifest(Manifest::read(reader)?),
            1 => {
                let offset = reader.varint()?;
                ShardBody::Object {
                    offset,
                    data: read_data(reader, offset)?,
                }
            }
            2 => {
                let offset = reader.varint()?;
                let digest = reader.array()?;
                ShardBody::Bulk {
                    offset,
                    digest,
                    data: read_data(reader, offset)?,
                }
            }
            _ => ShardBody::Want(read_ranges(reader)?),
        };
        Ok(Self { transfer, body })
    }
}

impl Manifest {
    /// How many shards the object has; 0 for a bulk transfer.
    #[must_use]
    pub const fn count(&self) -> u64 {
        match self.shard_size {
            0 => 0,
            size => self.size.div_ceil(size),
        }
    }

    /// Refuses what no transfer is made of.
    ///
    /// # Errors
    /// [`FrameError::Value`].
    pub fn check(&self) -> Result<(), FrameError> {
        bounded(NAME, "size", self.size, 0, varint::MAX)?;
        bounded(NAME, "shard size", self.shard_size, 0, MAX_SHARD_LEN)?;
        bounded(NAME, "number of shards", self.count(), 0, MAX_SHARDS)?;
        let digests = self.digests.len() as u64;
        bounded(
            NAME,
            "number of digests",
            digests,
            self.count(),
            self.count(),
        )
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        self.check()?;
        varint::write(self.size, out);
        varint::write(self.shard_size, out);
        out.extend_from_slice(&self.digest);
        out.extend_from_slice(self.digests.as_flattened());
        Ok(())
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        let size = reader.varint()?;
        let shard_size = reader.bounded("shard size", 0, MAX_SHARD_LEN)?;
        let mut found = Self {
            size,
            shard_size,
            digest: [0; 32],
            digests: Vec::new(),
        };
        let count = found.count();
        bounded(NAME, "number of shards", count, 0, MAX_SHARDS)?;
        found.digest = reader.array()?;
        let (digests, _) = reader.take(count as usize * 32)?.as_chunks();
        found.digests = digests.to_vec();
        Ok(found)
    }
}

/// A range of 1 to `most` bytes that ends within what a varint can say.
fn check_range(offset: u64, length: u64, most: u64) -> Result<(), FrameError> {
    bounded(NAME, "length", length, 1, most)?;
    bounded(
        NAME,
        "end of the data",
        offset.saturating_add(length),
        1,
        varint::MAX,
    )
}

fn write_data(data: &Bytes, out: &mut Vec<u8>) {
    varint::write(data.len() as u64, out);
    out.extend_from_slice(data);
}

fn read_data(reader: &mut Reader<'_>, offset: u64) -> Result<Bytes, Stop> {
    let length = reader.varint()?;
    check_range(offset, length, MAX_SHARD_LEN)?;
    reader.data(length)
}

fn write_ranges(ranges: &[Range], out: &mut Vec<u8>) -> Result<(), FrameError> {
    bounded(
        NAME,
        "number of ranges",
        ranges.len() as u64,
        0,
        MAX_RANGES as u64,
    )?;
    varint::write(ranges.len() as u64, out);
    let mut end = None;
    for range in ranges {
        end = Some(check_next(*range, end)?);
        varint::write(range.offset, out);
        varint::write(range.length, out);
    }
    Ok(())
}

fn read_ranges(reader: &mut Reader<'_>) -> Result<Vec<Range>, Stop> {
    let count = reader.bounded("number of ranges", 0, MAX_RANGES as u64)?;
    let mut ranges = Vec::with_capacity(count as usize);
    let mut end = None;
    for _ in 0..count {
        let range = Range {
            offset: reader.varint()?,
            length: reader.varint()?,
        };
        end = Some(check_next(range, end)?);
        ranges.push(range);
    }
    Ok(ranges)
}

/// Where `range` ends, if it follows what ended at `end` with room between them.
fn check_next(range: Range, end: Option<u64>) -> Result<u64, FrameError> {
    check_range(range.offset, range.length, varint::MAX)?;
    if end.is_some_and(|end| range.offset <= end) {
        return Err(FrameError::Ranges);
    }
    Ok(range.offset + range.length)
}
