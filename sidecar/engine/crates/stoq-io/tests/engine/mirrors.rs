//! Copies of flows for a shadow: three engines, of which the client's copies what it says.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stoq_io::counters::CounterValues;
use stoq_io::{Engine, Snapshot};
use stoq_wire::extension::{SEEDS, STREAM_TOKENS};
use stoq_wire::parameters::StoqParameters;

use crate::mesh::{
    APPLICATION, Mesh, SERVICE, accept, application, eventually, id, start, table_with,
};
use crate::net::{DB, OUTSIDE, VIP, WEB, in_namespace};

/// The shadow's pod.
const SHADOW: &str = OUTSIDE;

/// The shadow's virtual address, which nobody dials.
const SHADOW_VIP: &str = "fd00::54";

fn offering(extensions: u64) -> StoqParameters {
    StoqParameters {
        extensions,
        ..StoqParameters::default()
    }
}

/// Client, server and shadow.
struct Mirrored {
    mesh: Mesh,
    shadow: Engine,
}

impl Drop for Mirrored {
    fn drop(&mut self) {
        self.shadow.shutdown();
    }
}

/// What all know of each other, and `more`.
fn world(more: &Value) -> Value {
    let workload = |name: &str, account: &str, address: &str| {
        json!({
            "uid": name, "name": name, "namespace": "shop",
            "spiffe_id": id(account).as_str(), "addresses": [address], "port": 14008,
        })
    };
    let mut all = json!({
        "workloads": [
            workload("web-0", "web", WEB),
            workload("db-0", "db", DB),
            workload("shadow-0", "shadow", SHADOW),
        ],
        "exempt_sources": [],
    });
    for (key, value) in more.as_object().unwrap() {
        all[key] = value.clone();
    }
    all
}

impl Mirrored {
    /// With this share of ten thousand, extensions that all offer, and what the shadow's table says
    /// of mirrors.
    fn with(share: u16, extensions: u64, shadow: &Value) -> Self {
        let mesh = Mesh::offering(offering(extensions), offering(extensions));
        let settings = json!({
            "name": "shadow-0", "namespace": "shop", "workers": 1,
            "stoq": {"listen": format!("[{SHADOW}]:14008")},
        });
        let tls = mesh.authority.offering("shadow", offering(extensions));
        let mirrored = Self {
            shadow: start(settings, tls),
            mesh,
        };
        let table = table_with("shadow-0", SHADOW, world(shadow));
        mirrored.shadow.set_table(table);
        mirrored.set_share(share);
        mirrored
    }

    fn start() -> Self {
        Self::with(10_000, SEEDS, &json!({"mirrors_from": []}))
    }

    fn set_share(&self, share: u16) {
        let mirrors = match share {
            0 => json!([]),
            share => json!([{"vip": SHADOW_VIP, "share": share}]),
        };
        let service = |name: &str, vip: &str, address: &str, mirrors: Value| {
            json!({
                "name": name, "namespace": "shop", "vips": [vip],
                "ports": [{"port": SERVICE, "target": APPLICATION}],
                "endpoints": [{"address": address}], "mirrors": mirrors,
            })
        };
        let services = json!([
            service("db", VIP, DB, mirrors),
            service("db-shadow", SHADOW_VIP, SHADOW, json!([])),
        ]);
        let more = world(&json!({"services": services}));
        self.mesh.web.set_table(table_with("web-0", WEB, more));
    }

    fn snapshot(&self) -> Snapshot {
        self.mesh.web.snapshot()
    }

    fn counters(&self) -> CounterValues {
        self.snapshot().counters
    }
}

fn shadow_application() -> TcpListener {
    TcpListener::bind(format!("[{SHADOW}]:{APPLICATION}")).unwrap()
}

/// Answers what has come when it has come whole.
fn echo(listener: TcpListener) {
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            thread::spawn(move || {
                let mut received = Vec::new();
                if stream.read_to_end(&mut received).is_ok() {
                    let _ = stream.write_all(&received);
                }
            });
        }
    });
}

