//! A real bottleneck between two namespaces: a token bucket on the link.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;
use stoq_io::{Adaptation, Engine};

use crate::mesh::{Mesh, accept, application, eventually, within};
use crate::net::Link;

/// How long a tier may take. What the link drops when it becomes slower may lead to the lowest one, from
/// which the way up goes tier by tier, each after a time in which nothing is lost.
const CLIMB: Duration = Duration::from_secs(90);

/// A client that sends as fast as it can.
struct Bulk {
    received: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Bulk {
    fn start(mut client: TcpStream, listener: TcpListener) -> Self {
        let received = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (count, stopped) = (Arc::clone(&received), Arc::clone(&stop));
        let writer = thread::spawn(move || {
            let piece = [7; 16_384];
            client
                .set_write_timeout(Some(Duration::from_millis(200)))
                .unwrap();
            while !stopped.load(Ordering::Relaxed) {
                match client.write(&piece) {
                    Ok(written) => assert!(written > 0),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
        });
        let reader = thread::spawn(move || {
            let mut server = accept(&listener);
            let mut buffer = vec![0; 1 << 16];
            while let Ok(length @ 1..) = server.read(&mut buffer) {
                assert!(buffer[..length].iter().all(|byte| *byte == 7));
                count.fetch_add(length as u64, Ordering::Relaxed);
            }
        });
        Self {
            received,
            stop,
            threads: vec![writer, reader],
        }
    }

    /// Mbit/s that arrive during a time.
    fn goodput(&self, during: Duration) -> f64 {
        let (begun, before) = (Instant::now(), self.received.load(Ordering::Relaxed));
        thread::sleep(during);
        let bytes = self.received.load(Ordering::Relaxed) - before;
        bytes as f64 * 8e-6 / begun.elapsed().as_secs_f64()
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

/// How the engine's connection has adapted, once there is one.
fn adaptation(engine: &Engine) -> Option<Adaptation> {
    engine.connections().pop()?.adaptation
}

#[test]
fn a_connection_finds_its_tier_behind_a_bottleneck_and_follows_its_changes() {
    let link = Link::new(60);
    let mesh = Mesh::across(&link, &json!({}));
    let listener = link.server(application);
    let bulk = Bulk::start(link.client(|| mesh.dial()), listener);
    let is_in = |tier: &str| {
        let mut found = None;
        within(CLIMB, tier, || {
            found = adaptation(&mesh.web)
                .filter(|told| told.changes.first().is_some_and(|last| last.to == tier));
            found.is_some()
        });
        let told = found.unwrap();
        assert!(told.changes[0].applied && told.changes[0].cause == "measured");
        told
    };
    let told = is_in("standard");
    assert_eq!((told.send_window, told.gso_segments), (16_000_000, 32));
    eventually("BBR controls it", || {
        adaptation(&mesh.web).is_some_and(|told| told.congestion == "bbr3")
    });
    // The machine may be busy for a while, and make up for it in the next.
    let carries = |mbits: Range<f64>| {
        eventually(&format!("{mbits:?} Mbit/s"), || {
            mbits.contains(&bulk.goodput(Duration::from_secs(2)))
        });
    };
    carries(35.0..60.0);

    link.set_rate(8);
    let told = is_in("home");
    assert_eq!((told.send_window, told.gso_segments), (8_000_000, 16));
    carries(4.0..9.0);

    link.set_rate(60);
    let told = is_in("standard");
    // Twice up at the beginning, down and up again, with one tier more than it takes on each way.
    assert!(told.changes.len() <= 8, "{:?}", told.changes);
    carries(35.0..60.0);
    bulk.end();
}
