//! `xsk_redirect`: lends the datagrams of an interface to an engine.
//!
//! Everything that takes a capability is done here, once: what is lent are descriptors, which may be
//! passed to a process without any. Nothing is pinned. The program stays attached while somebody holds
//! `program`, and takes packets only while there are sockets and `taken` says so: so it ends with the
//! engine, whatever that dies of.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use aya::maps::{Array, Map, MapData, XskMap};

use crate::address::mapped;
use crate::error::Error;
use crate::load::Loaded;
use crate::maps::at;
use crate::object::Object;
use crate::run::Action;
use crate::shared::{Taken, XSK_QUEUES};
use crate::xsk::{self, Attach};

const PROGRAM: &str = "xsk_redirect";
const SOCKETS: &str = "xsk_sockets";
const TAKEN: &str = "xsk_taken";

/// Bytes that the kernel leaves free before a frame (`XDP_PACKET_HEADROOM`).
const HEADROOM: u32 = 256;
/// Bytes of an Ethernet header.
const ETHERNET: u32 = 14;
/// Sizes of chunks that the kernel takes on every machine; a page at most.
const CHUNKS: [u32; 2] = [2048, 4096];
/// Chunks that the kernel puts a packet into at most (`MAX_SKB_FRAGS` and the first).
const PARTS: u32 = 18;

/// The program, loaded and not attached.
#[derive(Debug)]
pub struct Redirect(Loaded);

/// An interface's AF_XDP sockets and what belongs to them, for one engine.
#[derive(Debug)]
pub struct Lent {
    /// Entries of each ring of a queue.
    pub ring: u32,
    /// Bytes of a chunk; a queue's memory, 8 MiB, has twice as many chunks as a ring has entries.
    pub chunk: u32,
    /// Whether a frame may take several chunks, up to 18, each but the first part of it without a header.
    pub scattered: bool,
    /// Why frames larger than a chunk are left to the stack; none where none of the interface's are.
    pub left: Option<String>,
    /// Whether the program runs in the driver.
    pub native: bool,
    /// Whether the device writes into the memory itself.
    pub zero_copy: bool,
    /// Keeps the program attached.
    pub program: OwnedFd,
    /// `struct stoq_xsk_taken`, to be mapped: what the engine takes; nothing at first.
    pub taken: OwnedFd,
    /// The queues, in the order of their numbers, from 0 on.
    pub queues: Vec<LentQueue>,
}

/// A queue of an interface.
#[derive(Debug)]
pub struct LentQueue {
    /// The AF_XDP socket, bound.
    pub socket: OwnedFd,
    /// The memory of its frames, sealed.
    pub memory: OwnedFd,
}

impl Redirect {
    /// Loads it.
    ///
    /// # Errors
    /// As the variants of [`Error`] say.
    pub fn load() -> Result<Self, Error> {
        Ok(Self(Loaded::load(Object::Redirect, None)?))
    }