fn bytes(length: u32) -> Vec<u8> {
    (0..length)
        .map(|n| (n.wrapping_mul(7919) >> 5) as u8)
        .collect()
}

/// Says this and its end, and has it back.
fn exchange(mut stream: TcpStream, said: &[u8]) {
    let mut writer = stream.try_clone().unwrap();
    let own = said.to_vec();
    let writing = thread::spawn(move || {
        writer.write_all(&own).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    assert!(heard == said, "{} of {} bytes", heard.len(), said.len());
    writing.join().unwrap();
}

fn read_all(mut stream: TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    heard
}

#[test]
fn a_shadow_gets_what_the_client_says_and_its_end_and_is_not_heard() {
    in_namespace(|| {
        let world = Mirrored::start();
        echo(application());
        let shadow = shadow_application();
        let said = bytes(500_000);
        let copy = thread::spawn(move || {
            let mut stream = accept(&shadow);
            stream.write_all(b"whatever the shadow answers").unwrap();
            read_all(stream)
        });
        exchange(world.mesh.dial(), &said);
        assert!(copy.join().unwrap() == said, "the copy is another");
        eventually("the copy is over", || world.counters().mirrors_sent == 1);
        let counters = world.counters();
        assert_eq!(counters.mirrors_sent_bytes, 500_000);
        assert_eq!(counters.mirrors_failed + counters.mirrors_dropped, 0);
        assert_eq!(world.shadow.snapshot().counters.mirrors_received, 1);
        eventually("nothing is left", || world.snapshot().gauges.mirrors == 0);
    });
}

#[test]
fn what_is_copied_has_no_tokens_of_the_original() {
    in_namespace(|| {
        let extensions = SEEDS | STREAM_TOKENS;
        let world = Mirrored::with(10_000, extensions, &json!({"mirrors_from": []}));
        echo(application());
        let shadow = shadow_application();
        let copy = thread::spawn(move || read_all(accept(&shadow)));
        let said = bytes(200_000);
        exchange(world.mesh.dial(), &said);
        assert!(copy.join().unwrap() == said);
    });
}

#[test]
fn a_share_of_connections_is_copied() {
    in_namespace(|| {
        let world = Mirrored::with(5000, SEEDS, &json!({"mirrors_from": []}));
        echo(application());
        echo(shadow_application());
        for _ in 0..60 {
            exchange(world.mesh.dial(), b"one of many");
        }
        eventually("copies are over", || world.snapshot().gauges.mirrors == 0);
        let sent = world.counters().mirrors_sent;
        assert!((10..50).contains(&sent), "{sent} of 60");
        world.set_share(0);
        for _ in 0..10 {
            exchange(world.mesh.dial(), b"none of them");
        }
        assert_eq!(world.counters().mirrors_sent, sent);
    });
}

#[test]
fn a_shadow_that_does_not_read_delays_nobody_and_its_copy_is_dropped() {
    in_namespace(|| {
        let world = Mirrored::start();
        echo(application());
        let shadow = shadow_application();
        let said = bytes(40_000_000);
        exchange(world.mesh.dial(), &said);
        eventually("the copy is dropped", || {
            world.counters().mirrors_dropped == 1
        });
        let copy = accept(&shadow);
        let mut copy = std::io::BufReader::new(copy);
        let ended = std::io::copy(&mut copy, &mut std::io::sink());
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
        exchange(world.mesh.dial(), b"and the next one goes through");
    });
}

#[test]
fn a_shadow_that_is_not_there_fails_no_original_and_is_left_alone() {
    in_namespace(|| {
        let world = Mirrored::start();
        world.shadow.shutdown();
        echo(application());
        for _ in 0..10 {
            let began = Instant::now();
            exchange(world.mesh.dial(), b"hello");
            // The shadow is waited for as long as any dial, which is five seconds.
            assert!(began.elapsed() < Duration::from_secs(5), "it waited");
        }
        eventually("the copies have failed", || {
            world.counters().mirrors_failed > 0
        });
        let skipped = world.counters().mirrors_skipped;
        // The pause is a second at first, and longer after each copy that is begun behind it.
        eventually("the next is not begun", || {
            exchange(world.mesh.dial(), b"hello again");
            world.counters().mirrors_skipped > skipped
        });
    });
}

#[test]
fn a_workload_that_expects_no_copies_denies_them() {
    let other = id("other");
    for table in [json!({}), json!({"mirrors_from": [other.as_str()]})] {
        in_namespace(move || {
            let world = Mirrored::with(10_000, SEEDS, &table);
            echo(application());
            let shadow = shadow_application();
            exchange(world.mesh.dial(), b"not for you");
            eventually("the copy is denied", || {
                world.counters().mirrors_failed == 1
            });
            let refused = world.shadow.snapshot().streams_refused["denied"];
            assert_eq!(refused, 1);
            shadow.set_nonblocking(true).unwrap();
            let nobody = shadow.accept().unwrap_err();
            assert_eq!(nobody.kind(), ErrorKind::WouldBlock);
        });
    }
}

#[test]
fn a_peer_without_the_extension_gets_no_copies() {
    in_namespace(|| {
        let world = Mirrored::with(10_000, 0, &json!({"mirrors_from": []}));
        echo(application());
        exchange(world.mesh.dial(), b"to you alone");
        eventually("the copy has failed", || {
            world.counters().mirrors_failed == 1
        });
    });
}

#[test]
fn an_access_policy_of_the_shadow_holds_for_copies() {
    in_namespace(|| {
        let deny = json!({
            "mirrors_from": [], "access": [{"policy": "shop/closed", "action": "deny"}],
        });
        let world = Mirrored::with(10_000, SEEDS, &deny);
        echo(application());
        exchange(world.mesh.dial(), b"not for you");
        eventually("the copy is refused", || {
            world.counters().mirrors_failed == 1
        });
        let refused = world.shadow.snapshot().streams_refused["access_denied"];
        assert_eq!(refused, 1);
    });
}

#[test]
fn an_original_that_is_reset_resets_its_copy() {
    in_namespace(|| {
        let world = Mirrored::start();
        let (server, shadow) = (application(), shadow_application());
        let mut client = world.mesh.dial();
        client.write_all(b"the beginning").unwrap();
        let original = accept(&server);
        let mut copy = accept(&shadow);
        let mut heard = [0; 13];
        copy.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"the beginning");
        // What was not read makes it a RST.
        original.peek(&mut heard).unwrap();
        drop(original);
        let error = copy.read(&mut heard).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        eventually("nothing is left", || world.snapshot().gauges.mirrors == 0);
        let counters = world.counters();
        assert_eq!(counters.mirrors_sent + counters.mirrors_failed, 0);
    });
}

#[test]
fn a_shadow_that_resets_does_not_touch_the_original() {
    in_namespace(|| {
        let world = Mirrored::start();
        let (server, shadow) = (application(), shadow_application());
        let mut client = world.mesh.dial();
        client.write_all(b"first").unwrap();
        let mut original = accept(&server);
        let copy = accept(&shadow);
        copy.peek(&mut [0; 5]).unwrap();
        drop(copy);
        eventually("the copy has failed", || {
            world.counters().mirrors_failed == 1
        });
        client.write_all(b", second").unwrap();
        let mut heard = [0; 13];
        original.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"first, second");
        original.write_all(b"answer").unwrap();
        client.read_exact(&mut heard[..6]).unwrap();
        assert_eq!(&heard[..6], b"answer");
    });
}

#[test]
fn a_shadow_counts_a_copy_as_a_connection_of_the_client() {
    in_namespace(|| {
        let world = Mirrored::start();
        echo(application());
        echo(shadow_application());
        exchange(world.mesh.dial(), b"who am I?");
        eventually("the copy is over", || world.counters().mirrors_sent == 1);
        let flows = world.shadow.snapshot().flows;
        assert_eq!(flows[0].source_principal, id("web").as_str());
        assert_eq!((flows[0].received_bytes, flows[0].sent_bytes), (9, 0));
        let connections = world.mesh.web.connections();
        let at: SocketAddr = format!("[{SHADOW}]:14008").parse().unwrap();
        assert!(connections.iter().any(|one| one.remote == at));
    });
}
