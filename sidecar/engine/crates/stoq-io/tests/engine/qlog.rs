//! Connections that are recorded on request.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stoq_io::{Engine, EngineSettings};

use crate::mesh::{Authority, Mesh, accept, application, eventually};
use crate::net::in_namespace;

/// A folder of the test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The records of a JSON text sequence (RFC 7464).
fn records(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let parts = text.split('\u{1e}').filter(|part| !part.is_empty());
    parts
        .map(|part| serde_json::from_str(part).unwrap_or_else(|e| panic!("{e}: {part}")))
        .collect()
}

/// Names of the events, each with the kind of its packet.
fn events(records: &[Value]) -> HashSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let event = |r: &Value| (text(&r["name"]), text(&r["data"]["header"]["packet_type"]));
    records.iter().map(event).collect()
}

fn parts(path: &Path) -> (String, String) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let name = name.strip_suffix(".sqlog").expect("another suffix");
    let mut words = name.rsplitn(3, '-');
    let id = words.next().unwrap().to_owned();
    (words.next().unwrap().to_owned(), id)
}

#[test]
fn each_end_writes_handshake_and_packets_of_a_connection_into_a_file() {
    in_namespace(|| {
        let (web, db) = (Folder::new("qlog-web"), Folder::new("qlog-db"));
        let mesh = Mesh::with(json!({"qlog_dir": web.0}), json!({"qlog_dir": db.0}));
        let listener = application();
        let mut client = mesh.dial();
        let mut server = accept(&listener);
        client.write_all(&vec![1; 200_000]).unwrap();
        server.read_exact(&mut vec![0; 200_000]).unwrap();
        drop(mesh); // both engines end, and with them the files

        let (ours, theirs) = (web.files(), db.files());
        assert_eq!((ours.len(), theirs.len()), (1, 1), "{ours:?} {theirs:?}");
        let (client, server) = (parts(&ours[0]), parts(&theirs[0]));
        assert_eq!((&*client.0, &*server.0), ("client", "server"));
        assert_eq!(client.1, server.1, "one connection has one id");
        for file in [&ours[0], &theirs[0]] {
            let records = records(file);
            assert_eq!(records[0]["qlog_format"], "JSON-SEQ");
            let events = events(&records[1..]);
            for wanted in [
                ("transport:packet_sent", "initial"),
                ("transport:packet_received", "initial"),
                ("transport:packet_sent", "handshake"),
                ("transport:packet_received", "handshake"),
                ("transport:packet_sent", "1RTT"),
                ("transport:packet_received", "1RTT"),
                ("recovery:metrics_updated", ""),
            ] {
                let wanted = (wanted.0.to_owned(), wanted.1.to_owned());
                assert!(events.contains(&wanted), "{wanted:?} is not in {events:?}");
            }
        }
        let sent = records(&ours[0]);
        let bytes: u64 = sent
            .iter()
            .filter(|record| record["name"] == "transport:packet_sent")
            .filter_map(|record| record["data"]["header"]["length"].as_u64())
            .sum();
        assert!(bytes > 200_000, "{bytes} bytes in the packets");
    });
}

#[test]
fn a_decision_about_the_tier_is_an_event_with_its_cause_and_what_it_sets() {
    in_namespace(|| {
        let web = Folder::new("qlog-tier");
        let mesh = Mesh::with(json!({"qlog_dir": web.0}), json!({}));
        let listener = application();
        let mut client = mesh.dial();
        let mut server = accept(&listener);
        client.write_all(&vec![1; 200_000]).unwrap();
        server.read_exact(&mut vec![0; 200_000]).unwrap();
        let policy = serde_json::from_value(json!({"tier": "home", "congestion": "newreno"}));
        mesh.web.set_adaptation(&policy.unwrap()).unwrap();
        eventually("the policy is in force", || {
            let told = mesh.web.connections().remove(0).adaptation.unwrap();
            told.tier == "home"
        });
        drop(mesh);

        let records = records(&web.files()[0]);
        let decided: Vec<&Value> = records
            .iter()
            .filter(|record| record["name"] == "stoq:tier_decided")
            .collect();
        let last = decided.last().expect("no decision is recorded");
        assert!(last["time"].as_f64().unwrap() > 0.0, "{last}");
        let data = &last["data"];
        assert_eq!(
            (&data["new"], &data["cause"]),
            (&json!("home"), &json!("policy"))
        );
        assert_eq!(data["applied"], true);
        assert_eq!(data["congestion"], "newreno");
        assert_eq!(data["send_window"], 8_000_000);
        assert_eq!(data["gso_segments"], 16);
        assert!(data["min_rtt"].as_f64().unwrap() > 0.0, "{data}");
    });
}

#[test]
fn a_folder_that_cannot_be_written_is_named_at_start() {
    let tls = Authority::new().workload("web");
    let settings = json!({"qlog_dir": "/proc/no/such/folder"});
    let settings = EngineSettings::from_json(&settings.to_string()).unwrap();
    let Err(error) = Engine::start(settings, tls) else {
        panic!("it started")
    };
    let text = error.to_string();
    assert!(text.contains("qlog_dir = /proc/no/such/folder"), "{text}");
    assert!(text.contains("No such file"), "{text}");
}
