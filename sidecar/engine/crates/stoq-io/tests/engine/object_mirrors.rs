//! Copies of objects for a shadow: three engines, of which the first sends.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use stoq_frames::seed::is_copied;
use stoq_io::{
    ApiEvent, Engine, LocalPort, ObjectError, ObjectShadow, ObjectTarget, ReceivedObject,
    StreamToken,
};
use stoq_wire::extension::{SEEDS, SHARDS};
use stoq_wire::parameters::StoqParameters;

use crate::mesh::{Authority, PATIENCE, eventually, id, start, table};

const EACH: u64 = 64 * 1024;

/// How long a shadow that is not there is waited for.
const DIAL: Duration = Duration::from_secs(18);

/// Sender, receiver and shadow.
struct Three {
    web: Engine,
    db: Engine,
    shadow: Engine,
}

impl Drop for Three {
    fn drop(&mut self) {
        for engine in [&self.web, &self.db, &self.shadow] {
            engine.shutdown();
        }
    }
}

fn offering(extensions: u64, max_shard: u64) -> StoqParameters {
    StoqParameters {
        extensions,
        max_shard,
        ..StoqParameters::default()
    }
}

impl Three {
    /// With what the shadow offers.
    fn with(shadow: StoqParameters) -> Self {
        let authority = Authority::new();
        let begin = |name: &str, parameters| {
            let settings = json!({
                "name": name, "workers": 2, "stoq": {"listen": "[::1]:0"},
                "transport": {"dial_timeout_ms": DIAL.as_millis() as u32},
            });
            let engine = start(settings, authority.offering(name, parameters));
            engine.set_table(table("web-0", "fd00::1"));
            engine
        };
        let three = Self {
            web: begin("web", offering(SHARDS | SEEDS, 0)),
            db: begin("db", offering(SHARDS, EACH)),
            shadow: begin("shadow", shadow),
        };
        three.db.objects().accept(true);
        three.shadow.objects().accept(true);
        three.shadow.objects().expect_mirrors(Some(vec![id("web")]));
        three
    }

    fn start() -> Self {
        Self::with(offering(SHARDS | SEEDS, EACH))
    }

    fn target(&self, share: u16) -> ObjectTarget {
        ObjectTarget {
            remote: address(&self.db),
            expect: Some(id("db")),
            shard_size: EACH,
            lanes: 2,
            sign: false,
            shadows: vec![ObjectShadow {
                remote: address(&self.shadow),
                expect: id("shadow"),
                share,
            }],
        }
    }

    fn send(&self, object: &Bytes, share: u16) -> StreamToken {
        let target = self.target(share);
        self.web.objects().send(object.clone(), target).unwrap()
    }

    /// Sends one, which the receiver has whole and the sender hears of.
    fn exchange(&self, object: &Bytes, share: u16) -> ReceivedObject {
        let token = self.send(object, share);
        let found = received(&self.db);
        assert!(found.data.concat() == *object);
        assert_eq!(found.copy_of, None);
        let ended = |event: &ApiEvent| {
            matches!(event, ApiEvent::ObjectSent(of) if *of == token)
                || matches!(event, ApiEvent::Failed { token: of, .. } if *of == token)
        };
        let outcome = wait(&self.web, ended);
        assert!(matches!(outcome, ApiEvent::ObjectSent(_)), "{outcome:?}");
        found
    }

