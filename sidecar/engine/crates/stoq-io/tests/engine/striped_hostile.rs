//! What peers may say on the lanes of a striped flow, and who may join one.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_proto::StreamId;
use serde_json::json;
use stoq_core::tls::TlsContext;
use stoq_wire::code::StreamCode;
use stoq_wire::extension::STRIPES;
use stoq_wire::head::{FlowId, StreamHead, StreamKind};
use stoq_wire::stripe::{FIRST_LIMIT, Record};
use stoq_wire::varint;

use crate::asker::Asker;
use crate::captured::offers;
use crate::mesh::{APPLICATION, Mesh, PATIENCE, accept, application, eventually, id, table_with};
use crate::net::{DB, WEB, in_namespace};

/// Bytes of a direction that are kept for each lane.
const WINDOW: u64 = 2 << 20;

/// A server's engine with its application, and what may be said to it.
struct Scene {
    mesh: Mesh,
    listener: TcpListener,
}

/// The head of a lane, as the client's pod says it.
#[derive(Clone, Copy)]
struct Head {
    flow: u8,
    number: u64,
    lanes: u64,
    port: u16,
}

impl Head {
    fn bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        StreamHead {
            kind: StreamKind::Lane,
            resume: false,
            tokens: false,
            flow: FlowId([self.flow; 16]),
            sent: self.number,
            received: self.lanes,
            source: format!("[{WEB}]:{}", self.port).parse().unwrap(),
            destination: format!("[{DB}]:{APPLICATION}").parse().unwrap(),
        }
        .encode(&mut bytes);
        bytes
    }
}

fn head(flow: u8, number: u64) -> Head {
    Head {
        flow,
        number,
        lanes: 2,
        port: 40_000,
    }
}

fn data(offset: u64, data: &[u8]) -> Record {
    Record::Data {
        offset,
        data: Bytes::copy_from_slice(data),
    }
}

fn encoded(record: &Record) -> Vec<u8> {
    let (head, data) = record.encode();
    [head, data].concat()
}

impl Scene {
    fn new() -> Self {
        let workers = json!({"workers": 2});
        let mesh =
            Mesh::offering_with([offers(STRIPES), offers(STRIPES)], workers.clone(), workers);
        let listener = application();
        Self { mesh, listener }
    }

    fn asker(&self, tls: &TlsContext) -> Asker {
        let server: SocketAddr = format!("[{DB}]:14008").parse().unwrap();
        Asker::connect(tls, server)
    }

    /// The client's peer that takes so many bytes of a stream before it reads them.
    fn narrow(&self, window: u32) -> Asker {
        let server: SocketAddr = format!("[{DB}]:14008").parse().unwrap();
        Asker::connect_narrow(&self.mesh.web_tls, server, window)
    }

    /// A peer with the client's identity and key.
    fn client(&self) -> Asker {
        self.asker(&self.mesh.web_tls)
    }

    /// Begins a flow of two lanes that says `hello`, and waits for the answer that lets it have more.
    fn begin(&self, peer: &mut Asker, flow: u8) -> (StreamId, TcpStream) {
        let lane = peer.begin(&head(flow, 0).bytes());
        peer.add(lane, &encoded(&data(0, b"hello")));
        let mut stream = accept(&self.listener);
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).unwrap();
        assert_eq!(&hello, b"hello");
        let told = next(peer, lane);
        assert!(matches!(told, Record::Received { limit, .. } if limit > FIRST_LIMIT));
        (lane, stream)
    }

    /// Waits until so many lanes have joined their flows since the beginning.
    fn await_joined(&self, lanes: u64) {
        eventually("it has joined", || {
            self.mesh.db.snapshot().counters.stripe_lanes_joined == lanes
        });
    }

    fn is_empty(&self) -> bool {
        let gauges = self.mesh.db.snapshot().gauges;
        gauges.relays == 0 && gauges.stripe_lanes == 0
    }
}

/// The next record on a lane.
fn next(peer: &mut Asker, lane: StreamId) -> Record {
    let until = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < until, "nothing; lost: {:?}", peer.lost);
        if let Some(record) = peer.records(lane).into_iter().next() {
            return record;
        }
    }
}

