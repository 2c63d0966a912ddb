//! Crypto profiles that policies prefer and require, in whole handshakes.

use std::sync::Arc;

use rand_core::OsRng;
use rustls::AlertDescription as Alert;
use stoq_core::authorise::{Expect, Required};
use stoq_core::key::HybridKey;
use stoq_core::profile::{CryptoProfile, ProfileError};
use stoq_core::tls::{IdentityError, ServerRole, TlsContext, TlsSettings};
use stoq_wire::code::ConnectionCode;

use crate::mesh::{Mesh, Workload, id, today};
use crate::pair::Pair;

use CryptoProfile::{Classical, Hybrid512, Hybrid1024};

/// CRYPTO_ERROR with insufficient_security.
const REFUSED: u64 = 0x100 + 71;

fn workload(mesh: &Mesh, account: &str, profile: CryptoProfile) -> Workload {
    let settings = TlsSettings {
        profile,
        accept_other_degree: true,
        ..TlsSettings::default()
    };
    mesh.workload_with(account, today(), settings)
}

fn dial(client: &TlsContext, server: &TlsContext) -> Pair {
    let mut pair = Pair::dial(client, server, ServerRole::Mesh, Expect::Id(id("db")));
    pair.settle();
    pair
}

fn everyone(profile: CryptoProfile) -> Required {
    Required {
        everyone: Some(profile.name().into()),
        ..Required::default()
    }
}

fn of_db(profile: CryptoProfile) -> Required {
    Required {
        dialled: [(id("db"), Arc::from(profile.name()))].into(),
        ..Required::default()
    }
}

fn move_to(mesh: &Mesh, workload: &Workload, profile: CryptoProfile) {
    workload.tls.set_profile(profile).unwrap();
    let key = HybridKey::generate(profile, &mut OsRng);
    let (leaf, _) = mesh.leaf(&key, &workload.id, today());
    workload.tls.set_identity(key, leaf).unwrap();
}

#[test]
fn the_alert_is_the_one_that_wire_format_names() {
    assert_eq!(u8::from(Alert::InsufficientSecurity), 71);
    assert_eq!(ConnectionCode::CryptoProfile.as_u64(), 0x0a);
}

#[test]
fn a_server_that_requires_a_profile_takes_nothing_of_a_client_with_another() {
    let mesh = Mesh::new();
    let (web, db) = (
        workload(&mesh, "web", Hybrid512),
        workload(&mesh, "db", Hybrid1024),
    );
    assert!(dial(&web.tls, &db.tls).server.is_connected());
    db.tls.set_required(everyone(Hybrid1024));
    let mut pair = dial(&web.tls, &db.tls);
    assert!(!pair.server.is_connected());
    let (code, reason) = pair.server.refusal();
    assert_eq!(code, REFUSED);
    assert!(reason.contains("sa/web proves itself"), "{reason}");
    assert!(reason.contains("hybrid-512"), "{reason}");
    assert_eq!(pair.client.refused_by_peer(), (REFUSED, reason));
    move_to(&mesh, &web, Hybrid1024);
    pair = dial(&web.tls, &db.tls);
    assert!(pair.server.is_connected());
    assert_eq!(pair.send(b"conforming"), b"conforming");
}

#[test]
fn a_client_that_requires_a_profile_leaves_a_server_with_another() {
    let mesh = Mesh::new();
    let (web, db) = (
        workload(&mesh, "web", Hybrid512),
        workload(&mesh, "db", Hybrid1024),
    );
    web.tls.set_required(everyone(Hybrid512));
    let pair = dial(&web.tls, &db.tls);
    assert!(!pair.client.is_connected() && !pair.server.is_connected());
    let (code, reason) = pair.client.refusal();
    assert_eq!(code, REFUSED);
    assert!(reason.contains("sa/db proves itself"), "{reason}");
}

#[test]
fn who_dials_holds_both_ends_to_what_the_destination_requires() {
    let mesh = Mesh::new();
    let (web, db) = (
        workload(&mesh, "web", Hybrid1024),
        workload(&mesh, "db", Hybrid1024),
    );
    web.tls.set_required(of_db(Hybrid512));
    let (_, reason) = dial(&web.tls, &db.tls).client.refusal();
    assert!(reason.contains("sa/db proves itself"), "{reason}");
    move_to(&mesh, &db, Hybrid512);
    let pair = dial(&web.tls, &db.tls);
    assert!(!pair.client.is_connected());
    let (code, reason) = pair.client.refusal();
    assert_eq!(code, REFUSED);
    assert!(reason.contains("sa/db requires"), "{reason}");
    assert!(reason.contains("itself with hybrid-1024"), "{reason}");
    move_to(&mesh, &web, Hybrid512);
    assert!(dial(&web.tls, &db.tls).server.is_connected());
}