    fn counters(&self) -> stoq_io::counters::CounterValues {
        self.web.snapshot().counters
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

fn received(engine: &Engine) -> ReceivedObject {
    let event = wait(engine, |event| matches!(event, ApiEvent::Object(_)));
    let ApiEvent::Object(token) = event else {
        unreachable!()
    };
    engine.objects().fetch(token).unwrap()
}

fn object(length: usize) -> Bytes {
    let byte = |n: usize| (n.wrapping_mul(7919) >> 5) as u8;
    (0..length).map(byte).collect()
}

#[test]
fn a_shadow_gets_an_object_whole_and_knows_whom_it_is_for() {
    let three = Three::start();
    for length in [0, 1, 3_000_001] {
        let sent = object(length);
        let original = three.exchange(&sent, 10_000);
        let copy = received(&three.shadow);
        assert!(copy.data.concat() == sent);
        assert_eq!(copy.transfer, original.transfer);
        assert_eq!(copy.sender, id("web"));
        assert_eq!(copy.copy_of.as_deref(), Some(id("db").as_str()));
    }
    eventually("the copies are over", || three.counters().mirrors_sent == 3);
    let counters = three.counters();
    assert_eq!(counters.mirrors_failed + counters.mirrors_dropped, 0);
    assert_eq!(three.shadow.snapshot().counters.mirrors_received, 3);
    assert_eq!(three.db.snapshot().counters.mirrors_received, 0);
    eventually("nothing is left", || {
        three.web.snapshot().gauges.mirrors == 0
            && three.shadow.snapshot().gauges.shard_streams == 0
    });
}

#[test]
fn the_transfer_says_whether_an_object_is_copied() {
    let three = Three::start();
    let mut copied = Vec::new();
    for number in 0..30 {
        let transfer = three.exchange(&object(number), 5000).transfer;
        if is_copied(&transfer.0, 5000) {
            assert_eq!(received(&three.shadow).transfer, transfer);
            copied.push(transfer);
        }
    }
    assert!((1..30).contains(&copied.len()), "{}", copied.len());
    let counters = three.shadow.snapshot().counters;
    assert_eq!(counters.mirrors_received, copied.len() as u64);
}

#[test]
fn copies_that_a_shadow_does_not_expect_are_denied_and_the_original_arrives() {
    for from in [None, Some(vec![id("other")])] {
        let three = Three::start();
        three.shadow.objects().expect_mirrors(from);
        three.exchange(&object(1000), 10_000);
        eventually("the copy has failed", || {
            three.counters().mirrors_failed == 1
        });
        let refused = three.shadow.snapshot().streams_refused;
        assert_eq!(refused["denied"], 1);
        let skipped = three.counters().mirrors_skipped;
        // The pause is a second at first, and longer after each copy that is begun behind it.
        eventually("one of the next is not begun", || {
            three.exchange(&object(1000), 10_000);
            three.counters().mirrors_skipped > skipped
        });
    }
}

#[test]
fn a_shadow_without_the_extension_or_for_smaller_shards_gets_nothing() {
    for offered in [
        offering(SHARDS, EACH),
        offering(SEEDS, 0),
        offering(SHARDS | SEEDS, EACH - 1),
    ] {
        let three = Three::with(offered);
        three.exchange(&object(1000), 10_000);
        eventually("the copy has failed", || {
            three.counters().mirrors_failed == 1
        });
        assert_eq!(three.shadow.snapshot().counters.mirrors_received, 0);
    }
}

#[test]
fn a_shadow_that_is_gone_delays_no_original_and_its_copies_keep_a_bounded_number_of_bytes() {
    let three = Three::start();
    three.shadow.shutdown();
    let (large, began) = (object(7_000_000), Instant::now());
    for _ in 0..3 {
        three.exchange(&large, 10_000);
    }
    assert!(began.elapsed() < DIAL, "they waited");
    eventually("two of three were begun", || {
        three.counters().mirrors_dropped == 1
    });
}

#[test]
fn what_cannot_be_copied_is_refused_before_anything_is_sent() {
    let three = Three::start();
    let refused = |target: ObjectTarget| {
        let sent = three.web.objects().send(object(1), target);
        sent.unwrap_err()
    };
    let good = three.target(1);
    let shadow = good.shadows[0].clone();
    assert_eq!(refused(three.target(0)), ObjectError::Share(0));
    assert_eq!(refused(three.target(10_001)), ObjectError::Share(10_001));
    let anybody = ObjectTarget {
        expect: None,
        ..good.clone()
    };
    assert_eq!(refused(anybody), ObjectError::Anybody);
    let many = ObjectTarget {
        shadows: vec![shadow; 5],
        ..good
    };
    assert_eq!(refused(many), ObjectError::Shadows(5));
}
