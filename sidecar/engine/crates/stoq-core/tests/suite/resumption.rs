//! Resumed handshakes, and that they open no way around the gate.

use rustls::AlertDescription as Alert;
use stoq_core::authorise::Expect;
use stoq_core::cert::Validity;
use stoq_core::tls::{ServerRole, TicketKey, TlsContext, TlsSettings};

use crate::mesh::{DAY, Mesh, START, Workload, id, today};
use crate::pair::Pair;

fn dial(client: &TlsContext, server: &TlsContext) -> Pair {
    Pair::dial(client, server, ServerRole::Mesh, Expect::Id(id("db")))
}

fn connect(client: &TlsContext, server: &TlsContext) -> Pair {
    let mut pair = dial(client, server);
    pair.settle();
    assert!(pair.client.is_connected() && pair.server.is_connected());
    pair
}

/// A client and a server whose session can be resumed.
fn acquainted() -> (Mesh, Workload, Workload) {
    let mesh = Mesh::new();
    let (web, db) = (mesh.workload("web"), mesh.workload("db"));
    let mut first = connect(&web.tls, &db.tls);
    assert!(!first.client.evidence().resumed);
    assert_eq!(web.tls.ticket_counts(), (1, 0));
    assert_eq!(db.tls.ticket_counts(), (0, 1));
    (mesh, web, db)
}

#[test]
fn a_second_connection_resumes_with_a_fresh_key_exchange() {
    let (_mesh, web, db) = acquainted();
    let mut pair = connect(&web.tls, &db.tls);
    for (evidence, peer) in [
        (pair.client.evidence(), id("db")),
        (pair.server.evidence(), id("web")),
    ] {
        assert!(evidence.resumed);
        assert_eq!(evidence.key_exchange, "X25519MLKEM768");
        assert_eq!(evidence.peer_signature, "Ed25519+FALCON-1024");
        assert_eq!(evidence.peer.unwrap().spiffe, peer);
        assert!(evidence.stoq.is_some());
    }
    let flight: usize = pair.server.sent.iter().sum();
    assert!(flight < 3 * 1452, "no certificate was sent: {flight}");
    assert_eq!(pair.send(b"hello"), b"hello");
    // The ticket was used up, and the connection brought the next.
    assert_eq!(web.tls.ticket_counts(), (1, 0));
    assert_eq!(db.tls.ticket_counts(), (0, 1));
}

#[test]
fn a_session_is_resumed_towards_the_same_id_and_address_only() {
    let (_mesh, web, db) = acquainted();
    let mut other_expectation = Pair::dial(&web.tls, &db.tls, ServerRole::Mesh, Expect::AnyInMesh);
    other_expectation.settle();
    assert!(!other_expectation.client.evidence().resumed);
    let elsewhere = "[fd00::3]:14008".parse().unwrap();
    let mut other_address = Pair::with(
        &web.tls,
        web.tls.client_config(Expect::Id(id("db")), elsewhere),
        &db.tls,
        db.tls.server_config(ServerRole::Mesh),
    );
    other_address.settle();
    assert!(!other_address.client.evidence().resumed);
}

#[test]
fn a_server_that_forgot_falls_back_to_a_full_handshake() {
    let (mesh, web, _) = acquainted();
    let successor = mesh.workload("db");
    let mut pair = connect(&web.tls, &successor.tls);
    assert!(!pair.client.evidence().resumed);
}

#[test]
fn new_trust_and_new_identities_flush_all_tickets() {
    type Change = fn(&Mesh, &Workload);
    let changes: [Change; 3] = [
        |mesh, workload| workload.tls.set_trust(mesh.trust()),
        |_, workload| workload.tls.clear_identity(),
        |mesh, workload| {
            let key = stoq_core::key::HybridKey::generate(
                stoq_core::profile::CryptoProfile::Hybrid1024,
                &mut rand_core::OsRng,
            );
            let (leaf, _) = mesh.leaf(&key, &workload.id, today());
            workload.tls.set_identity(key, leaf).unwrap();
        },
    ];
    for change in changes {
        let (mesh, web, db) = acquainted();
        change(&mesh, &web);
        change(&mesh, &db);
        assert_eq!(web.tls.ticket_counts(), (0, 0));
        assert_eq!(db.tls.ticket_counts(), (0, 0));
    }
}