#[test]
fn a_resumed_session_is_held_to_the_profile_too() {
    let mesh = Mesh::new();
    let (web, db) = (
        workload(&mesh, "web", Hybrid512),
        workload(&mesh, "db", Hybrid1024),
    );
    dial(&web.tls, &db.tls);
    assert!(dial(&web.tls, &db.tls).server.evidence().resumed);
    db.tls.set_required(everyone(Hybrid1024));
    assert_eq!(dial(&web.tls, &db.tls).server.refusal().0, REFUSED);
}

#[test]
fn a_live_peer_is_refused_once_a_profile_is_required() {
    let mesh = Mesh::new();
    let (web, db) = (
        workload(&mesh, "web", Hybrid512),
        workload(&mesh, "db", Hybrid1024),
    );
    let peer = dial(&web.tls, &db.tls).server.evidence().peer.unwrap();
    let expect = ServerRole::Mesh.expect();
    assert_eq!(db.tls.reauthorise(&peer, &expect), Ok(()));
    db.tls.set_required(everyone(Hybrid1024));
    let refusal = db.tls.reauthorise(&peer, &expect).unwrap_err();
    assert_eq!(refusal.connection_code(), ConnectionCode::CryptoProfile);
    db.tls.set_required(Required {
        except: Some(id("web")),
        ..everyone(Hybrid1024)
    });
    assert_eq!(db.tls.reauthorise(&peer, &expect), Ok(()));
}

#[test]
fn a_fallback_is_a_peer_of_another_profile_whom_policies_bind() {
    let mesh = Mesh::new();
    let (web, db) = (
        workload(&mesh, "web", Hybrid512),
        workload(&mesh, "db", Hybrid1024),
    );
    let evidence = dial(&web.tls, &db.tls).client.evidence();
    assert_eq!(evidence.local_profile, Hybrid512);
    assert_eq!(evidence.local_signature, "Ed25519+FALCON-512");
    assert!(web.tls.fell_back(&evidence));
    web.tls.set_required(Required {
        except: Some(id("db")),
        ..Required::default()
    });
    assert!(!web.tls.fell_back(&evidence));
    move_to(&mesh, &db, Hybrid512);
    let evidence = dial(&web.tls, &db.tls).client.evidence();
    assert!(!web.tls.fell_back(&evidence));
    assert_eq!(evidence.profile, Hybrid512);
}

#[test]
fn an_identity_is_of_the_profile_that_was_last_asked_for() {
    let mesh = Mesh::new();
    let web = workload(&mesh, "web", Hybrid1024);
    let late = HybridKey::generate(Hybrid1024, &mut OsRng);
    let (leaf, _) = mesh.leaf(&late, &web.id, today());
    web.tls.set_profile(Hybrid512).unwrap();
    assert_eq!(web.tls.profile(), Hybrid512);
    assert_eq!(web.tls.shown_profile(), Some(Hybrid1024));
    let error = web.tls.set_identity(late, leaf).unwrap_err();
    assert!(matches!(error, IdentityError::Degree { .. }), "{error}");
    move_to(&mesh, &web, Hybrid512);
    assert_eq!(web.tls.shown_profile(), Some(Hybrid512));
}

#[test]
fn no_policy_leads_below_a_hybrid_profile() {
    let mesh = Mesh::new();
    let web = workload(&mesh, "web", Hybrid1024);
    assert_eq!(
        web.tls.set_profile(Classical),
        Err(ProfileError::ClassicalRefused)
    );
    web.tls.set_required(everyone(Classical));
    let db = workload(&mesh, "db", Hybrid1024);
    assert_eq!(dial(&web.tls, &db.tls).client.refusal().0, REFUSED);
    let interop = workload(&mesh, "interop", Classical);
    assert_eq!(
        interop.tls.set_profile(Hybrid1024),
        Err(ProfileError::Interop)
    );
    assert_eq!(interop.tls.profile(), Classical);
}
