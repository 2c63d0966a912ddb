//! An AF_XDP socket that only receives, as small as can be (Linux, Documentation/networking/af_xdp.rst).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

/// Entries of each ring, and frames in the memory.
const ENTRIES: usize = 16;
const FRAME: usize = 4096;

pub(crate) struct Socket {
    file: File,
    memory: *mut u8,
    rx: *mut u8,
    offsets: libc::xdp_mmap_offsets,
}

impl Socket {
    /// Bound to queue 0 of an interface, in copy mode.
    pub(crate) fn bind(ifindex: u32) -> Self {
        // SAFETY: the call takes numbers only.
        let fd = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW, 0) };
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        // SAFETY: the descriptor is open and nobody else's.
        let file = unsafe { File::from_raw_fd(fd) };
        let memory = map(-1, ENTRIES * FRAME, 0);
        let umem = libc::xdp_umem_reg {
            addr: memory as u64,
            len: (ENTRIES * FRAME) as u64,
            chunk_size: FRAME as u32,
            headroom: 0,
            flags: 0,
            tx_metadata_len: 0,
        };
        set(&file, libc::XDP_UMEM_REG, &umem);
        let entries = ENTRIES as u32;
        set(&file, libc::XDP_UMEM_FILL_RING, &entries);
        set(&file, libc::XDP_UMEM_COMPLETION_RING, &entries);
        set(&file, libc::XDP_RX_RING, &entries);
        let offsets = offsets(&file);
        let fill_size = offsets.fr.desc as usize + ENTRIES * size_of::<u64>();
        let fill = map(fd, fill_size, libc::XDP_UMEM_PGOFF_FILL_RING as i64);
        for frame in 0..ENTRIES {
            // SAFETY: the ring has this many entries behind `desc`, and was mapped with them.
            unsafe {
                let entry = fill.add(offsets.fr.desc as usize).cast::<u64>().add(frame);
                entry.write((frame * FRAME) as u64);
            }
        }
        word(fill, offsets.fr.producer).store(entries, Ordering::Release);
        let rx_size = offsets.rx.desc as usize + ENTRIES * size_of::<libc::xdp_desc>();
        let rx = map(fd, rx_size, libc::XDP_PGOFF_RX_RING);
        let address = libc::sockaddr_xdp {
            sxdp_family: libc::AF_XDP as u16,
            sxdp_flags: libc::XDP_COPY,
            sxdp_ifindex: ifindex,
            sxdp_queue_id: 0,
            sxdp_shared_umem_fd: 0,
        };
        // SAFETY: the address lives until the call returns, and has the size that is given.
        let bound = unsafe {
            libc::bind(
                fd,
                (&raw const address).cast(),
                size_of_val(&address) as u32,
            )
        };
        assert_eq!(bound, 0, "{}", io::Error::last_os_error());
        Self {
            file,
            memory,
            rx,
            offsets,
        }
    }

    /// The frames that have come so far, the oldest first.
    pub(crate) fn received(&self) -> Vec<Vec<u8>> {
        let produced = word(self.rx, self.offsets.rx.producer).load(Ordering::Acquire) as usize;
        (0..produced.min(ENTRIES))
            .map(|index| self.frame(index))
            .collect()
    }

    fn frame(&self, index: usize) -> Vec<u8> {
        // SAFETY: the kernel has produced this entry and writes neither it nor its frame again, since
        // the test never consumes one; both lie in what was mapped.
        unsafe {
            let entries = self.rx.add(self.offsets.rx.desc as usize);
            let entry = entries.cast::<libc::xdp_desc>().add(index).read();
            std::slice::from_raw_parts(self.memory.add(entry.addr as usize), entry.len as usize)
                .to_vec()
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn set<T>(file: &File, option: i32, value: &T) {
    let size = size_of::<T>() as u32;
    let fd = file.as_raw_fd();
    // SAFETY: the value lives until the call returns, and has the size that is given.
    let done =
        unsafe { libc::setsockopt(fd, libc::SOL_XDP, option, ptr::from_ref(value).cast(), size) };
    assert_eq!(done, 0, "option {option}: {}", io::Error::last_os_error());
}

fn offsets(file: &File) -> libc::xdp_mmap_offsets {
    // SAFETY: zeros are a value of a structure of integers.
    let mut offsets: libc::xdp_mmap_offsets = unsafe { std::mem::zeroed() };
    let mut size = size_of_val(&offsets) as u32;
    let fd = file.as_raw_fd();
    let to = (&raw mut offsets).cast();
    // SAFETY: both live until the call returns, which writes at most `size` bytes.
    let done =
        unsafe { libc::getsockopt(fd, libc::SOL_XDP, libc::XDP_MMAP_OFFSETS, to, &mut size) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
    offsets
}

/// Memory of the socket at an offset, or with -1 of nobody else; kept until the process ends.
fn map(fd: i32, size: usize, offset: i64) -> *mut u8 {
    let flags = if fd < 0 {
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS
    } else {
        libc::MAP_SHARED | libc::MAP_POPULATE
    };
    // SAFETY: a new mapping at a place of the kernel's choice touches no memory that is in use.
    let at = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            fd,
            offset,
        )
    };
    assert_ne!(at, libc::MAP_FAILED, "{}", io::Error::last_os_error());
    at.cast()
}

/// A ring's index, which the kernel reads and writes too.
fn word<'a>(ring: *mut u8, offset: u64) -> &'a AtomicU32 {
    // SAFETY: the kernel says where the word is in the mapping, which is never undone.
    unsafe { AtomicU32::from_ptr(ring.add(offset as usize).cast()) }
}
