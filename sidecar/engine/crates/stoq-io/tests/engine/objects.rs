//! Objects in shards between two engines, on the loopback of whoever runs the tests.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use stoq_io::{ApiEvent, Engine, LocalPort, ObjectTarget, ReceivedObject, StreamToken};
use stoq_wire::code::StreamCode;
use stoq_wire::extension::SHARDS;
use stoq_wire::parameters::StoqParameters;

use crate::lossy::{Loss, Lossy};
use crate::mesh::{Authority, PATIENCE, eventually, id, start};

const KIB: usize = 1024;

/// A sender and a receiver.
struct Pair {
    web: Engine,
    db: Engine,
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.web.shutdown();
        self.db.shutdown();
    }
}

fn offering(max_shard: u64) -> StoqParameters {
    StoqParameters {
        extensions: SHARDS,
        max_shard,
        ..StoqParameters::default()
    }
}

impl Pair {
    /// With what the receiver offers, and settings of both.
    fn with(db: StoqParameters, settings: &Value) -> Self {
        let authority = Authority::new();
        let begin = |name: &str, parameters| {
            let mut all = json!({"name": name, "workers": 2, "stoq": {"listen": "[::1]:0"}});
            for (key, value) in settings.as_object().unwrap() {
                all[key] = value.clone();
            }
            start(all, authority.offering(name, parameters))
        };
        let pair = Self {
            web: begin("web", offering(0)),
            db: begin("db", db),
        };
        for engine in [&pair.web, &pair.db] {
            engine.set_table(crate::mesh::table("web-0", "fd00::1"));
        }
        pair.db.objects().accept(true);
        pair
    }

    fn start() -> Self {
        Self::with(offering(64 * KIB as u64), &json!({}))
    }

    fn address(&self) -> SocketAddr {
        let port = self.db.local_port(LocalPort::Stoq).unwrap();
        format!("[::1]:{port}").parse().unwrap()
    }

    fn send(&self, object: &Bytes, lanes: u8) -> StreamToken {
        self.send_to(self.address(), object, lanes)
    }

    fn send_to(&self, remote: SocketAddr, object: &Bytes, lanes: u8) -> StreamToken {
        let target = ObjectTarget {
            remote,
            expect: Some(id("db")),
            shard_size: 64 * KIB as u64,
            lanes,
            sign: false,
            shadows: Vec::new(),
        };
        self.web.objects().send(object.clone(), target).unwrap()
    }

    /// What came of an object that was sent.
    fn outcome(&self, token: StreamToken) -> ApiEvent {
        wait(&self.web, |event| match event {
            ApiEvent::ObjectSent(other) => *other == token,
            ApiEvent::Failed { token: other, .. } => *other == token,
            _ => false,
        })
    }

    fn received(&self) -> ReceivedObject {
        let event = wait(&self.db, |event| matches!(event, ApiEvent::Object(_)));
        let ApiEvent::Object(token) = event else {
            unreachable!()
        };
        self.db.objects().fetch(token).unwrap()
    }
}

