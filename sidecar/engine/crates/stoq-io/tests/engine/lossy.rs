//! A path that loses datagrams: a UDP relay on loopback.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use stoq_wire::cid::CID_LEN;

/// How long nothing passes once the loss has begun.
const OUTAGE: Duration = Duration::from_millis(1500);

/// What is lost.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Loss {
    /// Everything.
    All,
    /// Everything for 1.5 seconds, after so many datagrams.
    After(u64),
    /// What one connection sends to the server: that of the first datagram after so many.
    Connection(u64),
}

/// Relays until it is dropped.
pub(crate) struct Lossy {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// What both directions count.
#[derive(Default)]
struct Path {
    passed: AtomicU64,
    began: std::sync::OnceLock<Instant>,
    /// The connection that is lost, by its id towards the server.
    lost: std::sync::OnceLock<[u8; CID_LEN]>,
}

impl Path {
    /// Whether a datagram is lost that goes to the server.
    fn loses(&self, loss: Loss, datagram: &[u8]) -> bool {
        let Loss::Connection(_) = loss else {
            return self.loses_any(loss);
        };
        match datagram {
            // A short header names the connection (RFC 9000, 17.3).
            [0..0x80, rest @ ..] => {
                let id = rest.first_chunk().copied().unwrap_or_default();
                self.is_begun(loss) && *self.lost.get_or_init(|| id) == id
            }
            _ => false,
        }
    }

    /// Whether a datagram is lost wherever it goes.
    fn loses_any(&self, loss: Loss) -> bool {
        match loss {
            Loss::All => true,
            Loss::Connection(_) => false,
            Loss::After(_) => {
                self.is_begun(loss) && self.began.get_or_init(Instant::now).elapsed() < OUTAGE
            }
        }
    }

    /// Counts a datagram, and says whether so many have passed before it.
    fn is_begun(&self, loss: Loss) -> bool {
        match loss {
            Loss::All => true,
            Loss::After(most) | Loss::Connection(most) => {
                self.passed.fetch_add(1, Ordering::Relaxed) >= most
            }
        }
    }
}

impl Lossy {
    /// A relay to `server`.
    pub(crate) fn start(server: SocketAddr, loss: Loss) -> Self {
        let front = UdpSocket::bind("[::1]:0").unwrap();
        front
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let (address, stop) = (
            front.local_addr().unwrap(),
            Arc::new(AtomicBool::new(false)),
        );
        let ended = Arc::clone(&stop);
        let thread = std::thread::spawn(move || relay(&front, server, loss, &ended));
        Self {
            address,
            stop,
            threads: vec![thread],
        }
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

/// Has a socket towards the server for each client, and a thread for its answers.
fn relay(front: &UdpSocket, server: SocketAddr, loss: Loss, stop: &Arc<AtomicBool>) {
    let path = Arc::new(Path::default());
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
            let back = UdpSocket::bind("[::1]:0").unwrap();
            back.connect(server).unwrap();
            back.set_read_timeout(Some(Duration::from_millis(20)))
                .unwrap();
            let answers = (back.try_clone().unwrap(), front.try_clone().unwrap());
            let (path, stop) = (Arc::clone(&path), Arc::clone(stop));
            threads.push(std::thread::spawn(move || {
                let mut buffer = vec![0; 65_536];
                while !stop.load(Ordering::Relaxed) {
                    match answers.0.recv(&mut buffer) {
                        Ok(length) if !path.loses_any(loss) => {
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
