//! What the program in the kernel takes for us: `struct stoq_xsk_taken` of bpf/include/stoq/shared.h.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::Release};

use super::mapping::Mapping;

/// Addresses that fit.
pub(crate) const ADDRESSES: usize = 16;

/// The structure, as both sides change it: every member by itself.
#[repr(C)]
struct Layout {
    largest: AtomicU32,
    addresses: AtomicU32,
    address: [[AtomicU8; 16]; ADDRESSES],
    ports: [AtomicU64; 1024],
}

/// It takes nothing from when this is dropped.
pub(crate) struct Taken {
    layout: NonNull<Layout>,
    _mapping: Mapping,
}

// SAFETY: the address stays valid with the mapping, and there are atomics only behind it.
unsafe impl Send for Taken {}
// SAFETY: as above.
unsafe impl Sync for Taken {}

impl Taken {
    /// Maps `map`, and has frames of `largest` bytes at most taken that are for `addresses`: 16 of them,
    /// others are left to the sockets.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn new(map: &OwnedFd, largest: u32, addresses: &[IpAddr]) -> io::Result<Self> {
        let mapping = Mapping::of(map, 0, size_of::<Layout>())?;
        let layout = mapping.place(0, 1);
        let taken = Self {
            layout: layout.ok_or(io::ErrorKind::InvalidInput)?,
            _mapping: mapping,
        };
        let layout = taken.layout();
        layout.largest.store(0, Relaxed);
        layout.ports.iter().for_each(|word| word.store(0, Relaxed));
        for (place, address) in layout.address.iter().zip(addresses) {
            let octets = match address {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            let bytes = place.iter().zip(octets);
            bytes.for_each(|(to, byte)| to.store(byte, Relaxed));
        }
        let count = addresses.len().min(ADDRESSES) as u32;
        layout.addresses.store(count, Release);
        layout.largest.store(largest, Release);
        Ok(taken)
    }

    /// Has datagrams for a port taken, too.
    pub(crate) fn add(&self, port: u16) {
        let word = &self.layout().ports[usize::from(port >> 6)];
        word.fetch_or(1 << (port & 63), Release);
    }

    /// Whether those for a port are.
    pub(crate) fn has(&self, port: u16) -> bool {
        self.layout().ports[usize::from(port >> 6)].load(Relaxed) & 1 << (port & 63) != 0
    }

    fn layout(&self) -> &Layout {
        // SAFETY: `place` found it within the mapping and aligned; there are atomics only, for which any
        // bytes are a value.
        unsafe { self.layout.as_ref() }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.layout().largest.store(0, Release);
    }
}