/// The next event that is wanted; others are passed over.
fn wait(engine: &Engine, wanted: impl Fn(&ApiEvent) -> bool) -> ApiEvent {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = engine.api().poll_events().into_iter().find(&wanted) {
            return found;
        }
        assert!(Instant::now() < until, "no such event");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn object(length: usize) -> Bytes {
    let byte = |n: usize| (n.wrapping_mul(7919) >> 5) as u8;
    (0..length).map(byte).collect()
}

fn failure(event: ApiEvent) -> (String, Option<StreamCode>) {
    match event {
        ApiEvent::Failed { reason, code, .. } => (reason.to_string(), code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_object_arrives_whole_over_several_connections() {
    let pair = Pair::start();
    let sent = object(3_000_001);
    let token = pair.send(&sent, 3);
    let found = pair.received();
    assert!(found.data.concat() == sent, "{} pieces", found.data.len());
    assert_eq!(found.sender, id("web"));
    assert!(matches!(pair.outcome(token), ApiEvent::ObjectSent(_)));
    // The object may have come whole before the last of them was there.
    eventually("there are three connections", || {
        pair.web.connections().len() == 3
    });
    let counters = pair.db.snapshot().counters;
    assert_eq!(counters.objects_received, 1);
    // 46 shards and one manifest; those of the other lanes are repetitions.
    assert_eq!(counters.shards_taken, 47);
    assert_eq!(pair.web.snapshot().counters.objects_sent, 1);
    eventually("no stream is left", || {
        [&pair.web, &pair.db]
            .iter()
            .all(|engine| engine.snapshot().gauges.shard_streams == 0)
    });
}

#[test]
fn an_empty_object_arrives_with_its_manifest() {
    let pair = Pair::start();
    let token = pair.send(&Bytes::new(), 1);
    assert!(pair.received().data.is_empty());
    assert!(matches!(pair.outcome(token), ApiEvent::ObjectSent(_)));
}

#[test]
fn objects_one_after_the_other_use_the_same_connections() {
    let pair = Pair::start();
    for length in [1, 64 * KIB, 64 * KIB + 1, 1_000_000] {
        let sent = object(length);
        let token = pair.send(&sent, 2);
        assert!(pair.received().data.concat() == sent);
        assert!(matches!(pair.outcome(token), ApiEvent::ObjectSent(_)));
        eventually("the lanes have ended", || {
            pair.web.snapshot().gauges.shard_streams == 0
        });
    }
    assert_eq!(pair.web.connections().len(), 2);
}

#[test]
fn a_peer_that_offers_no_shards_gets_none() {
    let pair = Pair::with(StoqParameters::default(), &json!({}));
    let (why, _) = failure(pair.outcome(pair.send(&object(10), 2)));
    assert!(why.contains("STOQ_FRAMES_MAX_SHARD"), "{why}");
    assert_eq!(pair.db.connections().len(), 1, "and the connection stays");
}

#[test]
fn a_peer_gets_no_larger_shards_than_it_takes() {
    let pair = Pair::with(offering(1000), &json!({}));
    let (why, _) = failure(pair.outcome(pair.send(&object(10), 1)));
    assert!(why.contains("at most 1000 bytes"), "{why}");
}

#[test]
fn nobody_takes_objects_until_somebody_asks_for_them() {
    let pair = Pair::start();
    pair.db.objects().accept(false);
    let (_, code) = failure(pair.outcome(pair.send(&object(10), 2)));
    assert_eq!(code, Some(StreamCode::Denied));
}

#[test]
fn an_object_beyond_the_limit_is_too_large() {
    let limits = json!({"limits": {"object_bytes": 1000}});
    let pair = Pair::with(offering(64 * KIB as u64), &limits);
    let (_, code) = failure(pair.outcome(pair.send(&object(1001), 1)));
    assert_eq!(code, Some(StreamCode::TooLarge));
    assert!(matches!(
        pair.outcome(pair.send(&object(1000), 1)),
        ApiEvent::ObjectSent(_)
    ));
}

#[test]
fn a_receiver_that_fetches_nothing_holds_the_sender_back_and_loses_nothing() {
    let pair = Pair::start();
    let sent = object(6_000_000);
    let tokens: Vec<_> = (0..5).map(|_| pair.send(&sent, 1)).collect();
    eventually("as much waits as may", || {
        pair.db.snapshot().counters.objects_received >= 2
    });
    std::thread::sleep(Duration::from_millis(300));
    assert!(pair.db.snapshot().counters.objects_received < 5);
    let mut found = 0;
    let until = Instant::now() + PATIENCE;
    while found < tokens.len() {
        assert!(Instant::now() < until, "{found} objects");
        for event in pair.db.api().poll_events() {
            if let ApiEvent::Object(token) = event {
                assert!(pair.db.objects().fetch(token).unwrap().data.concat() == sent);
                found += 1;
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    eventually("the sender knows of all", || {
        pair.web.snapshot().counters.objects_sent == 5
    });
}

#[test]
fn more_objects_than_there_is_room_for_wait_for_their_turn_and_all_arrive() {
    let pair = Pair::start();
    let sent = object(500_000);
    for _ in 0..100 {
        pair.send(&sent, 1);
    }
    // Those without room hold neither each other back nor what is under way.
    eventually("as much waits as may", || {
        pair.db.snapshot().counters.objects_received >= 26
    });
    std::thread::sleep(Duration::from_millis(300));
    let (mut found, mut outcomes) = (0, 0);
    let until = Instant::now() + PATIENCE;
    while (found, outcomes) != (100, 100) {
        assert!(Instant::now() < until, "{found} came, {outcomes} ended");
        for event in pair.db.api().poll_events() {
            if let ApiEvent::Object(token) = event {
                found += usize::from(pair.db.objects().fetch(token).is_some());
            }
        }
        for event in pair.web.api().poll_events() {
            assert!(matches!(event, ApiEvent::ObjectSent(_)), "{event:?}");
            outcomes += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn an_object_that_waits_for_its_turn_can_be_given_up() {
    let pair = Pair::start();
    let lossy = Lossy::start(pair.address(), Loss::All);
    let tokens: Vec<_> = (0..3)
        .map(|_| pair.send_to(lossy.address(), &object(100_000), 16))
        .collect();
    eventually("the first has its lanes", || {
        pair.web.snapshot().gauges.shard_streams == 16
    });
    for token in tokens.into_iter().rev() {
        pair.web.objects().cancel(token);
    }
    eventually("nothing is under way", || {
        pair.web.snapshot().gauges.shard_streams == 0
    });
    let sent = object(10);
    let token = pair.send(&sent, 16);
    assert!(matches!(pair.outcome(token), ApiEvent::ObjectSent(_)));
}

#[test]
fn an_object_that_was_given_up_leaves_nothing_behind() {
    let pair = Pair::start();
    let lossy = Lossy::start(pair.address(), Loss::All);
    let token = pair.send_to(lossy.address(), &object(100_000), 2);
    pair.web.objects().cancel(token);
    eventually("nothing is under way", || {
        pair.web.snapshot().gauges.shard_streams == 0
    });
}

#[test]
fn a_connection_that_is_lost_is_replaced_while_others_go_on() {
    let settings = json!({
        "transport": {"idle_timeout_ms": 2000, "keep_alive_ms": 400, "send_window": 262_144},
    });
    let pair = Pair::with(offering(64 * KIB as u64), &settings);
    let lossy = Lossy::start(pair.address(), Loss::Connection(1500));
    let sent = object(8_000_000);
    let token = pair.send_to(lossy.address(), &sent, 3);
    assert!(pair.received().data.concat() == sent);
    assert!(matches!(pair.outcome(token), ApiEvent::ObjectSent(_)));
    let (near, far) = (pair.web.snapshot(), pair.db.snapshot());
    assert_eq!(far.counters.handshakes_completed, 4);
    assert_eq!(far.counters.objects_expired, 0);
    // It was silence that ended it, for both.
    assert_eq!(near.connections_closed["idle"], 1);
    assert_eq!(far.connections_closed["idle"], 1);
}

#[test]
fn after_a_lost_connection_only_what_is_missing_is_sent_again() {
    let settings = json!({"transport": {
        "idle_timeout_ms": 2000, "keep_alive_ms": 400, "dial_timeout_ms": 5000,
    }});
    let pair = Pair::with(offering(64 * KIB as u64), &settings);
    // Nothing passes after 2000 datagrams until both ends have given up.
    let lossy = Lossy::start(pair.address(), Loss::After(2000));
    let sent = object(8_000_000);
    let token = pair.send_to(lossy.address(), &sent, 1);
    assert!(pair.received().data.concat() == sent);
    assert!(matches!(pair.outcome(token), ApiEvent::ObjectSent(_)));
    let counters = pair.db.snapshot().counters;
    assert_eq!(counters.shards_taken, 124, "123 shards and a manifest");
    assert_eq!(counters.handshakes_completed, 2);
    assert!(
        counters.shards_repeated < 40,
        "{}",
        counters.shards_repeated
    );
}
