//! Certificates that are renewed while connections live.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use stoq_core::tls::TlsContext;
use stoq_io::Engine;

use crate::mesh::{Authority, Mesh, accept, application, eventually};
use crate::net::in_namespace;

/// The life of a certificate here: the shortest that renewals at its half survive on a
/// busy machine.
const LIFE: Duration = Duration::from_secs(6);

/// The life of one that does not end in a test.
const LONG: Duration = Duration::from_secs(600);

/// How often both are renewed during a transfer.
const RENEWALS: u64 = 6;

/// A mesh whose two certificates live so long, the client's and the server's.
fn mesh([web, db]: [Duration; 2]) -> (Mesh, Arc<TlsContext>) {
    let authority = Authority::new();
    let db_tls = authority.workload("db");
    let mesh = Mesh::of(authority, Arc::clone(&db_tls), json!({}), json!({}));
    // When all else is there: making it takes a second of such a life.
    mesh.authority.certify(&db_tls, "db", db);
    mesh.authority.certify(&mesh.web_tls, "web", web);
    (mesh, db_tls)
}

fn renew(mesh: &Mesh, engine: &Engine, tls: &TlsContext, account: &str) {
    mesh.authority.certify(tls, account, LIFE);
    engine.prove_identity();
}

fn echo(client: &mut TcpStream, server: &mut TcpStream) {
    client.write_all(b"x").unwrap();
    server.read_exact(&mut [0]).unwrap();
    server.write_all(b"y").unwrap();
    client.read_exact(&mut [0]).unwrap();
}

#[test]
fn a_long_transfer_outlives_the_certificates_it_began_with() {
    in_namespace(|| {
        let (mesh, db_tls) = mesh([LIFE, LIFE]);
        let listener = application();
        let mut client = mesh.dial();
        let mut server = accept(&listener);
        let over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&over);
        let sender = std::thread::spawn(move || {
            let (piece, mut sent) = (vec![7; 100_000], 0u64);
            while !stop.load(Ordering::Relaxed) {
                client.write_all(&piece).unwrap();
                sent += piece.len() as u64;
            }
            sent
        });
        let receiver = std::thread::spawn(move || {
            let (mut piece, mut received) = (vec![0; 100_000], 0u64);
            loop {
                match server.read(&mut piece).unwrap() {
                    0 => return received,
                    read => received += read as u64,
                }
            }
        });
        for _ in 0..RENEWALS {
            std::thread::sleep(LIFE / 3);
            renew(&mesh, &mesh.web, &mesh.web_tls, "web");
            renew(&mesh, &mesh.db, &db_tls, "db");
        }
        std::thread::sleep(LIFE / 3);
        over.store(true, Ordering::Relaxed);
        assert_eq!(sender.join().unwrap(), receiver.join().unwrap());
        for (engine, peer) in [(&mesh.web, &mesh.db), (&mesh.db, &mesh.web)] {
            let sent = || engine.snapshot().counters.reauthentications_sent;
            eventually("every proof has been accepted", || {
                peer.snapshot().counters.reauthentications_accepted == sent()
            });
            // One proof for all renewals that come while another is not answered yet.
            let sent = sent();
            assert!((3..=RENEWALS).contains(&sent), "{sent} of {RENEWALS}");
        }
        for engine in [&mesh.web, &mesh.db] {
            let snapshot = engine.snapshot();
            assert_eq!(snapshot.counters.handshakes_completed, 1);
            assert_eq!(snapshot.counters.reauthentications_refused, 0);
            assert_eq!(snapshot.connections_closed["expired"], 0);
        }
    });
}

#[test]
fn a_renewal_moves_the_peer_s_end_of_life_and_new_flows_share_the_connection() {
    in_namespace(|| {
        let (mesh, _) = mesh([LONG, LONG]);
        let listener = application();
        let (mut client, mut server) = (mesh.dial(), accept(&listener));
        let expires = |engine: &Engine| engine.connections()[0].peer_expires.unwrap();
        let before = expires(&mesh.db);
        mesh.authority.renew(&mesh.web_tls, "web");
        mesh.web.prove_identity();
        eventually("the server knows the new certificate", || {
            expires(&mesh.db) > before + 1000
        });
        let (mut other, mut other_server) = (mesh.dial(), accept(&listener));
        echo(&mut client, &mut server);
        echo(&mut other, &mut other_server);
        assert_eq!(mesh.db.connections().len(), 1);
    });
}

