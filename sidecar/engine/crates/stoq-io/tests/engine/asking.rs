//! Objects that one engine holds and another asks for.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use stoq_io::{ApiEvent, Engine, LocalPort, ObjectTarget, ReceivedObject, StreamToken};
use stoq_wire::code::StreamCode;
use stoq_wire::extension::SHARDS;
use stoq_wire::frame::shard::TransferId;
use stoq_wire::parameters::StoqParameters;

use crate::mesh::{Authority, PATIENCE, eventually, id, start, table};

const EACH: u64 = 64 * 1024;

/// Who sends an object, who holds it, and who asks for it.
struct Three {
    web: Engine,
    db: Engine,
    late: Engine,
}

impl Drop for Three {
    fn drop(&mut self) {
        for engine in [&self.web, &self.db, &self.late] {
            engine.shutdown();
        }
    }
}

impl Three {
    fn start() -> Self {
        let authority = Authority::new();
        let begin = |name: &str, max_shard| {
            let offer = StoqParameters {
                extensions: SHARDS,
                max_shard,
                ..StoqParameters::default()
            };
            let settings = json!({"name": name, "workers": 2, "stoq": {"listen": "[::1]:0"}});
            let engine = start(settings, authority.offering(name, offer));
            engine.set_table(table("web-0", "fd00::1"));
            engine
        };
        let three = Self {
            web: begin("web", 0),
            db: begin("db", EACH),
            late: begin("late", EACH),
        };
        three.db.objects().accept(true);
        three.db.objects().hold(16 << 20, Vec::new());
        three
    }

    /// Sends the holder an object.
    fn send(&self, object: &Bytes) -> TransferId {
        let target = ObjectTarget {
            remote: address(&self.db),
            expect: Some(id("db")),
            shard_size: EACH,
            lanes: 2,
            sign: false,
            shadows: Vec::new(),
        };
        self.web.objects().send(object.clone(), target).unwrap();
        let event = wait(&self.db, |event| matches!(event, ApiEvent::Object(_)));
        let ApiEvent::Object(token) = event else {
            unreachable!()
        };
        self.db.objects().fetch(token).unwrap().transfer
    }

    fn ask(&self, asker: &Engine, transfer: TransferId) -> Result<ReceivedObject, ApiEvent> {
        let remote = address(&self.db);
        let asked = asker.objects().ask(transfer, remote, Some(id("db")), None);
        let token = asked.unwrap();
        let event = wait(asker, |event| of(event) == Some(token));
        match event {
            ApiEvent::Object(token) => Ok(asker.objects().fetch(token).unwrap()),
            other => Err(other),
        }
    }
}

fn of(event: &ApiEvent) -> Option<StreamToken> {
    match event {
        ApiEvent::Object(token) | ApiEvent::Failed { token, .. } => Some(*token),
        _ => None,
    }
}

fn address(engine: &Engine) -> SocketAddr {
    let port = engine.local_port(LocalPort::Stoq).unwrap();
    format!("[::1]:{port}").parse().unwrap()
}

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

fn code(failed: Result<ReceivedObject, ApiEvent>) -> Option<StreamCode> {
    match failed {
        Err(ApiEvent::Failed { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_object_that_a_peer_holds_comes_whole_to_who_asks_for_it() {
    let three = Three::start();
    for length in [0, 1, 3_000_001] {
        let sent = object(length);
        let transfer = three.send(&sent);
        let found = three.ask(&three.late, transfer).unwrap();
        assert!(found.data.concat() == sent);
        assert_eq!((found.transfer, found.sender), (transfer, id("db")));
    }
    eventually("no stream is left", || {
        [&three.db, &three.late]
            .iter()
            .all(|engine| engine.snapshot().gauges.shard_streams == 0)
    });
}

#[test]
fn what_is_not_held_or_not_for_the_asker_is_denied() {
    let three = Three::start();
    let unknown = TransferId([7; 16]);
    assert_eq!(
        code(three.ask(&three.late, unknown)),
        Some(StreamCode::Denied)
    );
    let transfer = three.send(&object(1000));
    three.db.objects().hold(16 << 20, vec![id("web")]);
    assert_eq!(
        code(three.ask(&three.late, transfer)),
        Some(StreamCode::Denied)
    );
    three.db.objects().hold(0, Vec::new());
    three.db.objects().hold(16 << 20, Vec::new());
    assert_eq!(
        code(three.ask(&three.late, transfer)),
        Some(StreamCode::Denied),
        "it is not kept any more"
    );
}

#[test]
fn what_has_come_already_is_not_asked_for_again() {
    let three = Three::start();
    let transfer = three.send(&object(1000));
    assert!(three.ask(&three.late, transfer).is_ok());
    let failed = three.ask(&three.late, transfer).unwrap_err();
    let ApiEvent::Failed { reason, code, .. } = failed else {
        panic!("{failed:?}")
    };
    assert!(reason.contains("come already"), "{reason}");
    assert_eq!(code, None);
}

#[test]
fn who_takes_no_shards_asks_in_vain_and_who_is_not_there_answers_nothing() {
    let three = Three::start();
    let transfer = three.send(&object(1000));
    let failed = three.ask(&three.web, transfer).unwrap_err();
    let ApiEvent::Failed { reason, .. } = failed else {
        panic!("{failed:?}")
    };
    assert!(reason.contains("we take none"), "{reason}");
    three.db.shutdown();
    three.db.join();
    assert_eq!(code(three.ask(&three.late, transfer)), None);
}

#[test]
fn nobody_hears_of_what_he_does_not_ask_for_any_more() {
    let three = Three::start();
    let transfer = three.send(&object(3_000_000));
    let objects = three.late.objects();
    let token = objects
        .ask(transfer, address(&three.db), None, None)
        .unwrap();
    objects.cancel(token);
    let second = three.ask(&three.late, transfer);
    let events = three.late.api().poll_events();
    assert!(events.iter().all(|event| of(event) != Some(token)));
    // Unless it had come before it was cancelled.
    assert!(second.is_ok() || three.late.snapshot().counters.objects_received == 1);
}