#[test]
fn a_ticket_that_arrives_after_the_flush_is_not_kept() {
    let mesh = Mesh::new();
    let (web, db) = (mesh.workload("web"), mesh.workload("db"));
    let mut pair = dial(&web.tls, &db.tls);
    pair.client_speaks();
    pair.server_speaks();
    pair.client_speaks();
    assert!(pair.client.is_connected());
    web.tls.set_trust(mesh.trust());
    pair.settle();
    assert_eq!(web.tls.ticket_counts(), (0, 0));
}

#[test]
fn an_expired_client_is_refused_by_resumption_too() {
    let mesh = Mesh::new();
    let short = Validity {
        not_before: START,
        not_after: START + 100,
    };
    let web = mesh.workload_with("web", short, TlsSettings::default());
    let db = mesh.workload("db");
    connect(&web.tls, &db.tls);
    let mut pair = dial(&web.tls, &db.tls);
    pair.client_speaks(); // with the ticket, while it still counts
    mesh.clock.advance(101);
    pair.settle();
    assert!(pair.server.evidence().resumed, "the ticket was accepted");
    let (code, reason) = pair.server.refusal();
    assert_eq!(code, 0x100 + u64::from(u8::from(Alert::CertificateExpired)));
    assert!(reason.contains("sa/web expired"), "{reason}");
    assert!(!pair.server.is_connected());
    assert_eq!(pair.client.refused_by_peer().0, code);
}

#[test]
fn an_expired_server_is_refused_by_resumption_too() {
    let mesh = Mesh::new();
    let short = Validity {
        not_before: START,
        not_after: START + 100,
    };
    let web = mesh.workload("web");
    let db = mesh.workload_with("db", short, TlsSettings::default());
    connect(&web.tls, &db.tls);
    let mut pair = dial(&web.tls, &db.tls);
    pair.client_speaks(); // with the ticket, while it still counts
    mesh.clock.advance(101);
    pair.settle();
    assert!(pair.client.evidence().resumed);
    let (_, reason) = pair.client.refusal();
    assert!(reason.contains("sa/db expired"), "{reason}");
    assert!(!pair.client.is_connected());
}

#[test]
fn a_ticket_is_not_offered_once_its_servers_certificate_is_over() {
    let mesh = Mesh::new();
    let short = Validity {
        not_before: START,
        not_after: START + 100,
    };
    let web = mesh.workload("web");
    let db = mesh.workload_with("db", short, TlsSettings::default());
    connect(&web.tls, &db.tls);
    mesh.clock.advance(101);
    let mut pair = dial(&web.tls, &db.tls);
    pair.settle();
    let (_, reason) = pair.client.refusal();
    assert!(reason.contains("sa/db expired"), "{reason}");
    assert!(!pair.client.evidence().resumed);
}

#[test]
fn a_client_revoked_while_it_resumes_is_refused() {
    let (mesh, web, db) = acquainted();
    let mut pair = dial(&web.tls, &db.tls);
    pair.client_speaks();
    pair.server_speaks();
    let mut trust = mesh.trust();
    trust.revoke(&web.serial);
    db.tls.set_trust(trust);
    pair.settle();
    assert!(pair.server.evidence().resumed);
    let (code, _) = pair.server.refusal();
    assert_eq!(code, 0x100 + u64::from(u8::from(Alert::CertificateRevoked)));
    assert!(!pair.server.is_connected());
}

#[test]
fn a_server_revoked_while_it_resumes_is_refused() {
    let (mesh, web, db) = acquainted();
    let mut pair = dial(&web.tls, &db.tls);
    pair.client_speaks();
    let mut trust = mesh.trust();
    trust.revoke(&db.serial);
    web.tls.set_trust(trust);
    pair.settle();
    assert!(pair.client.evidence().resumed);
    let (code, _) = pair.client.refusal();
    assert_eq!(code, 0x100 + u64::from(u8::from(Alert::CertificateRevoked)));
    assert!(!pair.client.is_connected() && !pair.server.is_connected());
}

