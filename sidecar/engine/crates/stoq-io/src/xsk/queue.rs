//! An AF_XDP socket that somebody else opened and bound: its four rings and its memory.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use super::mapping::Mapping;
use super::ring::{Consumer, Descriptor, Entry, Offsets, Producer};
use super::umem::Umem;

/// One queue of an interface.
#[derive(Debug)]
pub(crate) struct Queue {
    socket: OwnedFd,
    umem: Umem,
    fill: Producer<u64>,
    completion: Consumer<u64>,
    incoming: Consumer<Descriptor>,
    outgoing: Producer<Descriptor>,
    /// Whether frames may have come.
    pub(crate) readable: bool,
}

impl Queue {
    /// Takes over `socket`, whose rings have `ring` entries, and whose chunks of `chunk` bytes are in
    /// `memory`; the kernel has chunks for frames from now on.
    ///
    /// # Errors
    /// What the kernel says; `EBUSY` before Linux 6.4, where only who bound a socket has its rings.
    pub(crate) fn adopt(
        socket: OwnedFd,
        memory: &OwnedFd,
        ring: u32,
        chunk: u32,
    ) -> io::Result<Self> {
        let umem = Umem::of(memory, ring, chunk)?;
        let offsets = offsets(&socket)?;
        let (fill, completion) = (
            libc::XDP_UMEM_PGOFF_FILL_RING.cast_signed(),
            libc::XDP_UMEM_PGOFF_COMPLETION_RING.cast_signed(),
        );
        let mut queue = Self {
            fill: producer(&socket, fill, &offsets.fr, ring)?,
            completion: consumer(&socket, completion, &offsets.cr, ring)?,
            incoming: consumer(&socket, libc::XDP_PGOFF_RX_RING, &offsets.rx, ring)?,
            outgoing: producer(&socket, libc::XDP_PGOFF_TX_RING, &offsets.tx, ring)?,
            umem,
            socket,
            readable: true,
        };
        for chunk in queue.umem.incoming() {
            queue.fill.put(chunk);
        }
        queue.fill.commit();
        Ok(queue)
    }

    pub(crate) fn raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Shows the oldest frame that has come to `read`; none when there is none. An empty one is one that
    /// the kernel says is outside of the memory.
    pub(crate) fn next<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let Descriptor {
            address, length, ..
        } = self.incoming.take()?;
        let result = read(self.umem.frame(address, length).unwrap_or_default());
        self.fill.put(self.umem.chunk_of(address));
        Some(result)
    }

    /// Gives the kernel the chunks of frames that were read.
    pub(crate) fn settle(&mut self) {
        self.incoming.commit();
        self.fill.commit();
        if self.fill.wants_call() {
            // SAFETY: nothing is read into, and the descriptor is open. It only makes a driver look at
            // the ring; what is wrong with the socket is seen elsewhere.
            unsafe {
                libc::recv(
                    self.socket.as_raw_fd(),
                    std::ptr::null_mut(),
                    0,
                    libc::MSG_DONTWAIT,
                )
            };
        }
    }

    /// Whether so many frames can be put in one after the other.
    pub(crate) fn has_room(&mut self, frames: usize) -> bool {
        if self.umem.free() < frames {
            self.reap();
        }
        self.umem.free() >= frames && self.outgoing.room() as usize >= frames
    }

    /// Has `write` make a frame, which goes with the next [`Queue::flush`]; false when it makes none, or
    /// without room.
    pub(crate) fn put(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        let Some((address, length)) = self.umem.fill(write) else {
            return false;
        };
        let put = self.outgoing.put(Descriptor {
            address,
            length,
            options: 0,
        });
        if !put {
            self.umem.sent(address);
        }
        put
    }

    /// Sends what was put in, as far as the driver takes it; the rest goes another time.
    ///
    /// # Errors
    /// `ENETDOWN` when the interface is down, `ENXIO` when it is gone.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.outgoing.commit();
        let mut pending = self.outgoing.pending();
        // Without a driver of its own for this, the kernel sends some frames per call, 32 at present.
        while pending > 0 && self.outgoing.wants_call() {
            self.call()?;
            let left = self.outgoing.pending();
            if left == pending {
                break;
            }
            pending = left;
        }
        self.reap();
        Ok(())
    }

    /// Has the kernel look at what was put in; that there is nothing is no error.
    ///
    /// # Errors
    /// As [`Queue::flush`].
    pub(crate) fn call(&self) -> io::Result<()> {
        // SAFETY: nothing is sent from our memory but what is in the ring; the descriptor is open.
        let sent = unsafe {
            libc::send(
                self.socket.as_raw_fd(),
                std::ptr::null(),
                0,
                libc::MSG_DONTWAIT,
            )
        };
        if sent >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        let again = [libc::EAGAIN, libc::EBUSY, libc::ENOBUFS, libc::EINTR];
        match error.raw_os_error() {
            Some(code) if again.contains(&code) => Ok(()),
            _ => Err(error),
        }
    }

    /// Takes back the chunks of frames that were sent.
    fn reap(&mut self) {
        while let Some(address) = self.completion.take() {
            self.umem.sent(address);
        }
        self.completion.commit();
    }
}

fn offsets(socket: &OwnedFd) -> io::Result<libc::xdp_mmap_offsets> {
    // SAFETY: integers only: all zeros is a value.
    let mut offsets: libc::xdp_mmap_offsets = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&offsets) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, which is the size of the value.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_XDP,
            libc::XDP_MMAP_OFFSETS,
            (&raw mut offsets).cast(),
            &raw mut length,
        )
    };
    match result {
        0 if length as usize == size_of_val(&offsets) => Ok(offsets),
        0 => Err(io::ErrorKind::Unsupported.into()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn mapped<T>(
    socket: &OwnedFd,
    page: libc::off_t,
    at: &libc::xdp_ring_offset,
    ring: u32,
) -> io::Result<(Arc<Mapping>, Offsets)> {
    let at = Offsets {
        producer: at.producer as usize,
        consumer: at.consumer as usize,
        entries: at.desc as usize,
        flags: at.flags as usize,
    };
    let length = at.entries + ring as usize * size_of::<T>();
    Ok((Arc::new(Mapping::of(socket, page, length)?), at))
}

fn producer<T: Entry>(
    socket: &OwnedFd,
    page: libc::off_t,
    at: &libc::xdp_ring_offset,
    ring: u32,
) -> io::Result<Producer<T>> {
    let (mapping, at) = mapped::<T>(socket, page, at, ring)?;
    Producer::new(mapping, at, ring).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn consumer<T: Entry>(
    socket: &OwnedFd,
    page: libc::off_t,
    at: &libc::xdp_ring_offset,
    ring: u32,
) -> io::Result<Consumer<T>> {
    let (mapping, at) = mapped::<T>(socket, page, at, ring)?;
    Consumer::new(mapping, at, ring).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
