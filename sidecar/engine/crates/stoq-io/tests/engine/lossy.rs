//! A path that loses datagrams: a UDP relay on loopback.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use stoq_wire::cid::CID_LEN;

/// Bytes that wait for a thread of the relay which does not run: else it would lose more than it is
/// told to.
const WAITING: usize = 4 << 20;

/// How long nothing passes once the loss has begun.
const OUTAGE: Duration = Duration::from_secs(4);

/// What is lost.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Loss {
    /// Everything.
    All,
    /// Everything for four seconds, after so many datagrams.
    After(u64),
    /// What one connection sends to the server: that of the first datagram after so many.
    Connection(u64),
    /// What another connection than the first sends to the server, from [`Lossy::begin`] on.
    Further,
    /// What the server sends to it.
    FurtherBack,
}

/// Relays until it is dropped.
pub(crate) struct Lossy {
    address: SocketAddr,
    path: Arc<Path>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// What both directions count.
#[derive(Default)]
struct Path {
    passed: AtomicU64,
    told: AtomicBool,
    began: std::sync::OnceLock<Instant>,
    /// The first connection and that which is lost, by their ids in the direction that is lost.
    first: std::sync::OnceLock<Id>,
    lost: std::sync::OnceLock<Id>,
}

type Id = [u8; CID_LEN];

/// The connection that a datagram with a short header names (RFC 9000, 17.3).
fn named(datagram: &[u8]) -> Option<Id> {
    match datagram {
        [0..0x80, rest @ ..] => rest.first_chunk().copied(),
        _ => None,
    }
}

impl Path {
    /// Whether a datagram is lost that goes to the server.
    fn loses(&self, loss: Loss, datagram: &[u8]) -> bool {
        match loss {
            Loss::Connection(_) => {
                named(datagram).is_some_and(|id| self.is_begun(loss) && self.is_lost(id))
            }
            Loss::Further => self.loses_further(loss, datagram),
            _ => self.loses_any(loss),
        }
    }

    /// Whether one is lost that comes from the server.
    fn loses_back(&self, loss: Loss, datagram: &[u8]) -> bool {
        match loss {
            Loss::FurtherBack => self.loses_further(loss, datagram),
            _ => self.loses_any(loss),
        }
    }

    fn loses_further(&self, loss: Loss, datagram: &[u8]) -> bool {
        named(datagram).is_some_and(|id| {
            let further = *self.first.get_or_init(|| id) != id;
            further && self.is_begun(loss) && self.is_lost(id)
        })
    }

    /// Whether it is this connection; the first that is asked about is.
    fn is_lost(&self, id: Id) -> bool {
        *self.lost.get_or_init(|| id) == id
    }

    /// Whether a datagram is lost wherever it goes.
    fn loses_any(&self, loss: Loss) -> bool {
        match loss {
            Loss::All => true,
            Loss::Connection(_) | Loss::Further | Loss::FurtherBack => false,
            Loss::After(_) => {
                self.is_begun(loss) && self.began.get_or_init(Instant::now).elapsed() < OUTAGE
            }
        }
    }

    /// Counts a datagram, and says whether so many have passed before it, or whether we were told.
    fn is_begun(&self, loss: Loss) -> bool {
        match loss {
            Loss::All => true,
            Loss::Further | Loss::FurtherBack => self.told.load(Ordering::Relaxed),
            Loss::After(most) | Loss::Connection(most) => {
                self.passed.fetch_add(1, Ordering::Relaxed) >= most
            }
        }
    }
}

impl Lossy {
    /// A relay to `server`, at another port of its address.
    pub(crate) fn start(server: SocketAddr, loss: Loss) -> Self {
        let front = socket(server);
        let (address, stop) = (
            front.local_addr().unwrap(),
            Arc::new(AtomicBool::new(false)),
        );
        let path = Arc::new(Path::default());
        let (ended, between) = (Arc::clone(&stop), Arc::clone(&path));
        let thread = std::thread::spawn(move || relay(&front, server, (loss, &between), &ended));
        Self {
            address,
            path,
            stop,
            threads: vec![thread],
        }
    }

    /// From now on it loses what waits for this.
    pub(crate) fn begin(&self) {
        self.path.told.store(true, Ordering::Relaxed);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A socket at another port of the server's address.
fn socket(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    socket2::SockRef::from(&socket)
        .set_recv_buffer_size(WAITING)
        .unwrap();
    socket
}

/// Has a socket towards the server for each client, and a thread for its answers.
fn relay(
    front: &UdpSocket,
    server: SocketAddr,
    (loss, path): (Loss, &Arc<Path>),
    stop: &Arc<AtomicBool>,
) {
    let mut clients: HashMap<SocketAddr, UdpSocket> = HashMap::new();
    let mut threads = Vec::new();
    let mut buffer = vec![0; 65_536];
    while !stop.load(Ordering::Relaxed) {
        let (length, client) = match front.recv_from(&mut buffer) {
            Ok(found) => found,
            Err(error) if is_idle(&error) => continue,
            Err(error) => panic!("{error}"),
        };
        let back = clients.entry(client).or_insert_with(|| {
            let back = socket(server);
            back.connect(server).unwrap();
            let answers = (back.try_clone().unwrap(), front.try_clone().unwrap());
            let (path, stop) = (Arc::clone(path), Arc::clone(stop));
            threads.push(std::thread::spawn(move || {
                let mut buffer = vec![0; 65_536];
                while !stop.load(Ordering::Relaxed) {
                    match answers.0.recv(&mut buffer) {
                        Ok(length) if !path.loses_back(loss, &buffer[..length]) => {
                            let _ = answers.1.send_to(&buffer[..length], client);
                        }
                        _ => {}
                    }
                }
            }));
            back
        });
        if !path.loses(loss, &buffer[..length]) {
            let _ = back.send(&buffer[..length]);
        }
    }
    for thread in threads {
        let _ = thread.join();
    }
}

fn is_idle(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::ConnectionRefused
    )
}
