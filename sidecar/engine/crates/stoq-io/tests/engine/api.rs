//! API streams: the caller is the other side.

use std::cell::RefCell;
use std::ops::Deref;
use std::sync::Arc;

use serde_json::json;
use stoq_core::clock::SystemClock;
use stoq_core::tls::{TlsContext, TlsSettings};
use stoq_io::{ApiEvent, Engine, StreamToken};
use stoq_wire::code::StreamCode;

use crate::mesh::{Authority, PATIENCE, id, start};
use crate::net::{DB, WEB, in_namespace};

/// An engine, and the events that nobody has waited for yet.
struct Caller {
    engine: Engine,
    seen: RefCell<Vec<ApiEvent>>,
}

impl Caller {
    fn new(engine: Engine) -> Self {
        let seen = RefCell::default();
        Self { engine, seen }
    }
}

impl Deref for Caller {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

/// A control process and a sidecar that calls it.
struct Control {
    server: Caller,
    client: Caller,
}

impl Control {
    fn start(client: Arc<TlsContext>, authority: &Authority, limits: serde_json::Value) -> Self {
        let listen = json!({"listen": format!("[{DB}]:14012")});
        let settings = json!({"workers": 2, "bootstrap": listen, "limits": limits});
        let server = start(settings, authority.workload("db"));
        let settings = json!({"workers": 1, "stoq": {"listen": format!("[{WEB}]:14008")}});
        let client = start(settings, client);
        Self {
            server: Caller::new(server),
            client: Caller::new(client),
        }
    }

