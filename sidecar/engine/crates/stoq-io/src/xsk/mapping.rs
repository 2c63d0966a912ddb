//! Memory that is shared with the kernel.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{self, NonNull};

/// A file's memory in ours, until it is dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread; what is done with it is up to its users,
// each of which says why it may.
unsafe impl Send for Mapping {}
// SAFETY: as above; a shared mapping gives out addresses and nothing else.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// `length` bytes of `file` from `offset` on. The file must have them, and keep them.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn of(file: &OwnedFd, offset: libc::off_t, length: usize) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        // SAFETY: a new mapping, at a place that the kernel chooses.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                access,
                flags,
                file.as_raw_fd(),
                offset,
            )
        };
        match NonNull::new(start.cast::<u8>()) {
            Some(place) if start != libc::MAP_FAILED => Ok(Self {
                start: place,
                length,
            }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Where `count` values of type `T` lie, `offset` bytes from the start; none if they do not fit or
    /// would not be aligned. Valid as long as the mapping is.
    pub(crate) fn place<T>(&self, offset: usize, count: usize) -> Option<NonNull<T>> {
        let end = count.checked_mul(size_of::<T>())?.checked_add(offset)?;
        if end > self.length || !offset.is_multiple_of(align_of::<T>()) {
            return None;
        }
        // SAFETY: `offset` is within the mapping, whose start is aligned to a page.
        Some(unsafe { self.start.add(offset) }.cast())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping made above; who has places of it keeps it alive.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}
