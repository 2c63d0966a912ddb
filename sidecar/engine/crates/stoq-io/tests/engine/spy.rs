//! Somebody on the path before a server, who keeps all that passes, and may hold some of it back.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Which datagrams do not pass.
type Held = Box<dyn Fn(&[u8]) -> bool + Send>;

/// Relays for one client until it is dropped.
pub(crate) struct Spy {
    address: SocketAddr,
    front: UdpSocket,
    /// Who sent last, and gets what the server says.
    client: Arc<Mutex<SocketAddr>>,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    held: Arc<Mutex<Held>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Spy {
    pub(crate) fn before(server: SocketAddr) -> Self {
        let bind = || {
            let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
            let patience = Duration::from_millis(20);
            socket.set_read_timeout(Some(patience)).unwrap();
            socket
        };
        let (front, back) = (bind(), bind());
        back.connect(server).unwrap();
        let address = front.local_addr().unwrap();
        let nothing: Held = Box::new(|_| false);
        let held = Arc::new(Mutex::new(nothing));
        let (seen, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let client = Arc::new(Mutex::new(address));
        let relay = |from: UdpSocket, to: UdpSocket, forth: bool| {
            let (seen, stop): (Arc<Mutex<Vec<Vec<u8>>>>, _) =
                (Arc::clone(&seen), Arc::clone(&stop));
            let held = Arc::clone(&held);
            let client = Arc::clone(&client);
            std::thread::spawn(move || {
                let mut room = [0; 65_536];
                while !stop.load(Ordering::Relaxed) {
                    let Ok((length, sender)) = from.recv_from(&mut room) else {
                        continue;
                    };
                    seen.lock().unwrap().push(room[..length].to_vec());
                    if held.lock().unwrap()(&room[..length]) {
                        continue;
                    }
                    if forth {
                        *client.lock().unwrap() = sender;
                        let _ = to.send(&room[..length]);
                    } else {
                        let _ = to.send_to(&room[..length], *client.lock().unwrap());
                    }
                }
            })
        };
        let ours = front.try_clone().unwrap();
        let copies = (front.try_clone().unwrap(), back.try_clone().unwrap());
        let threads = vec![relay(front, back, true), relay(copies.1, copies.0, false)];
        Self {
            address,
            front: ours,
            client,
            seen,
            held,
            stop,
            threads,
        }
    }

    /// Where the server seems to be.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All bytes so far, of both directions.
    pub(crate) fn seen(&self) -> Vec<u8> {
        self.seen.lock().unwrap().concat()
    }

    /// The datagrams so far with short headers and this length.
    pub(crate) fn short_ones(&self, length: usize) -> Vec<Vec<u8>> {
        let seen = self.seen.lock().unwrap();
        let short = |one: &&Vec<u8>| one.len() == length && one[0] & 0x80 == 0;
        seen.iter().filter(short).cloned().collect()
    }

    /// The datagrams so far that begin with a long header, of both directions.
    pub(crate) fn long_ones(&self) -> Vec<Vec<u8>> {
        let seen = self.seen.lock().unwrap();
        let long = |one: &&Vec<u8>| one.first().is_some_and(|first| first & 0x80 != 0);
        seen.iter().filter(long).cloned().collect()
    }

    /// Says something to the client in the server's name.
    pub(crate) fn says(&self, datagram: &[u8]) {
        let client = *self.client.lock().unwrap();
        self.front.send_to(datagram, client).unwrap();
    }

    /// Lets some no longer pass.
    pub(crate) fn holds_back(&self, which: impl Fn(&[u8]) -> bool + Send + 'static) {
        *self.held.lock().unwrap() = Box::new(which);
    }
}

impl Drop for Spy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
