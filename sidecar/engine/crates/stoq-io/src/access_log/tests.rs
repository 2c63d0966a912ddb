use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::UNIX_EPOCH;

use super::*;
use crate::counters::{Party, Reporter, SecurityPolicy, Suite};

fn record(outcome: Outcome) -> AccessRecord {
    let party = |name: &str| Party {
        workload: Some(name.into()),
        namespace: Some("shop".into()),
        principal: Some(format!("spiffe://td/ns/shop/sa/{name}").into()),
    };
    AccessRecord {
        udp: false,
        time: UNIX_EPOCH + Duration::from_secs(1),
        labels: Arc::new(FlowLabels {
            reporter: Reporter::Source,
            source: party("web"),
            destination: party("db"),
            service: Some(("db".into(), "shop".into())),
            policy: SecurityPolicy::MutualTls,
            suite: Some(Suite {
                key_exchange: "X25519MLKEM768",
                signature: "Ed25519+FALCON-1024",
                cipher: "AES-256-GCM",
            }),
        }),
        flow: Some(FlowId([0xab; 16])),
        source: "[fd00::2]:40000".parse().unwrap(),
        destination: "[fd00::3]:5432".parse().unwrap(),
        stoq: Some("[fd00::3]:14008".parse().unwrap()),
        adaptation: Some(Standing {
            tier: "performance",
            changes: 3,
        }),
        bytes_sent: 10,
        bytes_received: 20,
        duration: Duration::from_millis(1234),
        outcome,
    }
}

/// A sink that the test can read.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn written(format: LineFormat, records: Vec<AccessRecord>) -> String {
    let sink = Sink::default();
    let (log, thread) = AccessLog::start(format, sink.clone()).unwrap();
    assert!(log.is_on());
    for record in records {
        log.record(record);
    }
    drop(log);
    thread.join().unwrap();
    let bytes = sink.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_connection_is_one_json_object_on_one_line() {
    let text = written(
        LineFormat::Json,
        vec![record(Outcome::Complete), record(Outcome::Complete)],
    );
    assert_eq!(text.lines().count(), 2);
    let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let expected = serde_json::json!({
        "time": "1970-01-01T00:00:01.000000Z",
        "level": "info",
        "target": "access",
        "message": "connection complete",
        "src.addr": "[fd00::2]:40000",
        "src.workload": "web",
        "src.namespace": "shop",
        "src.identity": "spiffe://td/ns/shop/sa/web",
        "dst.addr": "[fd00::3]:5432",
        "stoq.addr": "[fd00::3]:14008",
        "dst.service": "db.shop.stoq",
        "dst.workload": "db",
        "dst.namespace": "shop",
        "dst.identity": "spiffe://td/ns/shop/sa/db",
        "direction": "outbound",
        "key_exchange": "X25519MLKEM768",
        "signature": "Ed25519+FALCON-1024",
        "cipher": "AES-256-GCM",
        "flow": "abababababababababababababababab",
        "stoq.tier": "performance",
        "stoq.tier_changes": 3,
        "bytes_sent": 10,
        "bytes_recv": 20,
        "duration": "1234ms",
    });
    assert_eq!(line, expected);
}

#[test]
fn text_lines_quote_only_what_needs_it() {
    let failed = Outcome::Failed(
        ResponseFlag::Connect,
        "connection refused\nby \"db\"".into(),
    );
    let text = written(LineFormat::Text, vec![record(failed)]);
    assert_eq!(text.lines().count(), 1);
    assert!(
        text.starts_with("1970-01-01T00:00:01.000000Z error access connection failed src.addr=")
    );
    assert!(text.contains(" dst.workload=db "));
    assert!(text.contains(" stoq.tier=performance stoq.tier_changes=3 "));
    assert!(text.contains(" response_flags=CONNECT "));
    assert!(
        text.contains(r#" error="connection refused\nby \"db\"""#),
        "{text}"
    );
}

#[test]
fn what_is_not_known_is_left_out() {
    let mut plain = record(Outcome::Refused("plaintext".into()));
    plain.labels = Arc::new(FlowLabels {
        reporter: Reporter::Destination,
        source: Party::default(),
        destination: Party::default(),
        service: None,
        policy: SecurityPolicy::Unknown,
        suite: None,
    });
    plain.flow = None;
    plain.stoq = None;
    plain.adaptation = None;
    let text = written(LineFormat::Json, vec![plain]);
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    let keys: Vec<_> = line.as_object().unwrap().keys().cloned().collect();
    for absent in [
        "src.workload",
        "dst.identity",
        "dst.service",
        "flow",
        "stoq.addr",
        "stoq.tier",
        "stoq.tier_changes",
        "cipher",
    ] {
        assert!(!keys.iter().any(|key| key == absent), "{absent}");
    }
    assert_eq!(line["level"], "warn");
    assert_eq!(line["response_flags"], "DENY");
    assert_eq!(line["direction"], "inbound");
}

/// A sink that takes nothing until the test lets it.
struct Stuck(std::sync::mpsc::Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_slow_sink_costs_lines_and_never_time() {
    let (release, stuck) = channel();
    let (log, thread) = AccessLog::start(LineFormat::Json, Stuck(stuck)).unwrap();
    let more = 100;
    for _ in 0..2 * QUEUE + more {
        log.record(record(Outcome::Complete));
    }
    // One batch at most is with the writer, one queue full waits.
    assert!(log.dropped() >= more as u64 - 1, "{}", log.dropped());
    drop(release);
    drop(log);
    thread.join().unwrap();
}

/// A sink whose reader is gone.
struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_that_a_broken_sink_lost_are_counted() {
    let (log, thread) = AccessLog::start(LineFormat::Text, Broken).unwrap();
    let watch = log.clone();
    log.record(record(Outcome::Complete));
    while watch.dropped() == 0 {
        std::thread::yield_now();
    }
    assert_eq!(watch.dropped(), 1);
    drop((log, watch));
    thread.join().unwrap();
}

#[test]
fn a_log_that_is_off_takes_records_and_writes_nothing() {
    let log = AccessLog::off();
    assert!(!log.is_on());
    log.record(record(Outcome::Complete));
    assert_eq!(log.dropped(), 0);
}
