//! Connections that change while they run.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stoq_io::{Adaptation, Engine, EngineSettings, PolicyDocument};

use crate::mesh::{Mesh, PATIENCE, accept, application, eventually};
use crate::net::in_namespace;

fn adapting(policy: Value) -> Mesh {
    let settings = json!({"adapt": policy, "log_level": "error"});
    Mesh::with(settings.clone(), settings)
}

fn document(policy: Value) -> PolicyDocument {
    serde_json::from_value(policy).unwrap()
}

/// The byte at a position of what is sent.
fn pattern(position: usize) -> u8 {
    (position.wrapping_mul(7919) >> 5) as u8
}

/// Sends so many bytes to a peer that only reads.
fn send(mesh: &Mesh, bytes: usize) -> Duration {
    let listener = application();
    let reader = thread::spawn(move || {
        let mut received = Vec::new();
        accept(&listener).read_to_end(&mut received).unwrap();
        received
    });
    let begun = Instant::now();
    let mut stream = mesh.dial();
    let sent: Vec<u8> = (0..bytes).map(pattern).collect();
    stream.write_all(&sent).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(
        reader.join().unwrap() == sent,
        "what arrived is not what was sent"
    );
    begun.elapsed()
}

/// How the only connection of an engine has adapted.
fn adaptation(engine: &Engine) -> Adaptation {
    let mut connections = engine.connections();
    assert_eq!(connections.len(), 1);
    connections.remove(0).adaptation.unwrap()
}

fn changes(engine: &Engine) -> u64 {
    engine.snapshot().adapt_changes.values().sum()
}

