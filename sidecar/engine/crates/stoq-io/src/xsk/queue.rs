//! An AF_XDP socket that somebody else opened and bound: its four rings and its memory.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use super::chain::{self, Assembly, Gathered};
use super::mapping::Mapping;
use super::ring::{Consumer, Descriptor, Entry, Offsets, Producer};
use super::umem::Umem;
use crate::counters::XskDrop;

/// Frames that the kernel had no room for since the socket was made.
#[derive(Debug, Clone, Copy, Default)]
struct Missed {
    /// In the ring.
    ring: u64,
    /// In the chunks that it had.
    chunks: u64,
}

/// One queue of an interface.
#[derive(Debug)]
pub(crate) struct Queue {
    socket: OwnedFd,
    umem: Umem,
    fill: Producer<u64>,
    completion: Consumer<u64>,
    incoming: Consumer<Descriptor>,
    outgoing: Producer<Descriptor>,
    assembly: Assembly,
    /// What the kernel had no room for, when it was asked last.
    missed: Missed,
    /// Whether anything was taken out that the kernel has not been told of.
    taken: bool,
    /// Whether frames may have come.
    pub(crate) readable: bool,
}

impl Queue {
    /// Takes over `socket`, whose rings have `ring` entries, and whose chunks of `chunk` bytes are in
    /// `memory`, and whose frames have `longest` bytes at most; the kernel has chunks for frames from now
    /// on.
    ///
    /// # Errors
    /// What the kernel says; `EBUSY` before Linux 6.4, where only who bound a socket has its rings.
    pub(crate) fn adopt(
        socket: OwnedFd,
        memory: &OwnedFd,
        ring: u32,
        chunk: u32,
        longest: u32,
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
            assembly: Assembly::new(longest as usize),
            missed: Missed::default(),
            taken: false,
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

    /// Shows the oldest frame that is whole to `read`; none when there is none. A frame that cannot be is
    /// an error, and has ended.
    pub(crate) fn next<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Option<Result<T, XskDrop>> {
        let mut read = Some(read);
        loop {
            let descriptor = self.incoming.take()?;
            self.taken = true;
            let Descriptor {
                address, length, ..
            } = descriptor;
            let part = self.umem.frame(address, length);
            let continued = descriptor.options & libc::XDP_PKT_CONTD != 0;
            let result = match self.assembly.add(part, continued) {
                Gathered::Begun => None,
                Gathered::Whole(frame) => read.take().map(|read| Ok(read(frame))),
                Gathered::Broken(why) => Some(Err(why)),
            };
            self.fill.put(self.umem.chunk_of(address));
            if result.is_some() {
                return result;
            }
        }
    }

    /// Gives the kernel the chunks of frames that were read.
    pub(crate) fn settle(&mut self) {
        if !std::mem::take(&mut self.taken) {
            return;
        }
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

    /// Frames that the kernel had no room for since it was asked last, by what there was none in.
    pub(crate) fn missed(&mut self) -> [(XskDrop, u64); 2] {
        // What is wrong with the socket is seen elsewhere.
        let now = missed(&self.socket).unwrap_or(self.missed);
        let before = std::mem::replace(&mut self.missed, now);
        [
            (XskDrop::Ring, now.ring.saturating_sub(before.ring)),
            (XskDrop::Chunks, now.chunks.saturating_sub(before.chunks)),
        ]
    }

    /// Chunks that frames of so many bytes take.
    pub(crate) fn chunks(&self, size: usize) -> usize {
        size.div_ceil(self.umem.chunk())
    }

    /// Whether frames that take so many chunks can be put in one after the other.
    pub(crate) fn has_room(&mut self, chunks: usize) -> bool {
        if self.umem.free() < chunks {
            self.reap();
        }
        self.umem.free() >= chunks && self.outgoing.room() as usize >= chunks
    }

    /// Has `write` make a frame of one chunk, which goes with the next [`Queue::flush`]; false when it
    /// makes none, or without room.
    pub(crate) fn put(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        self.put_part(write, false)
    }

    /// Puts in a frame of several chunks; false without room for all of it, and then nothing is put in.
    pub(crate) fn put_scattered(&mut self, head: &[u8], payload: &[u8]) -> bool {
        if !self.has_room(self.chunks(head.len() + payload.len())) {
            return false;
        }
        chain::parts(head, payload, self.umem.chunk()).all(|([head, payload], continued)| {
            let write = |space: &mut [u8]| {
                let (to_head, rest) = space.split_at_mut_checked(head.len())?;
                to_head.copy_from_slice(head);
                rest.get_mut(..payload.len())?.copy_from_slice(payload);
                Some(head.len() + payload.len())
            };
            self.put_part(write, continued)
        })
    }

    fn put_part(
        &mut self,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
        continued: bool,
    ) -> bool {
        let Some((address, length)) = self.umem.fill(write) else {
            return false;
        };
        let put = self.outgoing.put(Descriptor {
            address,
            length,
            options: if continued { libc::XDP_PKT_CONTD } else { 0 },
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
    let zeros = unsafe { std::mem::zeroed() };
    told(socket, libc::XDP_MMAP_OFFSETS, zeros)
}

fn missed(socket: &OwnedFd) -> io::Result<Missed> {
    // SAFETY: as above.
    let zeros: libc::xdp_statistics = unsafe { std::mem::zeroed() };
    let found = told(socket, libc::XDP_STATISTICS, zeros)?;
    Ok(Missed {
        ring: found.rx_ring_full,
        chunks: found.rx_dropped,
    })
}

/// What the kernel says of the socket, in the place of `value`, which is integers only.
fn told<T>(socket: &OwnedFd, option: libc::c_int, mut value: T) -> io::Result<T> {
    let mut length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, which is the size of the value, and any bytes are
    // one.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_XDP,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    match result {
        0 if length as usize == size_of_val(&value) => Ok(value),
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

#[cfg(test)]
mod tests;
