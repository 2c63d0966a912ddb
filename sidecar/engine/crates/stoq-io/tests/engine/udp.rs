//! Captured UDP, from application to application.

use std::net::{SocketAddr, UdpSocket};
use std::thread;

use serde_json::json;
use stoq_io::{Engine, LocalPort};
use stoq_wire::extension::CAPTURED_UDP;
use stoq_wire::head::StreamKind;
use stoq_wire::udp::message;

use crate::asker::Asker;
use crate::captured::{
    captured_mesh, captured_mesh_with, hears_nothing, offers, socket, udp_table,
};
use crate::mesh::{APPLICATION, SERVICE, eventually, eventually_is};
use crate::net::{DB, OUTSIDE, VIP, WEB, in_namespace};

/// The largest payload that one receive takes.
const ROOM: usize = 65_536;

fn service() -> SocketAddr {
    format!("[{VIP}]:{SERVICE}").parse().unwrap()
}

/// Sends back what it hears, until that is `end`; then says whom it heard.
fn echo(server: UdpSocket) -> thread::JoinHandle<Vec<SocketAddr>> {
    thread::spawn(move || {
        let (mut room, mut heard) = (vec![0; ROOM], Vec::new());
        loop {
            let (length, from) = server.recv_from(&mut room).unwrap();
            if &room[..length] == b"end" {
                return heard;
            }
            heard.push(from);
            server.send_to(&room[..length], from).unwrap();
        }
    })
}

/// Sends and waits for the answer: what came, and from whom.
fn asked(client: &UdpSocket, payload: &[u8]) -> (Vec<u8>, SocketAddr) {
    client.send_to(payload, service()).unwrap();
    answer(client)
}

fn answer(client: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut room = vec![0; ROOM];
    let (length, from) = client.recv_from(&mut room).unwrap();
    room.truncate(length);
    (room, from)
}

fn dropped(engine: &Engine, why: &str) -> u64 {
    let found = engine.snapshot().udp_dropped;
    found.get(why).copied().unwrap_or_default()
}

fn flows(engine: &Engine) -> u64 {
    engine.snapshot().gauges.udp_flows
}

#[test]
fn both_applications_see_the_addresses_that_they_expect() {
    in_namespace(|| {
        let mesh = captured_mesh();
        let answering = echo(socket(DB, APPLICATION));
        let client = socket(WEB, 0);
        assert_eq!(asked(&client, b"hello"), (b"hello".to_vec(), service()));
        client.send_to(b"end", service()).unwrap();
        assert_eq!(answering.join().unwrap(), [client.local_addr().unwrap()]);
        let (web, db) = (mesh.web.snapshot(), mesh.db.snapshot());
        assert_eq!(web.counters.captured_udp_outbound, 1);
        assert_eq!(db.counters.captured_udp_inbound, 1);
        assert_eq!(web.counters.captured_udp_received_bytes, 5);
        assert_eq!(web.counters.captured_udp_plain_bytes, 0);
    });
}

#[test]
fn payloads_of_any_size_arrive_whole() {
    in_namespace(|| {
        let mesh = captured_mesh();
        let answering = echo(socket(DB, APPLICATION));
        let client = socket(WEB, 0);
        for length in [0, 1, 1100, 1500, 9000, 65_000] {
            let sent: Vec<u8> = (0..length).map(|n: u32| (n % 251) as u8).collect();
            assert!(asked(&client, &sent).0 == sent, "{length} bytes");
        }
        client.send_to(b"end", service()).unwrap();
        answering.join().unwrap();
        let streamed = mesh.web.snapshot().counters.captured_udp_streamed;
        assert_eq!(streamed, 3);
    });
}

#[test]
fn answers_find_their_flow_whichever_worker_they_come_to() {
    // Many at once: an answer may come to a worker that has not read yet of whose the flow is.
    const AT_ONCE: usize = 16;
    const WAVES: usize = 12;
    in_namespace(|| {
        let mesh = captured_mesh_with(2, CAPTURED_UDP, &json!({}));
        let answering = echo(socket(DB, APPLICATION));
        let clients: Vec<_> = (0..WAVES * AT_ONCE).map(|_| socket(WEB, 0)).collect();
        for wave in clients.chunks(AT_ONCE) {
            let said = |client: &UdpSocket| client.local_addr().unwrap().to_string();
            for client in wave {
                client.send_to(said(client).as_bytes(), service()).unwrap();
            }
            for client in wave {
                assert_eq!(answer(client), (said(client).into_bytes(), service()));
            }
        }
        clients[0].send_to(b"end", service()).unwrap();
        assert_eq!(answering.join().unwrap().len(), clients.len());
        let engines = [&mesh.web, &mesh.db];
        let all = [clients.len() as u64; 2];
        eventually_is("flows of both sides", all, || engines.map(flows));
    });
}

#[test]
fn nothing_goes_to_a_peer_that_captures_no_udp() {
    in_namespace(|| {
        let mesh = captured_mesh_with(1, 0, &json!({}));
        let server = socket(DB, APPLICATION);
        let client = socket(WEB, 0);
        client.send_to(b"hello", service()).unwrap();
        eventually("it is dropped", || dropped(&mesh.web, "no_extension") == 1);
        assert!(hears_nothing(&server));
        assert_eq!(mesh.web.snapshot().counters.captured_udp_plain, 0);
    });
}

#[test]
fn whom_a_policy_does_not_admit_is_not_heard() {
    in_namespace(|| {
        let mesh = captured_mesh();
        let nobody = json!([{"policy": "shop/none", "action": "deny"}]);
        mesh.db.set_table(udp_table(
            "db-0",
            DB,
            json!({"access": nobody, "version": 3}),
        ));
        let server = socket(DB, APPLICATION);
        let client = socket(WEB, 0);
        client.send_to(b"hello", service()).unwrap();
        assert!(hears_nothing(&server));
        eventually("the flow has ended", || flows(&mesh.web) == 0);
        assert_eq!(mesh.db.snapshot().counters.captured_udp_inbound, 0);
    });
}

