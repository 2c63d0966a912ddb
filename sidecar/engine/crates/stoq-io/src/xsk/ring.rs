//! The rings between this program and the kernel: each has one that puts in and one that takes out, and
//! two counters that only grow (Documentation/networking/af_xdp.rst).

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::mapping::Mapping;

/// Where the parts of a ring lie in its mapping, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offsets {
    pub(crate) producer: usize,
    pub(crate) consumer: usize,
    pub(crate) entries: usize,
    pub(crate) flags: usize,
}

/// What is in a ring for frames: `struct xdp_desc` of linux/if_xdp.h.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptor {
    /// Of the frame's first byte, in the memory of the queue.
    pub(crate) address: u64,
    /// Bytes of the frame, or of a part of it.
    pub(crate) length: u32,
    /// `XDP_PKT_CONTD` where another part follows.
    pub(crate) options: u32,
}

/// What a ring may hold: integers, so that any bytes are a value.
pub(crate) trait Entry: Copy {}

impl Entry for u64 {}
impl Entry for Descriptor {}

/// The ring as both sides see it.
#[derive(Debug)]
struct Shared<T> {
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<T>,
    size: u32,
    /// Keeps what the others point to.
    _mapping: Arc<Mapping>,
}

// SAFETY: the addresses stay valid with the mapping, which belongs to no thread.
unsafe impl<T: Entry> Send for Shared<T> {}

impl<T: Entry> Shared<T> {
    /// `size` is a power of two.
    fn new(mapping: Arc<Mapping>, at: Offsets, size: u32) -> Option<Self> {
        if !size.is_power_of_two() {
            return None;
        }
        Some(Self {
            producer: mapping.place(at.producer, 1)?,
            consumer: mapping.place(at.consumer, 1)?,
            flags: mapping.place(at.flags, 1)?,
            entries: mapping.place(at.entries, size as usize)?,
            size,
            _mapping: mapping,
        })
    }

    fn load(counter: NonNull<AtomicU32>, order: Ordering) -> u32 {
        // SAFETY: within the mapping and aligned, as `place` found; both sides use it as an atomic.
        unsafe { counter.as_ref() }.load(order)
    }

    fn store(counter: NonNull<AtomicU32>, value: u32) {
        // SAFETY: as in `load`.
        unsafe { counter.as_ref() }.store(value, Ordering::Release);
    }

    fn entry(&self, count: u32) -> NonNull<T> {
        let index = count & (self.size - 1);
        // SAFETY: the mask keeps the index below `size`, for which `place` found room.
        unsafe { self.entries.add(index as usize) }
    }
}

/// The end that puts in.
#[derive(Debug)]
pub(crate) struct Producer<T> {
    ring: Shared<T>,
    /// Put in, told or not.
    put: u32,
}

impl<T: Entry> Producer<T> {
    /// None if the offsets do not fit the mapping.
    pub(crate) fn new(mapping: Arc<Mapping>, at: Offsets, size: u32) -> Option<Self> {
        let ring = Shared::new(mapping, at, size)?;
        let put = Shared::<T>::load(ring.producer, Ordering::Relaxed);
        Some(Self { ring, put })
    }

    /// Entries that the other side has not taken out.
    pub(crate) fn pending(&self) -> u32 {
        let taken = Shared::<T>::load(self.ring.consumer, Ordering::Acquire);
        self.put.wrapping_sub(taken)
    }

    /// Entries that may be put in.
    pub(crate) fn room(&self) -> u32 {
        self.ring.size.saturating_sub(self.pending())
    }

    /// Puts an entry in, which the other side sees after [`Producer::commit`]; false when it is full.
    pub(crate) fn put(&mut self, entry: T) -> bool {
        if self.room() == 0 {
            return false;
        }
        // SAFETY: in the mapping, and the other side reads it only after `commit`: it has taken out
        // what was there, or `room` would be 0.
        unsafe { self.ring.entry(self.put).write_volatile(entry) };
        self.put = self.put.wrapping_add(1);
        true
    }

    /// Tells the other side.
    pub(crate) fn commit(&mut self) {
        Shared::<T>::store(self.ring.producer, self.put);
    }

    /// Whether the kernel looks only after a system call (`XDP_RING_NEED_WAKEUP`).
    pub(crate) fn wants_call(&self) -> bool {
        Shared::<T>::load(self.ring.flags, Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }
}

/// The end that takes out.
#[derive(Debug)]
pub(crate) struct Consumer<T> {
    ring: Shared<T>,
    /// Taken out, told or not.
    taken: u32,
    /// How many have been put in, when last looked at.
    put: u32,
}

impl<T: Entry> Consumer<T> {
    /// None if the offsets do not fit the mapping.
    pub(crate) fn new(mapping: Arc<Mapping>, at: Offsets, size: u32) -> Option<Self> {
        let ring = Shared::new(mapping, at, size)?;
        let taken = Shared::<T>::load(ring.consumer, Ordering::Relaxed);
        Some(Self {
            ring,
            taken,
            put: taken,
        })
    }