    /// Attaches it to an interface of the calling thread's namespace, in the driver if that can, and
    /// makes a socket for each of its queues, 32 at most. Takes CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW and,
    /// for the memory, CAP_IPC_LOCK or a limit of locked memory above it.
    ///
    /// # Errors
    /// [`Error::Lend`], also when another XDP program is there or, with `zero_copy`, the driver cannot.
    /// That frames cannot take several chunks, which they need with an MTU above 3,826, is none: the larger
    /// ones are left to the stack then.
    pub fn lend(mut self, interface: &str, zero_copy: bool) -> Result<Lent, Error> {
        let failed = |step| {
            move |error| Error::Lend {
                interface: interface.into(),
                step,
                error,
            }
        };
        let (index, mtu) = xsk::interface(interface).map_err(failed("no such interface"))?;
        let (chunk, parts) = chunks(mtu).ok_or_else(|| {
            let why = format!("its MTU is {mtu}, and {PARTS} chunks take 69,106 bytes at most");
            failed("its packets are too large")(io::Error::other(why))
        })?;
        let (program, how) = self.attach(index).map_err(failed("XDP"))?;
        let mut buffers = Buffers::new(parts > 1);
        let mut queues = Vec::new();
        for number in 0..XSK_QUEUES {
            let bound = buffers.bind(number == 0, |scattered| {
                xsk::bind(index, number, chunk, zero_copy, scattered)
            });
            match bound {
                Ok(queue) => queues.push(LentQueue {
                    socket: queue.socket,
                    memory: queue.memory,
                }),
                // There are no more.
                Err(error) if number > 0 && error.raw_os_error() == Some(libc::EINVAL) => break,
                Err(error) => return Err(failed("AF_XDP")(error)),
            }
        }
        for (number, queue) in queues.iter().enumerate() {
            self.put(number as u32, &queue.socket)?;
        }
        let taken = self.taken()?;
        let taken = taken.fd().as_fd().try_clone_to_owned();
        Ok(Lent {
            ring: xsk::ring(chunk),
            chunk,
            scattered: buffers.scattered,
            left: buffers.refused.map(|error| {
                format!(
                    "packets above 3,826 bytes go by the stack: frames of several buffers: {error}"
                )
            }),
            native: how == Attach::Native,
            zero_copy,
            program,
            taken: taken.map_err(failed("its map"))?,
            queues,
        })
    }

    fn attach(&mut self, index: u32) -> io::Result<(OwnedFd, Attach)> {
        let program = match self.0.program(PROGRAM) {
            aya::programs::Program::Xdp(xdp) => xdp.fd().map_err(io::Error::other)?,
            other => unreachable!("load::verify refuses type {:?}", other.prog_type()),
        };
        match xsk::attach(program, index, Attach::Native) {
            Ok(link) => Ok((link, Attach::Native)),
            // Somebody else's program is there: not to be pushed aside, nor to be run after.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST)) => {
                Err(error)
            }
            Err(_) => Ok((
                xsk::attach(program, index, Attach::Generic)?,
                Attach::Generic,
            )),
        }
    }

    /// Puts a socket, bound or not, in the place of a queue.
    ///
    /// # Errors
    /// [`Error::Map`] as the kernel says.
    fn put(&mut self, queue: u32, socket: &OwnedFd) -> Result<(), Error> {
        let mut map: XskMap<_> = self.0.map_mut(SOCKETS)?;
        map.set(queue, socket.as_raw_fd(), 0).map_err(at(SOCKETS))
    }

    fn taken(&self) -> Result<&MapData, Error> {
        Ok(match self.0.any_map(TAKEN) {
            Map::Array(data) => data,
            other => unreachable!("layout::check has seen an array, not {other:?}"),
        })
    }

    /// As an engine says what it takes, with a socket for queue 0 that leads nowhere: for runs without a
    /// network.
    ///
    /// # Errors
    /// [`Error::Lend`] without the right to make such a socket, [`Error::Map`] as the kernel says.
    ///
    /// # Panics
    /// With more than 16 addresses.
    pub fn pretend(
        &mut self,
        largest: u32,
        addresses: &[IpAddr],
        ports: &[u16],
    ) -> Result<OwnedFd, Error> {
        let socket = xsk::socket().map_err(|error| Error::Lend {
            interface: "no interface".into(),
            step: "AF_XDP",
            error,
        })?;
        self.put(0, &socket)?;
        let mut taken = Taken {
            largest,
            addresses: addresses.len() as u32,
            address: [[0; 16]; 16],
            ports: [0; 1024],
        };
        for (to, address) in taken.address[..addresses.len()].iter_mut().zip(addresses) {
            *to = mapped(*address);
        }
        for port in ports {
            taken.ports[usize::from(port >> 6)] |= 1 << (port & 63);
        }
        let mut map: Array<_, Taken> = self.0.map_mut(TAKEN)?;
        map.set(0, taken, 0).map_err(at(TAKEN))?;
        Ok(socket)
    }

    /// Runs it on one frame of queue 0.
    ///
    /// # Errors
    /// [`Error::Program`] for a frame that the kernel cannot make.
    pub fn run(&mut self, frame: &[u8]) -> Result<Action, Error> {
        self.0.run_xdp(PROGRAM, frame)
    }
}