#[test]
fn a_port_that_the_service_has_for_tcp_alone_is_refused() {
    in_namespace(|| {
        let mesh = captured_mesh();
        let server = socket(DB, APPLICATION + 1);
        let client = socket(WEB, 0);
        let to: SocketAddr = format!("[{VIP}]:{}", SERVICE + 1).parse().unwrap();
        client.send_to(b"hello", to).unwrap();
        eventually("it is refused", || dropped(&mesh.web, "refused") == 1);
        assert!(hears_nothing(&server));
    });
}

#[test]
fn callers_outside_the_mesh_are_let_in_and_answered_where_policy_says_so() {
    in_namespace(|| {
        let mesh = captured_mesh();
        let server = socket(DB, APPLICATION);
        let outside = socket(OUTSIDE, 0);
        outside
            .send_to(b"ask", server.local_addr().unwrap())
            .unwrap();
        let mut room = [0; 8];
        let (length, from) = server.recv_from(&mut room).unwrap();
        assert_eq!(
            (&room[..length], from),
            (&b"ask"[..], outside.local_addr().unwrap())
        );
        server.send_to(b"answer", from).unwrap();
        let (length, from) = outside.recv_from(&mut room).unwrap();
        assert_eq!(
            (&room[..length], from),
            (&b"answer"[..], server.local_addr().unwrap())
        );
        let counted = mesh.db.snapshot().counters;
        assert_eq!(counted.captured_udp_plain, 1);
        assert_eq!(
            counted.captured_udp_plain_bytes, 6,
            "what left, not what came"
        );
    });
}

#[test]
fn strict_lets_in_nobody_from_outside() {
    in_namespace(|| {
        let mesh = captured_mesh();
        let strict = json!({"inbound": "strict", "exempt_sources": [], "version": 3});
        mesh.db.set_table(udp_table("db-0", DB, strict));
        let server = socket(DB, APPLICATION);
        let to = server.local_addr().unwrap();
        // A flow that the table before has let in would go on.
        let ask = || socket(OUTSIDE, 0).send_to(b"ask", to).unwrap();
        eventually("the table is in force", || {
            ask();
            dropped(&mesh.db, "refused") > 0
        });
        while !hears_nothing(&server) {}
        ask();
        assert!(hears_nothing(&server));
    });
}

#[test]
fn a_flow_ends_when_it_has_been_silent_for_long_enough() {
    in_namespace(|| {
        let mesh = captured_mesh_with(1, CAPTURED_UDP, &json!({"idle_ms": 2000}));
        let answering = echo(socket(DB, APPLICATION));
        let client = socket(WEB, 0);
        asked(&client, b"hello");
        eventually("both sides forget it", || {
            [&mesh.web, &mesh.db].map(flows) == [0, 0]
        });
        // Whoever speaks again begins a new one.
        assert_eq!(asked(&client, b"again").0, b"again");
        assert_eq!(mesh.web.snapshot().counters.captured_udp_outbound, 2);
        client.send_to(b"end", service()).unwrap();
        answering.join().unwrap();
    });
}

#[test]
fn there_are_no_more_flows_than_allowed_and_those_go_on() {
    in_namespace(|| {
        let limits = json!({"flows": 2, "flows_per_peer": 2});
        let mesh = captured_mesh_with(1, CAPTURED_UDP, &limits);
        let answering = echo(socket(DB, APPLICATION));
        let [first, second, third] = [(); 3].map(|()| socket(WEB, 0));
        asked(&first, b"first");
        asked(&second, b"second");
        third.send_to(b"third", service()).unwrap();
        eventually("the third is dropped", || {
            dropped(&mesh.web, "too_many_flows") == 1
        });
        assert_eq!(asked(&first, b"still").0, b"still");
        first.send_to(b"end", service()).unwrap();
        assert_eq!(answering.join().unwrap().len(), 3);
    });
}

#[test]
fn datagrams_that_are_begun_and_never_whole_are_bounded_for_their_sender_alone() {
    in_namespace(|| {
        const PART: usize = 60_000;
        let mesh = captured_mesh();
        let answering = echo(socket(DB, APPLICATION));
        let client = socket(WEB, 0);
        asked(&client, b"before");
        let port = mesh.db.local_port(LocalPort::Stoq).unwrap();
        let remote = SocketAddr::new(DB.parse().unwrap(), port);
        let web = mesh.authority.offering("web", offers(CAPTURED_UDP));
        let mut hostile = Asker::connect(&web, remote);
        let mut part = message(&[0; PART + 1]).to_vec();
        part.pop();
        let ends = |number: u16| {
            let source = SocketAddr::new(WEB.parse().unwrap(), 20_000 + number);
            (source, SocketAddr::new(DB.parse().unwrap(), APPLICATION))
        };
        let begun = |number| hostile.open(StreamKind::Udp, ends(number), &part);
        let streams: Vec<_> = (0..100).map(begun).collect();
        hostile.until("the last ones are refused", |hostile| {
            let refused = streams.iter().filter(|stream| hostile.is_stopped(**stream));
            refused.count() >= 100 - (4 << 20) / PART
        });
        assert!(flows(&mesh.db) > 30, "the others are kept");
        assert!(dropped(&mesh.db, "queue_full") > 0);
        assert!(hostile.lost.is_none());
        assert_eq!(asked(&client, &[5; 9000]).0, [5; 9000], "somebody else's");
        client.send_to(b"end", service()).unwrap();
        answering.join().unwrap();
    });
}