#[test]
fn a_peer_that_does_not_re_authenticate_is_closed_when_its_certificate_ends() {
    in_namespace(|| {
        let (mesh, db_tls) = mesh([LIFE, LIFE * 2]);
        let listener = application();
        let mut client = mesh.dial();
        let _server = accept(&listener);
        // One side alone renews.
        renew(&mesh, &mesh.db, &db_tls, "db");
        assert!(client.read(&mut [0]).is_err());
        eventually("the close is counted", || {
            mesh.db.snapshot().connections_closed["expired"] == 1
        });
    });
}

/// What db's engine closes a connection with on which web shows this.
fn closed_with(name: &str, show: impl FnOnce(&Mesh)) {
    let mesh = Mesh::start();
    let listener = application();
    let mut client = mesh.dial();
    let _server = accept(&listener);
    show(&mesh);
    assert!(client.read(&mut [0]).is_err());
    eventually("the close is counted", || {
        mesh.db.snapshot().connections_closed[name] == 1
    });
    assert_eq!(mesh.db.snapshot().counters.reauthentications_refused, 1);
}

#[test]
fn another_identity_is_refused_and_closes_that_connection() {
    in_namespace(|| {
        closed_with("unauthorised", |mesh| {
            mesh.authority.certify(&mesh.web_tls, "other", LONG);
            mesh.web.prove_identity();
        });
    });
}

#[test]
fn a_certificate_of_a_strange_authority_is_refused() {
    in_namespace(|| {
        closed_with("unauthorised", |mesh| {
            Authority::new().certify(&mesh.web_tls, "web", LONG);
            mesh.web.prove_identity();
        });
    });
}

#[test]
fn a_revoked_certificate_is_refused() {
    in_namespace(|| {
        let authority = Authority::new();
        let (db_tls, _) = authority.issue("db", Duration::from_secs(3600));
        let mesh = Mesh::of(authority, Arc::clone(&db_tls), json!({}), json!({}));
        let listener = application();
        let mut client = mesh.dial();
        let mut server = accept(&listener);
        echo(&mut client, &mut server);
        let serial = mesh.authority.certify(&mesh.web_tls, "web", LONG);
        let mut trust = mesh.authority.trust();
        trust.revoke(&serial);
        db_tls.set_trust(trust);
        mesh.db.reauthorise();
        echo(&mut client, &mut server);
        mesh.web.prove_identity();
        assert!(client.read(&mut [0]).is_err());
        eventually("the close is counted", || {
            mesh.db.snapshot().connections_closed["revoked"] == 1
        });
    });
}

#[test]
fn a_flood_of_renewals_is_cut_off() {
    in_namespace(|| {
        closed_with("overloaded", |mesh| {
            // Each waits for the answer to the one before.
            eventually("the server has had enough", || {
                mesh.authority.renew(&mesh.web_tls, "web");
                mesh.web.prove_identity();
                mesh.db.snapshot().counters.reauthentications_refused == 1
            });
        });
    });
}

#[test]
fn a_renewal_during_the_handshake_is_made_good_for() {
    in_namespace(|| {
        let (mesh, db_tls) = mesh([LONG, LONG]);
        let listener = application();
        let first = mesh.dial();
        // Whatever the handshake showed, in the end each side knows the newest.
        for _ in 0..3 {
            mesh.authority.renew(&mesh.web_tls, "web");
            mesh.authority.renew(&db_tls, "db");
            mesh.web.prove_identity();
            mesh.db.prove_identity();
        }
        let _server = accept(&listener);
        for engine in [&mesh.web, &mesh.db] {
            eventually("the newest certificate is known", || {
                let connections = engine.connections();
                let long = Duration::from_secs(1000).as_secs();
                let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
                connections
                    .iter()
                    .all(|c| c.peer_expires > Some(now + long))
            });
        }
        drop(first);
    });
}