fn is_reset(stream: &mut TcpStream) {
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn only_who_began_a_flow_joins_a_lane_to_it() {
    in_namespace(|| {
        let scene = Scene::new();
        let mut owner = scene.client();
        let (lane, mut stream) = scene.begin(&mut owner, 7);
        let other = scene.mesh.authority.offering("other", offers(STRIPES));
        let rekeyed = scene.mesh.authority.offering("web", offers(STRIPES));
        for (who, tls) in [("another identity", other), ("another key", rekeyed)] {
            let mut stranger = scene.asker(&tls);
            let joined = stranger.begin(&head(7, 1).bytes());
            stranger.add(joined, &encoded(&data(5, b"evil")));
            assert_eq!(stranger.code_of(joined), Some(StreamCode::Denied), "{who}");
        }
        let mut second = scene.client();
        let wrong = [
            ("another flow", head(8, 1)),
            (
                "other lanes",
                Head {
                    lanes: 3,
                    ..head(7, 1)
                },
            ),
            (
                "another address",
                Head {
                    port: 1,
                    ..head(7, 1)
                },
            ),
        ];
        for (what, head) in wrong {
            let joined = second.begin(&head.bytes());
            assert_eq!(second.code_of(joined), Some(StreamCode::Denied), "{what}");
        }
        for (number, lanes) in [(2, 2), (0, 1), (0, 9), (varint::MAX, varint::MAX)] {
            let head = Head {
                number,
                lanes,
                ..head(7, 1)
            };
            let joined = second.begin(&head.bytes());
            assert_eq!(second.code_of(joined), Some(StreamCode::BadHead));
        }
        let joined = second.begin(&head(7, 1).bytes());
        second.add(joined, &encoded(&data(7, b"!!")));
        owner.add(lane, &encoded(&data(5, b"ab")));
        let mut rest = [0; 4];
        stream.read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"ab!!");
        let again = second.begin(&head(7, 1).bytes());
        assert_eq!(second.code_of(again), Some(StreamCode::Denied));
        let counters = scene.mesh.db.snapshot().counters;
        assert_eq!(
            (counters.stripe_flows, counters.stripe_lanes_joined),
            (1, 1)
        );
        assert_eq!(counters.stripe_lanes_refused, 6);
    });
}

#[test]
fn an_id_that_another_flow_has_is_refused_and_that_flow_goes_on() {
    in_namespace(|| {
        let scene = Scene::new();
        let mut owner = scene.client();
        let (lane, mut stream) = scene.begin(&mut owner, 7);
        let other = scene.mesh.authority.offering("other", offers(STRIPES));
        let mut stranger = scene.asker(&other);
        let refused = stranger.begin(
            &Head {
                port: 1,
                ..head(7, 0)
            }
            .bytes(),
        );
        assert_eq!(stranger.code_of(refused), Some(StreamCode::Denied));
        let mut same = scene.client();
        let refused = same.begin(&head(7, 0).bytes());
        assert_eq!(same.code_of(refused), Some(StreamCode::Denied));
        owner.add(lane, &encoded(&data(5, b"on")));
        let mut rest = [0; 2];
        stream.read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"on");
    });
}

#[test]
fn records_that_are_wrong_end_all_lanes_of_their_flow_and_nothing_else() {
    in_namespace(|| {
        let scene = Scene::new();
        let (mut owner, mut second) = (scene.client(), scene.client());
        let (witness, mut untouched) = scene.begin(&mut owner, 100);
        let limit = 1 << 40;
        let mut joined_so_far = 0;
        let wrong = [
            ("a record of kind 3", vec![3]),
            ("an end before data", encoded(&Record::End { size: 4 })),
            ("an overlap", encoded(&data(4, b"oo"))),
            ("data behind the limit", encoded(&data(limit, b"x"))),
            (
                "more than was sent",
                encoded(&Record::Received { received: 1, limit }),
            ),
        ];
        for (flow, (what, bytes)) in (0_u8..).zip(&wrong) {
            for on_first in [true, false] {
                let (lane, mut stream) = scene.begin(&mut owner, 2 * flow + u8::from(on_first));
                let joined = second.begin(&head(2 * flow + u8::from(on_first), 1).bytes());
                joined_so_far += 1;
                scene.await_joined(joined_so_far);
                match on_first {
                    true => owner.add(lane, bytes),
                    false => second.add(joined, bytes),
                }
                assert_eq!(owner.code_of(lane), Some(StreamCode::BadShard), "{what}");
                assert_eq!(second.code_of(joined), Some(StreamCode::BadShard), "{what}");
                is_reset(&mut stream);
            }
        }
        eventually("no lane is left", || {
            scene.mesh.db.snapshot().gauges.stripe_lanes == 0
        });
        owner.add(witness, &encoded(&data(5, b"on")));
        let mut rest = [0; 2];
        untouched.read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"on");
        assert!(owner.lost.is_none() && second.lost.is_none());
    });
}

#[test]
fn an_end_of_a_lane_before_that_of_the_flow_is_wrong_and_a_reset_is_for_all() {
    in_namespace(|| {
        let scene = Scene::new();
        let (mut owner, mut second) = (scene.client(), scene.client());
        let (lane, mut stream) = scene.begin(&mut owner, 1);
        let joined = second.begin(&head(1, 1).bytes());
        scene.await_joined(1);
        second.end(joined);
        assert_eq!(owner.code_of(lane), Some(StreamCode::BadShard));
        is_reset(&mut stream);
        let (lane, mut stream) = scene.begin(&mut owner, 2);
        let joined = second.begin(&head(2, 1).bytes());
        scene.await_joined(2);
        second.reset(joined, StreamCode::Reset);
        assert_eq!(owner.code_of(lane), Some(StreamCode::Reset));
        is_reset(&mut stream);
        // That the peer takes one lane back is nothing to the others.
        let (lane, mut stream) = scene.begin(&mut owner, 3);
        let joined = second.begin(&head(3, 1).bytes());
        scene.await_joined(3);
        second.reset(joined, StreamCode::Draining);
        eventually("the lane is gone", || {
            scene.mesh.db.snapshot().counters.stripe_lanes_lost == 1
        });
        owner.add(lane, &encoded(&data(5, b"on")));
        stream.read_exact(&mut [0; 2]).unwrap();
    });
}

