//! Memory that the kernel reads into and from which received bytes are cut
//! without copying.
//!
//! A block is filled from its front; each piece is split off and travels on as
//! `Bytes`. When every piece of a block has been dropped the block is used again,
//! so at a steady rate the same few blocks stay in the CPU's cache.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Bytes in a block: four of the largest reads.
const BLOCK: usize = 256 * 1024;

/// Used blocks that wait for their last piece to be dropped. Beyond it the oldest
/// is left to the allocator: something holds its pieces for long.
const RETIRED: usize = 16;

/// Pieces shorter than this are copied out: a piece keeps its whole block alive,
/// and a peer must not be able to pin a block with a byte.
const COPY: usize = 4 * 1024;

/// A pool of blocks, for one thread.
pub(crate) struct BlockPool {
    current: BytesMut,
    retired: VecDeque<BytesMut>,
}

impl BlockPool {
    pub(crate) fn new() -> Self {
        Self {
            current: BytesMut::new(),
            retired: VecDeque::new(),
        }
    }

    /// At least `size` writable bytes, to be followed by [`BlockPool::take`].
    ///
    /// `size` must be below [`BLOCK`].
    pub(crate) fn space(&mut self, size: usize) -> &mut [u8] {
        debug_assert!(size < BLOCK);
        // One byte stays behind in every block: a handle from which all was split
        // no longer knows its allocation and could not reclaim it.
        if self.current.len() <= size {
            self.renew();
        }
        let last = self.current.len() - 1;
        &mut self.current[..last]
    }

    /// The first `length` bytes of the last [`BlockPool::space`].
    pub(crate) fn take(&mut self, length: usize) -> BytesMut {
        if length < COPY {
            return BytesMut::from(&self.current[..length]);
        }
        self.current.split_to(length)
    }

    /// As [`BlockPool::take`], immutable.
    pub(crate) fn take_frozen(&mut self, length: usize) -> Bytes {
        if length < COPY {
            return Bytes::copy_from_slice(&self.current[..length]);
        }
        self.current.split_to(length).freeze()
    }

    /// Bytes in blocks that the pool keeps.
    pub(crate) fn held(&self) -> usize {
        let current = if self.current.is_empty() { 0 } else { BLOCK };
        current + self.retired.len() * BLOCK
    }

    /// Gives the memory back to the allocator, for times without traffic.
    pub(crate) fn trim(&mut self) {
        self.retired = VecDeque::new();
        self.current = BytesMut::new();
    }

    fn renew(&mut self) {
        let mut spent = std::mem::take(&mut self.current);
        if spent.capacity() > 0 {
            spent.truncate(1);
            self.retired.push_back(spent);
        }
        for _ in 0..self.retired.len().min(2) {
            let Some(mut block) = self.retired.pop_front() else {
                break;
            };
            if block.try_reclaim(BLOCK - block.len()) {
                // SAFETY: `try_reclaim` never allocates: on success `block` is the only
                // handle on its original allocation, whose first BLOCK bytes were all
                // initialised when it was made by `BytesMut::zeroed` below.
                unsafe { block.set_len(BLOCK) };
                self.current = block;
                return;
            }
            self.retired.push_back(block);
        }
        if self.retired.len() > RETIRED {
            self.retired.pop_front();
        }
        self.current = BytesMut::zeroed(BLOCK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(pool: &mut BlockPool, value: u8, length: usize) -> BytesMut {
        pool.space(length)[..length].fill(value);
        pool.take(length)
    }

    #[test]
    fn pieces_keep_their_bytes_while_the_pool_goes_on() {
        let mut pool = BlockPool::new();
        let pieces: Vec<_> = (0..200u8).map(|v| fill(&mut pool, v, 60_000)).collect();
        for (value, piece) in pieces.iter().enumerate() {
            assert!(piece.iter().all(|b| usize::from(*b) == value));
        }
    }

    #[test]
    fn a_block_without_pieces_is_used_again() {
        let mut pool = BlockPool::new();
        let mut seen = std::collections::HashSet::new();
        for value in 0..100 {
            let piece = fill(&mut pool, value, 60_000);
            seen.insert(piece.as_ptr() as usize);
        }
        assert!(seen.len() <= 10, "{} places", seen.len());
    }

    #[test]
    fn a_short_piece_does_not_pin_its_block() {
        let mut pool = BlockPool::new();
        let before = pool.space(100).as_ptr();
        let piece = fill(&mut pool, 1, COPY - 1);
        assert_eq!(pool.space(100).as_ptr(), before);
        assert_eq!(piece.len(), COPY - 1);
    }

    #[test]
    fn held_pieces_do_not_make_the_pool_grow_without_bound() {
        let mut pool = BlockPool::new();
        let _held: Vec<_> = (0..400).map(|_| fill(&mut pool, 0, 60_000)).collect();
        assert!(pool.retired.len() <= RETIRED + 1);
        pool.trim();
        assert_eq!(pool.current.capacity(), 0);
    }
}