    /// The oldest entry; its place is the other side's again after [`Consumer::commit`].
    pub(crate) fn take(&mut self) -> Option<T> {
        if self.taken == self.put {
            self.put = Shared::<T>::load(self.ring.producer, Ordering::Acquire);
            if self.taken == self.put {
                return None;
            }
        }
        // SAFETY: in the mapping; the other side has written it before it told so, which was read with
        // `Acquire`, and writes it again only after `commit`.
        let entry = unsafe { self.ring.entry(self.taken).read_volatile() };
        self.taken = self.taken.wrapping_add(1);
        Some(entry)
    }

    /// Tells the other side.
    pub(crate) fn commit(&mut self) {
        Shared::<T>::store(self.ring.consumer, self.taken);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::os::fd::{FromRawFd, OwnedFd};

    use proptest::prelude::*;

    use super::*;

    const SIZE: u32 = 8;
    const AT: Offsets = Offsets {
        producer: 0,
        consumer: 64,
        flags: 128,
        entries: 192,
    };

    fn memory() -> Arc<Mapping> {
        // SAFETY: the name is static and ends with a zero; the descriptor is new and ours.
        let file = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"ring".as_ptr(), 0)) };
        let file = std::fs::File::from(file);
        file.set_len(4096).unwrap();
        Arc::new(Mapping::of(&file.into(), 0, 4096).unwrap())
    }

    #[test]
    fn what_is_put_in_is_there_once_it_is_told() {
        let memory = memory();
        let mut ours = Producer::<u64>::new(Arc::clone(&memory), AT, SIZE).unwrap();
        let mut theirs = Consumer::<u64>::new(memory, AT, SIZE).unwrap();
        assert!(ours.put(7));
        assert_eq!(theirs.take(), None);
        ours.commit();
        assert_eq!((theirs.take(), theirs.take()), (Some(7), None));
        assert_eq!(ours.pending(), 1);
        theirs.commit();
        assert_eq!(ours.pending(), 0);
    }

    #[test]
    fn a_full_ring_takes_nothing_until_the_other_side_has_said_what_it_took() {
        let memory = memory();
        let mut ours = Producer::<u64>::new(Arc::clone(&memory), AT, SIZE).unwrap();
        let mut theirs = Consumer::<u64>::new(memory, AT, SIZE).unwrap();
        assert!((0..8).all(|entry| ours.put(entry)));
        assert!(!ours.put(8));
        ours.commit();
        assert_eq!(theirs.take(), Some(0));
        assert!(!ours.put(8));
        theirs.commit();
        assert!(ours.put(8) && !ours.put(9));
    }

    #[test]
    fn a_ring_that_does_not_fit_its_memory_is_none() {
        let memory = memory();
        let fits = |at, size| Producer::<Descriptor>::new(Arc::clone(&memory), at, size).is_some();
        assert!(fits(AT, 128));
        assert!(!fits(AT, 256), "past the end");
        assert!(!fits(AT, 100), "no power of two");
        assert!(!fits(Offsets { producer: 2, ..AT }, 8), "not aligned");
        let beyond = Offsets {
            entries: usize::MAX - 7,
            ..AT
        };
        assert!(!fits(beyond, 8));
    }

    proptest! {
        #[test]
        fn entries_come_out_once_and_in_order_wherever_the_counters_stand(
            start: u32, steps in proptest::collection::vec((any::<bool>(), 1..12_u32), 1..200)
        ) {
            let memory = memory();
            for counter in [AT.producer, AT.consumer] {
                let place = memory.place::<AtomicU32>(counter, 1).unwrap();
                Shared::<u64>::store(place, start);
            }
            let mut ours = Producer::<u64>::new(Arc::clone(&memory), AT, SIZE).unwrap();
            let mut theirs = Consumer::<u64>::new(memory, AT, SIZE).unwrap();
            let (mut next, mut inside) = (0_u64, VecDeque::new());
            for (put, count) in steps {
                for _ in 0..count {
                    if put {
                        let room = inside.len() < SIZE as usize;
                        prop_assert_eq!(ours.put(next), room);
                        if room {
                            inside.push_back(next);
                            next += 1;
                        }
                    } else {
                        prop_assert_eq!(theirs.take(), inside.pop_front());
                    }
                }
                if put { ours.commit() } else { theirs.commit() }
            }
        }
    }
}