#[test]
fn a_policy_that_comes_to_refuse_the_peer_ends_all_lanes_with_its_code() {
    in_namespace(|| {
        let scene = Scene::new();
        let (mut owner, mut second) = (scene.client(), scene.client());
        let (lane, mut stream) = scene.begin(&mut owner, 1);
        let joined = second.begin(&head(1, 1).bytes());
        scene.await_joined(1);
        let rules = json!([{"policy": "shop/no-web", "action": "deny", "spiffe_ids": [id("web").as_str()]}]);
        let table = table_with("db-0", DB, json!({ "access": rules }));
        scene.mesh.db.set_table(table);
        assert_eq!(owner.code_of(lane), Some(StreamCode::AccessDenied));
        assert_eq!(second.code_of(joined), Some(StreamCode::AccessDenied));
        is_reset(&mut stream);
        eventually("nothing is left", || scene.is_empty());
    });
}

#[test]
fn what_a_lost_lane_had_comes_on_another_and_nothing_is_missing() {
    in_namespace(|| {
        let scene = Scene::new();
        // The first lane does not take all before it is read, so that the second carries some of it.
        let mut owner = scene.narrow(FIRST_LIMIT as u32 / 4);
        let mut second = scene.client();
        let (lane, mut stream) = scene.begin(&mut owner, 1);
        let joined = second.begin(&head(1, 1).bytes());
        scene.await_joined(1);
        let said: Vec<u8> = (0..FIRST_LIMIT as u32).map(|n| (n >> 5) as u8).collect();
        stream.write_all(&said).unwrap();
        // It is thrown away, as by a connection that is lost.
        while !matches!(next(&mut second, joined), Record::Data { .. }) {}
        second.close();
        let mut found = BTreeMap::new();
        let until = Instant::now() + PATIENCE;
        while found.values().map(Vec::len).sum::<usize>() < said.len() {
            assert!(Instant::now() < until, "only {} chunks", found.len());
            for record in owner.records(lane) {
                if let Record::Data { offset, data } = record {
                    found.insert(offset, data.to_vec());
                }
            }
        }
        let whole: Vec<u8> = found.into_values().flatten().collect();
        assert!(whole == said);
        assert_eq!(scene.mesh.db.snapshot().counters.stripe_lanes_lost, 1);
    });
}

#[test]
fn who_acknowledges_nothing_has_no_more_kept_than_the_window() {
    in_namespace(|| {
        let scene = Scene::new();
        let mut owner = scene.client();
        let (lane, mut stream) = scene.begin(&mut owner, 1);
        let (received, limit) = (0, varint::MAX);
        owner.add(lane, &encoded(&Record::Received { received, limit }));
        let writing = std::thread::spawn(move || {
            // It ends by the reset.
            while stream.write_all(&[7; 65_536]).is_ok() {}
        });
        let mut come = 0;
        let mut last = Instant::now();
        while last.elapsed() < Duration::from_secs(2) || come <= FIRST_LIMIT {
            assert!(last.elapsed() < PATIENCE, "{come} bytes came");
            for record in owner.records(lane) {
                if let Record::Data { data, .. } = record {
                    come += data.len() as u64;
                    last = Instant::now();
                }
            }
        }
        assert!(
            come > FIRST_LIMIT && come <= 2 * WINDOW,
            "{come} bytes came"
        );
        owner.close();
        writing.join().unwrap();
        eventually("nothing is left", || scene.is_empty());
    });
}

#[test]
fn lanes_that_say_nothing_hold_nobody_up_and_go_with_their_flow() {
    in_namespace(|| {
        let scene = Scene::new();
        let (mut owner, mut second) = (scene.client(), scene.client());
        let wide = Head {
            lanes: 8,
            ..head(1, 0)
        };
        let lane = owner.begin(&wide.bytes());
        owner.add(lane, &encoded(&data(0, b"hello")));
        let mut stream = accept(&scene.listener);
        stream.read_exact(&mut [0; 5]).unwrap();
        for number in 1..8 {
            second.begin(&Head { number, ..wide }.bytes());
        }
        scene.await_joined(7);
        eventually("all are counted", || {
            scene.mesh.db.snapshot().gauges.stripe_lanes == 7
        });
        // A gap that is never filled, with as much behind it as there may be.
        for at in 0..60 {
            owner.add(lane, &encoded(&data(6 + at, b"x")));
        }
        // Others are served meanwhile.
        let (served, mut witness) = scene.begin(&mut owner, 2);
        witness.write_all(b"served").unwrap();
        assert_eq!(next(&mut owner, served), data(0, b"served"));
        owner.close();
        is_reset(&mut stream);
        is_reset(&mut witness);
        eventually("nothing is left", || scene.is_empty());
    });
}
