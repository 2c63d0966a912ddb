//! TCP connections over several STOQ connections, from application to application.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use stoq_core::table::Table;
use stoq_wire::extension::{STREAM_TOKENS, STRIPES};

use crate::captured::offers;
use crate::lossy::{Loss, Lossy};
use crate::mesh::{Mesh, accept, application, eventually, id, table_with, within};
use crate::net::{DB, WEB, in_namespace};

/// Enough for further lanes to be opened, and to be used.
const BULK: usize = 24 << 20;

/// How long a flow may stand still whose lane is lost: one end notices after a silence, and may have
/// been heard by the other until then.
const SILENCES: Duration = Duration::from_secs(60);

/// The client's table, in which the server's pod has lanes.
fn sharded(lanes: u8) -> Arc<Table> {
    sharded_at(14008, lanes)
}

/// The same, and the server's engine is dialled at this port.
fn sharded_at(port: u16, lanes: u8) -> Arc<Table> {
    let workload = |name: &str, account: &str, (address, port): (&str, u16), lanes: u8| {
        json!({
            "uid": name, "name": name, "namespace": "shop", "lanes": lanes,
            "spiffe_id": id(account).as_str(), "addresses": [address], "port": port,
        })
    };
    let workloads = json!([
        workload("web-0", "web", (WEB, 14008), 0),
        workload("db-0", "db", (DB, port), lanes),
    ]);
    table_with("web-0", WEB, json!({"workloads": workloads}))
}

/// With lanes for the server's pod, what both sides offer, and so many workers each.
fn mesh(lanes: u8, [web, db]: [u64; 2], workers: usize) -> Mesh {
    mesh_with([web, db], &json!({"workers": workers}), sharded(lanes))
}

/// With settings of both sides, and a table of the client.
fn mesh_with([web, db]: [u64; 2], settings: &Value, table: Arc<Table>) -> Mesh {
    let offered = [offers(web), offers(db)];
    let mesh = Mesh::offering_with(offered, settings.clone(), settings.clone());
    mesh.web.set_table(table);
    mesh
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

/// Says all of it and hears what the other says, to both ends.
fn converse(mut stream: TcpStream, says: Vec<u8>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut writer = stream.try_clone().unwrap();
        let writing = thread::spawn(move || {
            writer.write_all(&says).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        writing.join().unwrap();
        heard
    })
}

/// How many connections the client's engine has dialled for a conversation that came whole.
fn dialled(mesh: &Mesh, forth: usize, back: usize) -> u64 {
    let listener = application();
    let near = converse(mesh.dial(), bytes(forth));
    let far = converse(accept(&listener), bytes(back));
    assert!(far.join().unwrap() == bytes(forth));
    assert!(near.join().unwrap() == bytes(back));
    eventually("all flows are over", || {
        let relays = |engine: &stoq_io::Engine| engine.snapshot().gauges.relays;
        relays(&mesh.web) == 0 && relays(&mesh.db) == 0
    });
    mesh.web.snapshot().counters.connections_dialled
}

#[test]
fn a_bulk_flow_goes_over_as_many_connections_as_it_may_and_comes_whole() {
    in_namespace(|| {
        for (workers, lanes) in [(1, 2), (2, 4), (4, 8)] {
            let mesh = mesh(lanes, [STRIPES; 2], workers);
            assert_eq!(dialled(&mesh, BULK, BULK / 2), u64::from(lanes));
        }
    });
}

#[test]
fn a_flow_of_which_a_lane_is_lost_comes_whole_over_the_others() {
    // Silence is what ends the connection, at both ends. It has to be longer than a busy machine's,
    // and than a handshake takes there of which packets are lost.
    let settings = json!({
        "workers": 2,
        "transport": {"idle_timeout_ms": 6000, "keep_alive_ms": 500},
    });
    let (lanes, server) = (3, format!("[{DB}]:14008").parse().unwrap());
    for loss in [Loss::Further, Loss::FurtherBack] {
        let settings = settings.clone();
        in_namespace(move || {
            let lossy = Lossy::start(server, loss);
            let table = sharded_at(lossy.address().port(), lanes);
            let mesh = mesh_with([STRIPES; 2], &settings, table);
            let listener = application();
            let (near, far) = (mesh.dial(), accept(&listener));
            for stream in [&near, &far] {
                stream.set_read_timeout(Some(SILENCES)).unwrap();
                stream.set_write_timeout(Some(SILENCES)).unwrap();
            }
            let (mut says, hears) = match loss {
                Loss::FurtherBack => (far, near),
                _ => (near, far),
            };
            let heard = converse(hears, bytes(1000));
            let said = bytes(BULK);
            // Enough for further lanes, and little for their handshakes to be lost among.
            let (first, rest) = said.split_at(BULK / 16);
            says.write_all(first).unwrap();
            let engines = [&mesh.web, &mesh.db];
            let counted = || engines.map(|engine| engine.snapshot().counters);
            within(SILENCES, "all lanes are at work", || {
                counted().map(|one| one.stripe_lanes_joined) == [u64::from(lanes) - 1; 2]
            });
            lossy.begin();
            says.write_all(rest).unwrap();
            says.shutdown(Shutdown::Write).unwrap();
            assert!(heard.join().unwrap() == said, "{loss:?}");
            let lost = counted().map(|one| one.stripe_lanes_lost);
            assert_eq!(lost, [1, 1], "{loss:?}");
            // None is opened again.
            let dialled = mesh.web.snapshot().counters.connections_dialled;
            assert_eq!(dialled, u64::from(lanes));
        });
    }
}

#[test]
fn a_small_flow_has_one_lane_and_ends_like_any() {
    in_namespace(|| {
        let mesh = mesh(4, [STRIPES; 2], 2);
        assert_eq!(dialled(&mesh, 10_000, 100_000), 1);
        assert_eq!(dialled(&mesh, 0, 1), 1);
    });
}

#[test]
fn without_the_extension_or_with_tokens_a_flow_has_one_stream() {
    in_namespace(|| {
        let both = STRIPES | STREAM_TOKENS;
        for offered in [[STRIPES, 0], [0, STRIPES], [both, both]] {
            let mesh = mesh(4, offered, 1);
            assert_eq!(dialled(&mesh, BULK, 1), 1);
        }
    });
}

#[test]
fn a_reset_of_either_application_is_one_of_the_other() {
    in_namespace(|| {
        let mesh = mesh(2, [STRIPES; 2], 2);
        let listener = application();
        for server_resets in [false, true] {
            let mut near = mesh.dial();
            near.write_all(b"hello").unwrap();
            let mut far = accept(&listener);
            let mut hello = [0; 5];
            far.read_exact(&mut hello).unwrap();
            let (resets, mut other) = match server_resets {
                true => (far, near),
                false => (near, far),
            };
            socket2::SockRef::from(&resets)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
            drop(resets);
            let error = other.read(&mut [0; 1]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
    });
}
