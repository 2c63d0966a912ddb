//! The memory of a queue's frames, in chunks of one size. Half of them are for frames that come, half
//! for those that go. A chunk is the kernel's from when its number is put into a ring until it comes
//! back by another one.

use std::io;
use std::os::fd::OwnedFd;

use super::mapping::Mapping;

/// The memory, and the chunks to send by that nobody has.
#[derive(Debug)]
pub(crate) struct Umem {
    mapping: Mapping,
    chunk: u32,
    ring: u32,
    free: Vec<u64>,
}

impl Umem {
    /// Maps twice as many chunks as a ring has entries. `memory` must be sealed against shrinking, since
    /// what is missing would end the process when it is touched.
    ///
    /// # Errors
    /// What the kernel says; `InvalidInput` for memory that is smaller or could become so.
    pub(crate) fn of(memory: &OwnedFd, ring: u32, chunk: u32) -> io::Result<Self> {
        let size = 2 * ring as usize * chunk as usize;
        if !sealed(memory, size)? {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let first = u64::from(ring) * u64::from(chunk);
        Ok(Self {
            mapping: Mapping::of(memory, 0, size)?,
            chunk,
            ring,
            free: (0..ring)
                .map(|n| first + u64::from(n) * u64::from(chunk))
                .collect(),
        })
    }

    /// The chunks for frames that come.
    pub(crate) fn incoming(&self) -> impl Iterator<Item = u64> {
        let chunk = u64::from(self.chunk);
        (0..u64::from(self.ring)).map(move |number| number * chunk)
    }

    /// Bytes of a chunk.
    pub(crate) fn chunk(&self) -> usize {
        self.chunk as usize
    }

    /// The chunk of an address.
    pub(crate) fn chunk_of(&self, address: u64) -> u64 {
        address & !u64::from(self.chunk - 1)
    }

    /// A frame that has come, or a part of it; none if it is not in the memory.
    pub(crate) fn frame(&self, address: u64, length: u32) -> Option<&[u8]> {
        let length = length as usize;
        let start = self.mapping.place::<u8>(address.try_into().ok()?, length)?;
        // SAFETY: within the mapping, which lives as long as this borrow; the kernel has given the chunk
        // back with the frame, and gets it again by a call that needs `self` anew.
        Some(unsafe { std::slice::from_raw_parts(start.as_ptr(), length) })
    }

    /// Chunks to send by.
    pub(crate) fn free(&self) -> usize {
        self.free.len()
    }

    /// Has `write` fill a chunk, and says which and how far; none when there is no chunk, or when
    /// `write` says so.
    pub(crate) fn fill(
        &mut self,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<(u64, u32)> {
        let address = *self.free.last()?;
        let length = self.chunk as usize;
        let start = self.mapping.place::<u8>(address.try_into().ok()?, length)?;
        // SAFETY: within the mapping; a free chunk is nobody else's, and `self` is borrowed for us alone.
        let space = unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), length) };
        let written = write(space)?;
        self.free.pop();
        Some((address, written as u32))
    }

    /// A chunk has been sent.
    pub(crate) fn sent(&mut self, address: u64) {
        // Twice as many would mean that the kernel has given one back twice.
        if self.free.len() < self.ring as usize {
            self.free.push(self.chunk_of(address));
        }
    }
}

/// Whether a file has so many bytes, and keeps them.
fn sealed(memory: &OwnedFd, size: usize) -> io::Result<bool> {
    use std::os::fd::AsRawFd;
    // SAFETY: no pointers, and the descriptor is open.
    let seals = unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_GET_SEALS) };
    if seals < 0 {
        return Err(io::Error::last_os_error());
    }
    let length = std::fs::File::from(memory.try_clone()?).metadata()?.len();
    Ok(seals & libc::F_SEAL_SHRINK != 0 && length >= size as u64)
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsRawFd, FromRawFd};

    use super::*;

    fn memory(length: u64, seals: i32) -> OwnedFd {
        // SAFETY: the name is static and ends with a zero; the descriptor is new and ours.
        let file = unsafe {
            OwnedFd::from_raw_fd(libc::memfd_create(
                c"umem".as_ptr(),
                libc::MFD_ALLOW_SEALING,
            ))
        };
        let file = std::fs::File::from(file);
        file.set_len(length).unwrap();
        // SAFETY: no pointers, and the descriptor is open.
        let sealed = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) };
        assert_eq!(sealed, 0);
        file.into()
    }

    fn umem() -> Umem {
        Umem::of(&memory(8 * 2048, libc::F_SEAL_SHRINK), 4, 2048).unwrap()
    }

    #[test]
    fn chunks_that_come_and_chunks_that_go_are_not_the_same() {
        let mut umem = umem();
        let incoming: Vec<_> = umem.incoming().collect();
        assert_eq!(incoming, [0, 2048, 4096, 6144]);
        let mut outgoing = Vec::new();
        while let Some((address, length)) = umem.fill(|space| Some(space.len())) {
            assert_eq!(length, 2048);
            outgoing.push(address);
        }
        outgoing.sort_unstable();
        assert_eq!(outgoing, [8192, 10240, 12288, 14336]);
        assert_eq!(umem.free(), 0);
        umem.sent(10240 + 17);
        assert_eq!(umem.fill(|_| Some(3)), Some((10240, 3)));
    }

    #[test]
    fn a_chunk_in_which_nothing_was_written_stays_free() {
        let mut umem = umem();
        assert_eq!(umem.fill(|_| None), None);
        assert_eq!(umem.free(), 4);
    }

    #[test]
    fn a_chunk_that_comes_back_twice_is_kept_once() {
        let mut umem = umem();
        umem.sent(8192);
        assert_eq!(umem.free(), 4);
    }

    #[test]
    fn frames_outside_the_memory_are_none() {
        let umem = umem();
        assert_eq!(umem.frame(256, 1500).unwrap().len(), 1500);
        for (address, length) in [(16_384, 1), (16_000, 500), (u64::MAX, 2), (0, u32::MAX)] {
            assert_eq!(umem.frame(address, length), None, "{address} {length}");
        }
    }

    #[test]
    fn memory_that_is_too_small_or_may_shrink_is_refused() {
        for (length, seals) in [(8 * 2048 - 1, libc::F_SEAL_SHRINK), (8 * 2048, 0)] {
            let refused = Umem::of(&memory(length, seals), 4, 2048).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