    fn open(&self) -> StreamToken {
        let remote = format!("[{DB}]:14012").parse().unwrap();
        self.client.api().open(remote, Some(id("db"))).unwrap()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.client.shutdown();
        self.server.shutdown();
    }
}

/// Polls until `pick` finds what it waits for.
fn wait<T>(caller: &Caller, pick: impl Fn(&ApiEvent) -> Option<T>) -> T {
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        let mut seen = caller.seen.borrow_mut();
        seen.extend(caller.api().poll_events());
        if let Some(position) = seen.iter().position(|event| pick(event).is_some()) {
            return pick(&seen.remove(position)).unwrap();
        }
        drop(seen);
        assert!(std::time::Instant::now() < until, "no such event");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn accepted(engine: &Caller) -> (StreamToken, Arc<stoq_io::ApiPeer>) {
    wait(engine, |event| match event {
        ApiEvent::Accepted { token, peer } => Some((*token, Arc::clone(peer))),
        _ => None,
    })
}

/// Receives `length` bytes.
fn receive(engine: &Caller, token: StreamToken, length: usize) -> Vec<u8> {
    let mut received = Vec::new();
    let until = std::time::Instant::now() + PATIENCE;
    while received.len() < length {
        match engine.api().recv(token, 65_536).unwrap() {
            Some(piece) => received.extend_from_slice(&piece),
            None => std::thread::sleep(std::time::Duration::from_millis(1)),
        }
        assert!(
            std::time::Instant::now() < until,
            "{} of {length}",
            received.len()
        );
    }
    received
}

fn finished(engine: &Caller, wanted: StreamToken) {
    wait(engine, |event| {
        matches!(event, ApiEvent::Finished(token) if *token == wanted).then_some(())
    });
}

fn newcomer(authority: &Authority) -> Arc<TlsContext> {
    let tls = TlsContext::new(TlsSettings::default(), Arc::new(SystemClock));
    tls.set_trust(authority.trust());
    tls
}

#[test]
fn a_call_and_its_answer_cross_and_both_sides_export_the_same_key() {
    in_namespace(|| {
        let authority = Authority::new();
        let control = Control::start(authority.workload("web"), &authority, json!({}));
        let call = control.open();
        assert_eq!(
            control.client.api().send(call, b"question", true).unwrap(),
            8
        );
        let (served, peer) = accepted(&control.server);
        assert_eq!(
            peer.evidence
                .as_ref()
                .unwrap()
                .peer
                .as_ref()
                .unwrap()
                .spiffe,
            id("web")
        );
        assert_eq!(receive(&control.server, served, 8), b"question");
        finished(&control.server, served);
        let label = "EXPORTER-stoq-bootstrap";
        let ours = control.client.api().exporter(call, label, b"").unwrap();
        let theirs = control.server.api().exporter(served, label, b"").unwrap();
        assert_eq!(ours, theirs);
        control.server.api().send(served, b"answer", true).unwrap();
        assert_eq!(receive(&control.client, call, 6), b"answer");
        finished(&control.client, call);
        control.client.api().close(call);
        assert!(control.client.api().recv(call, 1).is_err());
    });
}

#[test]
fn the_bootstrap_listener_takes_a_client_without_a_certificate() {
    in_namespace(|| {
        let authority = Authority::new();
        let control = Control::start(newcomer(&authority), &authority, json!({}));
        let call = control.open();
        control.client.api().send(call, b"sign me", true).unwrap();
        let (served, peer) = accepted(&control.server);
        assert!(peer.evidence.as_ref().unwrap().peer.is_none());
        assert_eq!(receive(&control.server, served, 7), b"sign me");
    });
}

#[test]
fn once_it_has_a_certificate_its_next_call_shows_it() {
    in_namespace(|| {
        let authority = Authority::new();
        let tls = newcomer(&authority);
        let control = Control::start(Arc::clone(&tls), &authority, json!({}));
        let call = control.open();
        control.client.api().send(call, b"a", true).unwrap();
        assert!(
            accepted(&control.server)
                .1
                .evidence
                .as_ref()
                .unwrap()
                .peer
                .is_none()
        );
        authority.renew(&tls, "web");
        let call = control.open();
        control.client.api().send(call, b"b", true).unwrap();
        let (_, peer) = accepted(&control.server);
        assert_eq!(
            peer.evidence
                .as_ref()
                .unwrap()
                .peer
                .as_ref()
                .unwrap()
                .spiffe,
            id("web")
        );
    });
}

#[test]
fn a_slow_receiver_holds_the_sender_back() {
    in_namespace(|| {
        let authority = Authority::new();
        let control = Control::start(authority.workload("web"), &authority, json!({}));
        let call = control.open();
        let data = vec![3; 8_000_000];
        let mut sent = control.client.api().send(call, &data, false).unwrap();
        assert!(sent < data.len());
        let (served, _) = accepted(&control.server);
        let mut received = 0;
        let until = std::time::Instant::now() + PATIENCE;
        while received < data.len() {
            sent += control
                .client
                .api()
                .send(call, &data[sent..], false)
                .unwrap();
            if let Some(piece) = control.server.api().recv(served, 10_000).unwrap() {
                received += piece.len();
            }
            assert!(std::time::Instant::now() < until, "{received}");
        }
        assert_eq!(received, data.len());
    });
}

#[test]
fn a_reset_carries_its_code() {
    in_namespace(|| {
        let authority = Authority::new();
        let control = Control::start(authority.workload("web"), &authority, json!({}));
        let call = control.open();
        control.client.api().send(call, b"?", false).unwrap();
        let (served, _) = accepted(&control.server);
        control.server.api().reset(served, StreamCode::Denied);
        let code = wait(&control.client, |event| match event {
            ApiEvent::Failed { token, code, .. } if *token == call => Some(*code),
            _ => None,
        });
        assert_eq!(code, Some(StreamCode::Denied));
    });
}

#[test]
fn streams_beyond_the_servers_limit_are_denied() {
    in_namespace(|| {
        let authority = Authority::new();
        let limits = json!({"api_streams": 1});
        let control = Control::start(authority.workload("web"), &authority, limits);
        let first = control.open();
        control.client.api().send(first, b"1", false).unwrap();
        accepted(&control.server);
        let second = control.open();
        // It may have been denied already.
        let _ = control.client.api().send(second, b"2", false);
        wait(&control.client, |event| {
            matches!(event, ApiEvent::Failed { token, .. } if *token == second).then_some(())
        });
    });
}

#[test]
fn a_control_process_that_is_not_there_is_a_failure_with_its_reason() {
    in_namespace(|| {
        let authority = Authority::new();
        let transport = json!({"dial_timeout_ms": 200});
        let settings = json!({"workers": 1, "transport": transport});
        let client = Caller::new(start(settings, authority.workload("web")));
        let remote = format!("[{DB}]:14012").parse().unwrap();
        let call = client.api().open(remote, Some(id("db"))).unwrap();
        let reason = wait(&client, |event| match event {
            ApiEvent::Failed { token, reason, .. } if *token == call => Some(reason.to_string()),
            _ => None,
        });
        assert!(reason.contains("UDP 14012"), "{reason}");
        client.shutdown();
    });
}
