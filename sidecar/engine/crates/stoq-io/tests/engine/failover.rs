//! Endpoints of a service that fail: connections go to the others, and later ones too.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use serde_json::{Value, json};
use stoq_io::counters::ServiceSample;

use crate::mesh::{APPLICATION, Mesh, application, eventually, id, table_with};
use crate::net::{DB, OUTSIDE, VIP, WEB, in_namespace};

/// A port where no application listens.
const NOBODY: u16 = 7001;

/// The client's table, with these endpoints of the service.
fn set_endpoints(mesh: &Mesh, endpoints: &Value) {
    let services = json!([{
        "name": "db", "namespace": "shop", "vips": [VIP],
        "ports": [{"port": crate::mesh::SERVICE, "target": APPLICATION}],
        "endpoints": endpoints,
    }]);
    let workload = |name: &str, account: &str, address: &str| {
        json!({
            "uid": name, "name": name, "namespace": "shop",
            "spiffe_id": id(account).as_str(), "addresses": [address], "port": 14008,
        })
    };
    let workloads = json!([
        workload("web-0", "web", WEB),
        workload("db-0", "db", DB),
        workload("gone-0", "db", "fd00::8"),
    ]);
    let more = json!({"services": services, "workloads": workloads});
    mesh.web.set_table(table_with("web-0", WEB, more));
}

/// Sends back what comes, whatever comes first being the client's.
fn echo(listener: TcpListener) {
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..length]).is_err() {
                        break;
                    }
                }
            });
        }
    });
}

fn echoes(mut stream: TcpStream, message: &[u8]) -> bool {
    let mut back = vec![0; message.len()];
    stream.write_all(message).is_ok() && stream.read_exact(&mut back).is_ok() && back == message
}

fn sample(mesh: &Mesh) -> Option<ServiceSample> {
    mesh.web.snapshot().services.into_iter().next()
}

fn at(host: &str, port: u16) -> SocketAddr {
    format!("[{host}]:{port}").parse().unwrap()
}

#[test]
fn a_client_does_not_notice_that_an_application_refuses_and_the_endpoint_is_ejected() {
    in_namespace(|| {
        let mesh = Mesh::start();
        echo(application());
        set_endpoints(
            &mesh,
            &json!([{"address": DB}, {"address": DB, "targets": [NOBODY]}]),
        );
        for round in 0..40 {
            assert!(
                echoes(mesh.dial(), b"said before anybody answered"),
                "{round}"
            );
        }
        let sample = sample(&mesh).unwrap();
        assert_eq!(sample.destination_service_name, "db");
        assert!(sample.failovers >= 3 && sample.ejections >= 1, "{sample:?}");
        assert_eq!(sample.ejected, [at(DB, NOBODY)]);
        // A table that comes meanwhile changes nothing about that.
        set_endpoints(
            &mesh,
            &json!([{"address": DB}, {"address": DB, "targets": [NOBODY]}]),
        );
        assert_eq!(self::sample(&mesh).unwrap().ejected, [at(DB, NOBODY)]);
    });
}

#[test]
fn what_a_client_said_and_its_end_are_said_again_whole() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let listener = application();
        set_endpoints(
            &mesh,
            &json!([{"address": DB}, {"address": DB, "targets": [NOBODY]}]),
        );
        let message: Vec<u8> = (0..50_000u32).map(|n| n as u8).collect();
        let server = thread::spawn(move || {
            for _ in 0..8 {
                let (mut stream, _) = listener.accept().unwrap();
                let mut got = Vec::new();
                stream.read_to_end(&mut got).unwrap();
                stream.write_all(&(got.len() as u32).to_be_bytes()).unwrap();
            }
        });
        for _ in 0..8 {
            let mut stream = mesh.dial();
            stream.write_all(&message).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut got = [0; 4];
            stream.read_exact(&mut got).unwrap();
            assert_eq!(u32::from_be_bytes(got), 50_000);
        }
        server.join().unwrap();
        assert!(sample(&mesh).is_some_and(|sample| sample.failovers > 0));
    });
}

#[test]
fn a_peer_that_does_not_answer_is_ejected_after_one_dial() {
    in_namespace(|| {
        let mesh = Mesh::with(json!({"transport": {"dial_timeout_ms": 3000}}), json!({}));
        echo(application());
        set_endpoints(&mesh, &json!([{"address": DB}, {"address": "fd00::8"}]));
        for round in 0..20 {
            assert!(echoes(mesh.dial(), b"hello"), "{round}");
        }
        let sample = sample(&mesh).unwrap();
        assert_eq!((sample.failovers, sample.ejections), (1, 1));
        assert_eq!(sample.ejected, [at("fd00::8", APPLICATION)]);
    });
}

#[test]
fn an_endpoint_outside_the_mesh_that_refuses_is_avoided_too() {
    in_namespace(|| {
        let mesh = Mesh::start();
        echo(application());
        set_endpoints(&mesh, &json!([{"address": DB}, {"address": OUTSIDE}]));
        for round in 0..20 {
            assert!(echoes(mesh.dial(), b"hello"), "{round}");
        }
        assert_eq!(sample(&mesh).unwrap().ejected, [at(OUTSIDE, APPLICATION)]);
    });
}

#[test]
fn connections_fail_when_every_endpoint_does_and_work_when_one_is_back() {
    in_namespace(|| {
        let mesh = Mesh::start();
        set_endpoints(
            &mesh,
            &json!([{"address": DB}, {"address": DB, "targets": [NOBODY]}]),
        );
        for _ in 0..6 {
            assert!(!echoes(mesh.dial(), b"to nobody"));
        }
        assert_eq!(sample(&mesh).unwrap().ejected.len(), 2);
        echo(application());
        eventually("an endpoint is used though all were ejected", || {
            echoes(mesh.dial(), b"hello again")
        });
    });
}

#[test]
fn a_policy_that_refuses_speaks_neither_against_an_endpoint_nor_is_tried_elsewhere() {
    in_namespace(|| {
        let mesh = Mesh::start();
        echo(application());
        let deny = json!({"access": [{"policy": "shop/closed", "action": "deny"}]});
        mesh.db.set_table(table_with("db-0", DB, deny));
        set_endpoints(
            &mesh,
            &json!([{"address": DB}, {"address": DB, "targets": [NOBODY]}]),
        );
        for _ in 0..6 {
            assert!(!echoes(mesh.dial(), b"let me in"));
        }
        assert_eq!(sample(&mesh), None);
    });
}
