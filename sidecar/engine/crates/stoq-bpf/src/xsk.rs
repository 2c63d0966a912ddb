//! AF_XDP sockets, as the kernel makes them: with memory for frames, four rings, and a queue of an
//! interface (Documentation/networking/af_xdp.rst). All of it happens in the network namespace of the
//! calling thread.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Bytes of a queue's memory, whatever the size of its chunks: it is pinned, and counts as the lender's.
pub(crate) const MEMORY: u32 = 8 << 20;

/// Entries of each ring, where chunks have `chunk` bytes. One ring's frames come and the other's go, so
/// that is half the chunks.
pub(crate) const fn ring(chunk: u32) -> u32 {
    MEMORY / chunk / 2
}

/// `BPF_LINK_CREATE` and `BPF_XDP` (linux/bpf.h).
const LINK_CREATE: libc::c_long = 28;
const XDP: u32 = 37;

/// Bytes of a send buffer: it bounds the frames that the driver has not sent yet.
const SEND_BUFFER: libc::c_int = 4 << 20;

/// How a program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attach {
    /// In the driver.
    Native,
    /// In the kernel, after the driver.
    Generic,
}

impl Attach {
    /// `XDP_FLAGS_DRV_MODE` and `XDP_FLAGS_SKB_MODE` (linux/if_link.h).
    const fn flags(self) -> u32 {
        match self {
            Self::Native => 1 << 2,
            Self::Generic => 1 << 1,
        }
    }
}

/// A socket of one queue, bound, and the memory of its frames.
pub(crate) struct Queue {
    pub socket: OwnedFd,
    pub memory: OwnedFd,
}

/// The index and the MTU of an interface.
pub(crate) fn interface(name: &str) -> io::Result<(u32, u32)> {
    let wrong = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let text = CString::new(name).map_err(wrong)?;
    if text.as_bytes().len() >= libc::IFNAMSIZ {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the name ends with a zero and lives until the call returns.
    let index = unsafe { libc::if_nametoindex(text.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    let socket = open(libc::AF_INET, libc::SOCK_DGRAM)?;
    // SAFETY: integers, arrays of them and a union of such: all zeros is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(text.as_bytes()) {
        *to = *from as libc::c_char;
    }
    // SAFETY: the request is of the type that this call reads and fills, and lives until it returns.
    done(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU, &raw mut request) })?;
    // SAFETY: the call has succeeded, so this is the member that it has filled.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    Ok((index, mtu.unsigned_abs()))
}

/// Keeps a program attached as long as somebody holds what is returned (`BPF_LINK_CREATE`).
pub(crate) fn attach(program: impl AsFd, index: u32, how: Attach) -> io::Result<OwnedFd> {
    // union bpf_attr, as far as this command reads it.
    let attributes: [u32; 4] = [
        program.as_fd().as_raw_fd().cast_unsigned(),
        index,
        XDP,
        how.flags(),
    ];
    // SAFETY: the attributes live until the call returns, and their size is given.
    let link = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            LINK_CREATE,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    };
    owned(link as libc::c_int)
}

/// Makes a socket that is in no queue yet. Takes CAP_NET_RAW.
pub(crate) fn socket() -> io::Result<OwnedFd> {
    open(libc::AF_XDP, libc::SOCK_RAW)
}

/// Binds a socket to a queue of an interface, with chunks of `chunk` bytes, of which a frame may take
/// several if it is `scattered`.
pub(crate) fn bind(
    index: u32,
    queue: u32,
    chunk: u32,
    zero_copy: bool,
    scattered: bool,
) -> io::Result<Queue> {
    let socket = socket()?;
    let memory = memory(u64::from(MEMORY))?;
    register(&socket, &memory, chunk)?;
    for option in [
        libc::XDP_UMEM_FILL_RING,
        libc::XDP_UMEM_COMPLETION_RING,
        libc::XDP_RX_RING,
        libc::XDP_TX_RING,
    ] {
        set(&socket, libc::SOL_XDP, option, &ring(chunk))?;
    }
    set(
        &socket,
        libc::SOL_SOCKET,
        libc::SO_SNDBUFFORCE,
        &SEND_BUFFER,
    )?;
    let copying = if zero_copy {
        libc::XDP_ZEROCOPY
    } else {
        libc::XDP_COPY
    };
    let buffers = if scattered { libc::XDP_USE_SG } else { 0 };
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: copying | buffers | libc::XDP_USE_NEED_WAKEUP,
        sxdp_ifindex: index,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: 0,
    };
    // SAFETY: an address of this family, which lives until the call returns; the size is its own.
    done(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    })?;
    Ok(Queue { socket, memory })
}

/// Memory that can be passed on, and that nobody can make smaller: who maps it may rely on it.
fn memory(size: u64) -> io::Result<OwnedFd> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name ends with a zero and is static.
    let memory = owned(unsafe { libc::memfd_create(c"stoq-xsk".as_ptr(), flags) })?;
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: no pointers, and the descriptor is open.
    done(unsafe { libc::ftruncate(memory.as_raw_fd(), size as libc::off_t) })?;
    // SAFETY: as above.
    done(unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
    Ok(memory)
}

/// Has the kernel pin the memory as the socket's chunks. It needs an address for that, for a moment.
fn register(socket: &OwnedFd, memory: &OwnedFd, chunk: u32) -> io::Result<()> {
    let size = MEMORY as usize;
    let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: a new mapping, at a place that the kernel chooses, of a file of this size.
    let address =
        unsafe { libc::mmap(ptr::null_mut(), size, access, shared, memory.as_raw_fd(), 0) };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let umem = libc::xdp_umem_reg {
        addr: address as u64,
        len: size as u64,
        chunk_size: chunk,
        headroom: 0,
        flags: 0,
        tx_metadata_len: 0,
    };
    let registered = set(socket, libc::SOL_XDP, libc::XDP_UMEM_REG, &umem);
    // SAFETY: the mapping made above, to which nothing here refers; the kernel has pinned the pages.
    unsafe { libc::munmap(address, size) };
    registered
}

fn set<T>(socket: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the value lives until the call returns, and the size is its own.
    done(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    })
}

fn open(family: libc::c_int, kind: libc::c_int) -> io::Result<OwnedFd> {
    let kind = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers.
    owned(unsafe { libc::socket(family, kind, 0) })
}

fn owned(descriptor: RawFd) -> io::Result<OwnedFd> {
    done(descriptor)?;
    // SAFETY: the kernel has just made it, for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