/// Writes until told to stop; how much that was.
fn write_until(mut stream: TcpStream, stop: &AtomicBool) -> usize {
    let mut position = 0;
    while !stop.load(Ordering::Relaxed) {
        let piece: Vec<u8> = (position..position + 50_000).map(pattern).collect();
        stream.write_all(&piece).unwrap();
        position += piece.len();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    position
}

/// Reads to the end and checks every byte; how many there were.
fn read_checked(mut stream: TcpStream) -> usize {
    let mut buffer = vec![0; 1 << 16];
    let mut position = 0;
    loop {
        let length = stream.read(&mut buffer).unwrap();
        if length == 0 {
            return position;
        }
        for byte in &buffer[..length] {
            assert_eq!(*byte, pattern(position), "at byte {position}");
            position += 1;
        }
    }
}

/// Changes the parameters of live connections to and fro, `times` times.
fn unsettle(engine: &Engine, times: u32) {
    let tiers = [
        "slow",
        "datacenter",
        "home",
        "enterprise",
        "standard",
        "performance",
    ];
    let controllers = ["cubic", "bbr3", "newreno", "bbr3"];
    for round in 0..times as usize {
        let policy = json!({
            "tier": tiers[round % tiers.len()],
            "congestion": controllers[round / 2 % controllers.len()],
        });
        engine.set_adaptation(&document(policy)).unwrap();
        if round % 16 == 0 {
            engine.adapt_now();
        }
        thread::sleep(Duration::from_micros(500));
    }
}

#[test]
fn bytes_are_whole_while_parameters_change_ten_thousand_times() {
    in_namespace(|| {
        const TIMES: u32 = 5000;
        let mesh = adapting(json!({}));
        let listener = application();
        let client = mesh.dial();
        let server = accept(&listener);
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = [&client, &server]
            .map(|stream| {
                let (stream, stop) = (stream.try_clone().unwrap(), Arc::clone(&stop));
                thread::spawn(move || write_until(stream, &stop))
            })
            .into();
        let readers: Vec<_> = [server, client]
            .map(|stream| thread::spawn(move || read_checked(stream)))
            .into();
        thread::scope(|scope| {
            scope.spawn(|| unsettle(&mesh.web, TIMES));
            scope.spawn(|| unsettle(&mesh.db, TIMES));
        });
        stop.store(true, Ordering::Relaxed);
        let sent: Vec<usize> = writers.into_iter().map(|w| w.join().unwrap()).collect();
        let received: Vec<usize> = readers.into_iter().map(|r| r.join().unwrap()).collect();
        assert_eq!(sent, received);
        assert!(sent.iter().all(|bytes| *bytes > 1_000_000), "{sent:?}");
        for engine in [&mesh.web, &mesh.db] {
            let snapshot = engine.snapshot();
            assert!(changes(engine) >= u64::from(TIMES), "{}", changes(engine));
            assert_eq!(
                snapshot.counters.connections_dialled,
                u64::from(std::ptr::eq(engine, &mesh.web))
            );
            assert!(
                snapshot
                    .connections_closed
                    .values()
                    .all(|closed| *closed == 0)
            );
            let told = adaptation(engine);
            // Grown once, to the widest, and never again.
            assert_eq!(told.receive_window, 16_000_000);
            assert!(told.changes.len() == 8 && told.changes[0].applied);
        }
    });
}

#[test]
fn a_pinned_controller_and_tier_are_used_from_the_beginning() {
    in_namespace(|| {
        let mesh = adapting(json!({"congestion": "bbr2"}));
        send(&mesh, 2_000_000);
        let told = adaptation(&mesh.web);
        assert_eq!(told.congestion, "bbr3");
        assert!(told.pacing_rate.is_some());
        drop(mesh);

        let mesh = adapting(json!({"tier": "home", "congestion": "newreno"}));
        send(&mesh, 2_000_000);
        let told = adaptation(&mesh.web);
        assert_eq!((told.tier, told.congestion), ("home", "newreno"));
        assert_eq!((told.send_window, told.gso_segments), (8_000_000, 16));
        assert_eq!(told.pacing_rate, None);
        assert!(told.changes.is_empty(), "{:?}", told.changes);
        assert_eq!(mesh.web.snapshot().adapt_connections["home"], 1);
    });
}

#[test]
fn a_path_is_measured_and_its_tier_is_found_and_told() {
    in_namespace(|| {
        let mesh = adapting(json!({}));
        send(&mesh, 20_000_000);
        let told = adaptation(&mesh.web);
        let first = told.changes.last().unwrap();
        assert_eq!((first.from, first.cause), ("standard", "measured"));
        assert!(
            told.min_rtt_seconds > 0.0 && told.min_rtt_seconds < 0.02,
            "{told:?}"
        );
        assert!(told.delivered_bytes > 15_000_000, "{told:?}");
        let snapshot = mesh.web.snapshot();
        assert!(snapshot.counters.adapt_measurements >= 3);
        assert!(snapshot.counters.adapt_nanoseconds > 0);
        // Another decision may be made between the two looks.
        eventually("what is counted is what is told", || {
            let (told, counted) = (adaptation(&mesh.web), mesh.web.snapshot());
            counted.adapt_connections[told.tier] == 1
                && counted.adapt_changes.values().sum::<u64>() == told.changes.len() as u64
        });
    });
}

#[test]
fn a_connection_that_has_gone_is_in_no_tier() {
    in_namespace(|| {
        let mesh = Mesh::with(json!({"pool": {"idle_ms": 1000}}), json!({}));
        send(&mesh, 1000);
        let connections =
            |engine: &Engine| -> u64 { engine.snapshot().adapt_connections.values().sum() };
        assert_eq!(connections(&mesh.web), 1);
        eventually("no connection is left", || connections(&mesh.web) == 0);
    });
}

#[test]
fn a_dry_run_decides_and_changes_nothing() {
    in_namespace(|| {
        let mesh = adapting(json!({"mode": "dry-run", "congestion": "bbr3"}));
        send(&mesh, 20_000_000);
        let told = adaptation(&mesh.web);
        assert!(!told.changes.is_empty());
        assert!(told.changes.iter().all(|change| !change.applied));
        assert_eq!((told.congestion, told.gso_segments), ("cubic", 64));
        assert_eq!(
            (told.receive_window, told.send_window),
            (8_000_000, 4_000_000)
        );
        mesh.web
            .set_adaptation(&document(json!({"congestion": "bbr3"})))
            .unwrap();
        eventually("what was decided is done", || {
            let told = adaptation(&mesh.web);
            told.changes[0].applied && told.changes[0].cause == "policy"
        });
        send(&mesh, 1_000_000);
        assert_eq!(adaptation(&mesh.web).congestion, "bbr3");
    });
}

#[test]
fn off_measures_nothing_and_cannot_be_changed_while_it_runs() {
    in_namespace(|| {
        let mesh = adapting(json!({"mode": "off"}));
        send(&mesh, 2_000_000);
        assert_eq!(mesh.web.connections()[0].adaptation, None);
        assert_eq!(mesh.web.snapshot().counters.adapt_measurements, 0);
        let refused = |engine: &Engine, policy: Value| {
            let error = engine.set_adaptation(&document(policy)).unwrap_err();
            error.to_string()
        };
        let text = refused(&mesh.web, json!({}));
        assert!(
            text.contains("adapt.mode") && text.contains("restart"),
            "{text}"
        );
        drop(mesh);
        let mesh = adapting(json!({}));
        let text = refused(&mesh.web, json!({"mode": "off"}));
        assert!(
            text.contains("adapt.mode") && text.contains("dry-run"),
            "{text}"
        );
    });
}

#[test]
fn a_limit_of_the_rate_holds() {
    in_namespace(|| {
        let mesh = adapting(json!({"max_rate": 16_000_000}));
        let took = send(&mesh, 3_000_000).as_secs_f64();
        assert!(
            (1.3..PATIENCE.as_secs_f64()).contains(&took),
            "24 Mbit at 16 Mbit/s took {took:.2} s"
        );
    });
}

#[test]
fn an_idle_connection_is_not_judged() {
    in_namespace(|| {
        let settings = json!({"transport": {"keep_alive_ms": 400}});
        let mesh = Mesh::with(settings.clone(), settings);
        send(&mesh, 100_000);
        let measured = || mesh.web.snapshot().counters.adapt_measurements;
        // The ACKs of what was sent are forgotten a second after the last has come.
        eventually("nothing is measured for two seconds", || {
            let before = measured();
            thread::sleep(Duration::from_secs(2));
            measured() == before
        });
    });
}

#[test]
fn nonsense_is_refused_with_the_field_and_the_value_named() {
    let refused = |adapt: Value| {
        let settings = json!({"adapt": adapt}).to_string();
        EngineSettings::from_json(&settings)
            .unwrap_err()
            .to_string()
    };
    for (adapt, field, value) in [
        (json!({"mode": "maybe"}), "adapt.mode", "maybe"),
        (json!({"tier": "fast"}), "adapt.tier", "fast"),
        (json!({"congestion": "vegas"}), "adapt.congestion", "vegas"),
        (
            json!({"min_tier": "home", "max_tier": "slow"}),
            "adapt.min_tier",
            "slow",
        ),
        (json!({"max_rate": 5}), "adapt.max_rate", "5 bit/s"),
        (
            json!({"send_window": [9, 20_000]}),
            "adapt.send_window",
            "9 bytes",
        ),
        (
            json!({"receive_window": [20_000, 1_000_000]}),
            "adapt.receive_window",
            "8000000",
        ),
        (json!({"windows": 3}), "adapt", "windows"),
    ] {
        let text = refused(adapt);
        assert!(text.contains(field) && text.contains(value), "{text}");
    }
}
