//! Crypto profiles that policies prefer and require, between whole engines.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use stoq_core::authorise::Required;
use stoq_core::profile::CryptoProfile::{self, Hybrid512, Hybrid1024};
use stoq_core::tls::TlsContext;

use crate::mesh::{Authority, Mesh, accept, application, eventually, id};
use crate::net::in_namespace;

/// A mesh, and the server's context.
fn mesh() -> (Mesh, Arc<TlsContext>) {
    let authority = Authority::new();
    let db_tls = authority.workload("db");
    let mesh = Mesh::of(authority, Arc::clone(&db_tls), json!({}), json!({}));
    (mesh, db_tls)
}

/// What a renewal under another policy does.
fn move_to(mesh: &Mesh, tls: &TlsContext, account: &str, profile: CryptoProfile) {
    tls.set_profile(profile).unwrap();
    mesh.authority.renew(tls, account);
}

fn everyone(profile: CryptoProfile) -> Required {
    Required {
        everyone: Some(profile.name().into()),
        ..Required::default()
    }
}

fn echoes(mesh: &Mesh, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let (mut client, mut server) = (mesh.dial(), accept(listener));
    echo(&mut client, &mut server);
    (client, server)
}

fn echo(client: &mut TcpStream, server: &mut TcpStream) {
    client.write_all(b"x").unwrap();
    server.read_exact(&mut [0]).unwrap();
    server.write_all(b"y").unwrap();
    client.read_exact(&mut [0]).unwrap();
}

/// Whether a dial ends before the application has heard of it.
fn is_refused(mesh: &Mesh, listener: &TcpListener) -> bool {
    let mut client = mesh.dial();
    let _ = client.write_all(b"never heard");
    let ended = !matches!(client.read(&mut [0]), Ok(1));
    listener.set_nonblocking(true).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let unheard = listener.accept().is_err();
    listener.set_nonblocking(false).unwrap();
    ended && unheard
}

#[test]
fn where_a_profile_is_preferred_another_is_taken_and_counted() {
    in_namespace(|| {
        let (mesh, db_tls) = mesh();
        move_to(&mesh, &db_tls, "db", Hybrid512);
        let listener = application();
        let _flow = echoes(&mesh, &listener);
        let [connection] = mesh.web.connections().try_into().unwrap();
        assert_eq!(connection.profile, Some("hybrid-512"));
        assert_eq!(connection.signature, Some("Ed25519+FALCON-512"));
        assert_eq!(connection.local_signature, Some("Ed25519+FALCON-1024"));
        for engine in [&mesh.web, &mesh.db] {
            let counters = engine.snapshot().counters;
            assert_eq!(counters.crypto_fallbacks, 1);
            assert_eq!(counters.crypto_refused, 0);
        }
    });
}

#[test]
fn a_destination_that_requires_a_profile_refuses_another_and_both_ends_count_why() {
    in_namespace(|| {
        let (mesh, db_tls) = mesh();
        move_to(&mesh, &mesh.web_tls, "web", Hybrid512);
        db_tls.set_required(everyone(Hybrid1024));
        let listener = application();
        assert!(is_refused(&mesh, &listener));
        for engine in [&mesh.web, &mesh.db] {
            eventually("the refusal is counted", || {
                engine.snapshot().counters.crypto_refused >= 1
            });
        }
        eventually("the flow failed for that", || {
            let flows = mesh.web.snapshot().flows;
            let mut failed = flows.iter().flat_map(|flow| flow.failed.iter());
            failed.any(|(flag, count)| *flag == "CRYPTO_PROFILE" && *count > 0)
        });
        move_to(&mesh, &mesh.web_tls, "web", Hybrid1024);
        echoes(&mesh, &listener);
    });
}

#[test]
fn who_dials_obeys_what_the_registry_says_of_the_destination() {
    in_namespace(|| {
        let (mesh, db_tls) = mesh();
        mesh.web_tls.set_required(Required {
            dialled: [(id("db"), Arc::from("hybrid-512"))].into(),
            ..Required::default()
        });
        let listener = application();
        assert!(is_refused(&mesh, &listener));
        assert!(mesh.web.snapshot().counters.crypto_refused >= 1);
        move_to(&mesh, &db_tls, "db", Hybrid512);
        assert!(is_refused(&mesh, &listener), "our own is of another");
        move_to(&mesh, &mesh.web_tls, "web", Hybrid512);
        echoes(&mesh, &listener);
    });
}

#[test]
fn a_requirement_closes_connections_that_run_and_do_not_conform() {
    in_namespace(|| {
        let (mesh, db_tls) = mesh();
        let listener = application();
        let (mut client, mut server) = echoes(&mesh, &listener);
        db_tls.set_required(everyone(Hybrid1024));
        mesh.db.reauthorise();
        echo(&mut client, &mut server);
        db_tls.set_required(everyone(Hybrid512));
        mesh.db.reauthorise();
        assert!(client.read(&mut [0]).is_err());
        for engine in [&mesh.web, &mesh.db] {
            eventually("the close is counted", || {
                engine.snapshot().connections_closed["crypto_profile"] == 1
                    && engine.snapshot().counters.crypto_refused == 1
            });
        }
    });
}

#[test]
fn a_mesh_moves_to_another_profile_and_no_connection_is_lost() {
    in_namespace(|| {
        let (mesh, db_tls) = mesh();
        let listener = application();
        let (mut client, mut server) = echoes(&mesh, &listener);
        let ends = [(&mesh.web, &mesh.web_tls, "web"), (&mesh.db, &db_tls, "db")];
        for (engine, tls, account) in ends {
            move_to(&mesh, tls, account, Hybrid512);
            engine.prove_identity();
        }
        for (engine, _, _) in ends {
            eventually("both ends have proven the new profile", || {
                let [connection] = engine.connections().try_into().unwrap();
                let both = Some("Ed25519+FALCON-512");
                (connection.signature, connection.local_signature) == (both, both)
            });
        }
        for (engine, tls, _) in ends {
            tls.set_required(everyone(Hybrid512));
            engine.reauthorise();
        }
        echo(&mut client, &mut server);
        assert_eq!(mesh.db.snapshot().counters.handshakes_completed, 1);
        assert_eq!(mesh.db.snapshot().counters.crypto_refused, 0);
    });
}