/// The smallest chunk that takes a packet of `mtu` bytes and its Ethernet header, or the largest one and
/// how many of them do.
fn chunks(mtu: u32) -> Option<(u32, u32)> {
    let parts = |size: u32| mtu.saturating_add(ETHERNET).div_ceil(size - HEADROOM);
    let one = CHUNKS.into_iter().find(|size| parts(*size) == 1);
    let size = one.unwrap_or(CHUNKS[CHUNKS.len() - 1]);
    Some((size, parts(size))).filter(|(_, parts)| *parts <= PARTS)
}

/// Whether frames take several buffers (`XDP_USE_SG`): where they need to, unless it is refused, by kernels
/// before Linux 6.6 and by drivers that write into the memory themselves.
struct Buffers {
    scattered: bool,
    refused: Option<io::Error>,
}

impl Buffers {
    fn new(needed: bool) -> Self {
        Self {
            scattered: needed,
            refused: None,
        }
    }

    /// Binds the `first` queue or another one: all are as the first can be.
    fn bind<T>(&mut self, first: bool, bind: impl Fn(bool) -> io::Result<T>) -> io::Result<T> {
        let refused = match bind(self.scattered) {
            Err(error) if first && self.scattered => error,
            other => return other,
        };
        let bound = bind(false)?;
        self.scattered = false;
        self.refused = Some(refused);
        Ok(bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_takes_the_interfaces_packets() {
        assert_eq!(chunks(1500), Some((2048, 1)));
        assert_eq!(chunks(1778), Some((2048, 1)));
        assert_eq!(chunks(1779), Some((4096, 1)));
        assert_eq!(chunks(3826), Some((4096, 1)));
        assert_eq!(chunks(3827), Some((4096, 2)));
        assert_eq!(chunks(9000), Some((4096, 3)));
        assert_eq!(chunks(69_106), Some((4096, 18)));
        assert_eq!(chunks(69_107), None);
        assert_eq!(chunks(u32::MAX), None);
    }

    #[test]
    fn where_several_buffers_are_refused_every_queue_has_single_ones() {
        let refuses = |scattered| match scattered {
            true => Err(io::Error::from_raw_os_error(libc::EINVAL)),
            false => Ok(scattered),
        };
        let mut buffers = Buffers::new(true);
        assert!(!buffers.bind(true, refuses).unwrap());
        assert!(!buffers.bind(false, refuses).unwrap());
        assert!(!buffers.scattered);
        assert_eq!(buffers.refused.unwrap().raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    fn what_has_another_reason_is_no_refusal_of_several_buffers() {
        let mut buffers = Buffers::new(true);
        let fails = |_| Err::<(), _>(io::Error::from_raw_os_error(libc::EPERM));
        assert!(buffers.bind(true, fails).is_err());
        assert!(buffers.bind(true, Ok).unwrap(), "it was asked for again");
        assert!(
            buffers.bind(false, fails).is_err(),
            "there are no more queues"
        );
        assert!(buffers.scattered && buffers.refused.is_none());
    }

    #[test]
    fn several_buffers_are_not_asked_for_where_one_is_enough() {
        let mut buffers = Buffers::new(false);
        assert!(!buffers.bind(true, Ok).unwrap());
        assert!(!buffers.scattered && buffers.refused.is_none());
    }

    #[test]
    fn the_map_has_as_many_places_as_queues_are_asked_for() {
        let parsed = aya_obj::Object::parse(Object::Redirect.bytes()).unwrap();
        assert_eq!(parsed.maps[SOCKETS].max_entries(), XSK_QUEUES);
    }
}