#[test]
fn a_client_revoked_between_connections_cannot_use_its_ticket() {
    let (mesh, web, db) = acquainted();
    let mut trust = mesh.trust();
    trust.revoke(&web.serial);
    db.tls.set_trust(trust);
    let mut pair = dial(&web.tls, &db.tls);
    pair.settle();
    let (code, _) = pair.server.refusal();
    assert_eq!(code, 0x100 + u64::from(u8::from(Alert::CertificateRevoked)));
}

fn keys(byte: u8) -> [TicketKey; 1] {
    [TicketKey {
        since: START,
        secret: [byte; 32].into(),
    }]
}

fn bootstrap(client: &TlsContext, replica: &TlsContext) -> Pair {
    let expect = Expect::Id(id("operator"));
    let mut pair = Pair::dial(client, replica, ServerRole::Bootstrap, expect);
    pair.settle();
    pair
}

/// Two replicas of a control plane, each with a key and a certificate of its own.
fn replicas() -> (Mesh, Workload, [Workload; 2]) {
    let mesh = Mesh::new();
    let replicas = [mesh.workload("operator"), mesh.workload("operator")];
    for replica in &replicas {
        replica.tls.set_ticket_keys(&keys(7));
    }
    let web = mesh.workload("web");
    (mesh, web, replicas)
}

#[test]
fn what_one_replica_began_another_with_the_same_keys_resumes() {
    let (_mesh, web, [one, other]) = replicas();
    let mut first = bootstrap(&web.tls, &one.tls);
    assert!(first.client.is_connected() && !first.client.evidence().resumed);
    assert_eq!(web.tls.ticket_counts(), (2, 0));
    for replica in [&other, &one, &other] {
        let mut pair = bootstrap(&web.tls, &replica.tls);
        assert!(pair.client.is_connected() && pair.server.is_connected());
        let (client, server) = (pair.client.evidence(), pair.server.evidence());
        assert!(client.resumed && server.resumed);
        assert_eq!(client.key_exchange, "X25519MLKEM768");
        assert_eq!(client.peer.unwrap().spiffe, id("operator"));
        assert_eq!(server.peer.unwrap().spiffe, id("web"));
        assert_eq!(pair.send(b"hello"), b"hello");
    }
    assert_eq!(one.tls.ticket_counts(), (0, 0), "no replica remembers any");
}

/// A dial that reaches nobody.
fn unheard(client: &TlsContext, replica: &TlsContext) {
    let expect = Expect::Id(id("operator"));
    drop(Pair::dial(client, replica, ServerRole::Bootstrap, expect));
}

#[test]
fn who_reached_nobody_resumes_at_the_next_dial() {
    let (_mesh, web, [one, other]) = replicas();
    bootstrap(&web.tls, &one.tls);
    for replica in [&other, &one] {
        unheard(&web.tls, &one.tls);
        let mut pair = bootstrap(&web.tls, &replica.tls);
        assert!(pair.client.is_connected() && pair.client.evidence().resumed);
        assert_eq!(pair.send(b"hello"), b"hello");
    }
}

#[test]
fn no_ticket_is_offered_twice() {
    let (_mesh, web, [one, _]) = replicas();
    bootstrap(&web.tls, &one.tls);
    for left in [1, 0, 0] {
        unheard(&web.tls, &one.tls);
        assert_eq!(web.tls.ticket_counts(), (left, 0));
    }
    let mut pair = bootstrap(&web.tls, &one.tls);
    assert!(pair.client.is_connected() && !pair.client.evidence().resumed);
}

#[test]
fn the_tickets_of_a_connection_replace_those_of_the_one_before() {
    let (_mesh, web, [one, other]) = replicas();
    bootstrap(&web.tls, &one.tls);
    other.tls.set_ticket_keys(&keys(8));
    bootstrap(&web.tls, &other.tls);
    // By its second ticket the second of these resumes.
    for _ in 0..2 {
        let expect = Expect::Id(id("operator"));
        let mut pair = Pair::dial(&web.tls, &other.tls, ServerRole::Bootstrap, expect);
        pair.client_speaks();
        pair.server_speaks();
        assert!(
            pair.server.evidence().resumed,
            "offered: a ticket of the replica before"
        );
    }
}

#[test]
fn a_replica_with_other_keys_shakes_hands_in_full() {
    let (_mesh, web, [one, other]) = replicas();
    bootstrap(&web.tls, &one.tls);
    other.tls.set_ticket_keys(&keys(8));
    let mut pair = bootstrap(&web.tls, &other.tls);
    assert!(pair.client.is_connected() && !pair.client.evidence().resumed);
}

