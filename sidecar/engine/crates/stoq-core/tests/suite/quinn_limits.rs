//! What quinn-proto does and does not do where cryptography is concerned. Our
//! design rests on each of these; an upgrade that changes one fails here.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use quinn_proto::{ConnectionError, SendDatagramError, VarInt};
use stoq_core::authorise::Expect;
use stoq_core::tls::ServerRole;

use crate::mesh::{Mesh, id};
use crate::pair::{Pair, SERVER};
use crate::wrapped::{Meter, RESERVE, WrappedClient, WrappedServer};

fn dial() -> Pair {
    let mesh = Mesh::new();
    let (web, db) = (mesh.workload("web"), mesh.workload("db"));
    Pair::dial(&web.tls, &db.tls, ServerRole::Mesh, Expect::Id(id("db")))
}

/// A connected pair whose 1-RTT keys are wrapped on both sides.
fn wrapped() -> (Pair, Arc<Meter>, Arc<Meter>) {
    let mesh = Mesh::new();
    let (web, db) = (mesh.workload("web"), mesh.workload("db"));
    let (of_client, of_server) = (Arc::new(Meter::default()), Arc::new(Meter::default()));
    let client = web
        .tls
        .client_config(Expect::Id(id("db")), SERVER.parse().unwrap());
    let server = db.tls.server_config(ServerRole::Mesh);
    let mut pair = Pair::with(
        &web.tls,
        Arc::new(WrappedClient(client, of_client.clone())),
        &db.tls,
        Arc::new(WrappedServer(server, of_server.clone())),
    );
    pair.settle();
    assert!(pair.client.is_connected() && pair.server.is_connected());
    (pair, of_client, of_server)
}

#[test]
fn a_larger_tag_reserves_room_in_every_1rtt_packet_across_key_updates() {
    let (mut pair, client, server) = wrapped();
    let message: &'static [u8] = &[7; 5000];
    assert_eq!(pair.send(message), message);
    let sets = client.key_sets.load(Ordering::Relaxed);
    pair.client.connection().force_key_update();
    assert_eq!(pair.send(message), message);
    assert!(client.key_sets.load(Ordering::Relaxed) > sets);
    let sealed = client.sealed.load(Ordering::Relaxed);
    assert_eq!(sealed, server.opened.load(Ordering::Relaxed));
    assert!(sealed > 8);
    let largest = pair.client.sent.iter().max();
    assert_eq!(largest, Some(&1452), "the reserve counts into the MTU");
    const { assert!(RESERVE > 0) };
}

#[test]
fn a_packet_key_that_refuses_makes_the_packet_vanish_without_a_word() {
    let (mut pair, _, server) = wrapped();
    server.refuse.store(true, Ordering::Relaxed);
    pair.client.connection().ping();
    pair.pass(Duration::from_millis(200));
    assert!(
        server.opened.load(Ordering::Relaxed) > 1,
        "it was sent again"
    );
    assert!(pair.client.lost().is_none() && pair.server.lost().is_none());
    server.refuse.store(false, Ordering::Relaxed);
    assert_eq!(pair.send(b"hello"), b"hello");
}

#[test]
fn a_packet_key_opens_a_duplicate_before_it_is_recognised_as_one() {
    let (mut pair, _, server) = wrapped();
    pair.client.connection().ping();
    pair.client.record = true;
    pair.client_speaks();
    let before = server.opened.load(Ordering::Relaxed);
    pair.replay();
    assert_eq!(server.opened.load(Ordering::Relaxed), before + 1);
    pair.settle();
    assert!(pair.server.lost().is_none());
}

#[test]
fn closing_sends_an_application_code() {
    let mut pair = dial();
    pair.settle();
    let now = pair.now;
    let code = VarInt::from_u32(2);
    pair.client
        .connection()
        .close(now, code, Bytes::from_static(b"revoked"));
    pair.settle();
    match pair.server.lost() {
        Some(ConnectionError::ApplicationClosed(close)) => {
            assert_eq!(close.error_code, code);
            assert_eq!(close.reason, &b"revoked"[..]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_datagram_is_taken_before_the_connection_is_up() {
    let mut pair = dial();
    let early = Bytes::from_static(b"early");
    let sent = pair.client.connection().datagrams().send(early, false);
    assert_eq!(sent, Err(SendDatagramError::UnsupportedByPeer));
    pair.settle();
    let late = Bytes::from_static(b"late");
    assert!(
        pair.client
            .connection()
            .datagrams()
            .send(late, false)
            .is_ok()
    );
}

#[test]
fn the_server_signs_while_it_takes_a_datagram_in_not_while_it_transmits() {
    let mut pair = dial();
    pair.client_speaks();
    // Nothing was asked of the server but to take datagrams in.
    assert!(pair.server.sent.is_empty());
    let evidence = pair.server.evidence();
    assert_eq!(evidence.key_exchange, "X25519MLKEM768");
}

#[test]
fn no_application_data_is_read_before_the_gate_has_decided() {
    let mut pair = dial();
    pair.client_speaks();
    pair.server_speaks();
    let streams = &mut pair.server.connection().streams();
    assert!(streams.accept(quinn_proto::Dir::Uni).is_none());
    assert!(!pair.server.is_connected());
    assert_eq!(pair.server.evidence().peer, None);
}