#[test]
fn a_newcomer_without_a_certificate_has_nothing_to_resume() {
    let (mesh, _, [one, other]) = replicas();
    let newcomer = mesh.newcomer();
    for replica in [&one, &other] {
        let mut pair = bootstrap(&newcomer, &replica.tls);
        assert!(pair.client.is_connected() && !pair.client.evidence().resumed);
        assert_eq!(newcomer.ticket_counts(), (0, 0));
    }
}

#[test]
fn who_was_revoked_meanwhile_is_refused_by_every_replica() {
    let (mesh, web, [one, other]) = replicas();
    bootstrap(&web.tls, &one.tls);
    let mut trust = mesh.trust();
    trust.revoke(&web.serial);
    other.tls.set_trust(trust);
    let pair = bootstrap(&web.tls, &other.tls);
    let (code, _) = pair.server.refusal();
    assert_eq!(code, 0x100 + u64::from(u8::from(Alert::CertificateRevoked)));
}

#[test]
fn a_client_whose_certificate_is_over_asks_for_another_and_resumes_nothing() {
    let mesh = Mesh::new();
    let operator = mesh.workload_with(
        "operator",
        Validity {
            not_after: START + 3 * DAY,
            ..today()
        },
        TlsSettings::default(),
    );
    operator.tls.set_ticket_keys(&keys(7));
    let web = mesh.workload("web");
    bootstrap(&web.tls, &operator.tls);
    assert_eq!(web.tls.ticket_counts(), (2, 0));
    mesh.clock.advance(DAY + 1);
    let mut pair = bootstrap(&web.tls, &operator.tls);
    assert!(pair.client.is_connected() && !pair.client.evidence().resumed);
    assert_eq!(pair.server.evidence().peer, None);
}

#[test]
fn without_shared_keys_the_bootstrap_listener_gives_no_tickets() {
    let mesh = Mesh::new();
    let (web, db) = (mesh.workload("web"), mesh.workload("db"));
    for client in [&web.tls, &mesh.newcomer()] {
        let expect = Expect::Id(id("db"));
        let mut pair = Pair::dial(client, &db.tls, ServerRole::Bootstrap, expect);
        pair.settle();
        assert!(pair.server.is_connected());
        assert_eq!(client.ticket_counts(), (0, 0));
    }
    assert_eq!(db.tls.ticket_counts(), (0, 0));
}

#[test]
fn without_tickets_every_handshake_is_full() {
    let mesh = Mesh::new();
    let settings = TlsSettings {
        tickets: false,
        ..TlsSettings::default()
    };
    let web = mesh.workload_with("web", today(), settings);
    let db = mesh.workload("db");
    connect(&web.tls, &db.tls);
    assert!(!connect(&web.tls, &db.tls).client.evidence().resumed);
}

#[test]
fn the_stores_are_bounded() {
    let mesh = Mesh::new();
    let settings = TlsSettings {
        max_tickets: 3,
        ..TlsSettings::default()
    };
    let web = mesh.workload_with("web", today(), settings.clone());
    let db = mesh.workload_with("db", today(), settings);
    for host in 1..=5 {
        let address = format!("[fd00::{host}]:14008").parse().unwrap();
        let mut pair = Pair::with(
            &web.tls,
            web.tls.client_config(Expect::Id(id("db")), address),
            &db.tls,
            db.tls.server_config(ServerRole::Mesh),
        );
        pair.settle();
        assert!(pair.client.is_connected());
    }
    assert_eq!(web.tls.ticket_counts(), (3, 0));
    assert_eq!(db.tls.ticket_counts(), (0, 3));
}

#[test]
fn a_day_later_the_session_is_forgotten() {
    let mesh = Mesh::new();
    let week = Validity {
        not_before: START,
        not_after: START + 7 * DAY,
    };
    let web = mesh.workload_with("web", week, TlsSettings::default());
    let db = mesh.workload_with("db", week, TlsSettings::default());
    connect(&web.tls, &db.tls);
    mesh.clock.advance(DAY + 1);
    assert!(!connect(&web.tls, &db.tls).client.evidence().resumed);
}
