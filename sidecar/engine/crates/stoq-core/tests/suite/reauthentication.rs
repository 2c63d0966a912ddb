//! A renewed certificate on a connection that goes on.

use quinn_proto::Side;
use rand_core::OsRng;
use stoq_core::authorise::Expect;
use stoq_core::cert::Validity;
use stoq_core::key::HybridKey;
use stoq_core::profile::CryptoProfile;
use stoq_core::session::Evidence;
use stoq_core::tls::{
    Binding, ReauthenticationError, ServerRole, TlsContext, TlsSettings, scheme_name,
};
use stoq_wire::code::ConnectionCode;
use stoq_wire::control::{EXPORTER_LABEL, Reauthentication};

use crate::mesh::{DAY, Mesh, START, Workload, id};
use crate::pair::{End, Pair};

const HALF: u64 = DAY / 2;

/// Two workloads and a connection between them.
struct Case {
    mesh: Mesh,
    web: Workload,
    db: Workload,
    pair: Pair,
}

fn connect(web: &TlsContext, db: &TlsContext) -> Pair {
    let mut pair = Pair::dial(web, db, ServerRole::Mesh, Expect::Id(id("db")));
    pair.settle();
    pair
}

fn case() -> Case {
    let mesh = Mesh::new();
    let (web, db) = (mesh.workload("web"), mesh.workload("db"));
    let pair = connect(&web.tls, &db.tls);
    Case {
        mesh,
        web,
        db,
        pair,
    }
}

/// A certificate that begins now and ends a day later.
fn renewed(mesh: &Mesh, account: &str, after: u64) -> (HybridKey, Vec<u8>, Vec<u8>) {
    let key = HybridKey::generate(CryptoProfile::Hybrid1024, &mut OsRng);
    let validity = Validity {
        not_before: START + after,
        not_after: START + after + DAY,
    };
    let (leaf, serial) = mesh.leaf(&key, &id(account), validity);
    (key, leaf, serial)
}

fn exporter(end: &mut End) -> [u8; 32] {
    let mut value = [0; 32];
    end.connection()
        .crypto_session()
        .export_keying_material(&mut value, EXPORTER_LABEL, b"")
        .unwrap();
    value
}

impl Case {
    /// Half a life later web has a new certificate.
    fn renew(&mut self) -> Vec<u8> {
        self.mesh.clock.advance(HALF);
        let (key, leaf, serial) = renewed(&self.mesh, "web", HALF);
        self.web.tls.set_identity(key, leaf).unwrap();
        serial
    }

    fn message(&mut self, counter: u64) -> Reauthentication {
        let exporter = exporter(&mut self.pair.client);
        let binding = Binding {
            sender: Side::Client,
            exporter: &exporter,
        };
        self.web.tls.prove(&binding, counter).unwrap()
    }

    /// What db makes of a message of web's.
    fn judge(
        &mut self,
        last: u64,
        message: &Reauthentication,
    ) -> Result<Evidence, ReauthenticationError> {
        let exporter = exporter(&mut self.pair.server);
        let binding = Binding {
            sender: Side::Client,
            exporter: &exporter,
        };
        let present = self.pair.server.evidence();
        self.db
            .tls
            .reauthenticate(&present, last, &binding, message)
    }

    fn refused(&mut self, message: &Reauthentication) -> ReauthenticationError {
        self.judge(0, message).unwrap_err()
    }
}

#[test]
fn a_renewed_certificate_takes_the_place_of_the_old_one() {
    let mut case = case();
    let serial = case.renew();
    let message = case.message(1);
    let before = case.pair.server.evidence();
    let after = case.judge(0, &message).unwrap();
    let peer = after.peer.clone().unwrap();
    assert_eq!(peer.spiffe, id("web"));
    assert_eq!(peer.serial, serial);
    assert_eq!(peer.not_after, START + HALF + DAY);
    // What the handshake negotiated stays as it was.
    assert_eq!(after.key_exchange, before.key_exchange);
    assert_eq!(after.peer_signature, "Ed25519+FALCON-1024");
    case.mesh.clock.advance(HALF + 1);
    let expect = ServerRole::Mesh.expect();
    assert!(
        case.db
            .tls
            .reauthorise(&before.peer.unwrap(), &expect)
            .is_err()
    );
    assert_eq!(case.db.tls.reauthorise(&peer, &expect), Ok(()));
}

#[test]
fn a_renewed_certificate_is_kept_where_the_one_of_the_handshake_was() {
    for (role, kept) in [(ServerRole::Mesh, true), (ServerRole::Bootstrap, false)] {
        let mut case = case();
        case.pair = Pair::dial(&case.web.tls, &case.db.tls, role, Expect::Id(id("db")));
        case.pair.settle();
        case.renew();
        let message = case.message(1);
        let peer = case.judge(0, &message).unwrap().peer.unwrap();
        assert_eq!(!peer.leaf_der.is_empty(), kept);
    }
}

#[test]
fn the_server_re_authenticates_as_the_client_does() {
    let mut case = case();
    case.mesh.clock.advance(HALF);
    let (key, leaf, serial) = renewed(&case.mesh, "db", HALF);
    case.db.tls.set_identity(key, leaf).unwrap();
    let exporter = exporter(&mut case.pair.server);
    let binding = Binding {
        sender: Side::Server,
        exporter: &exporter,
    };
    let message = case.db.tls.prove(&binding, 1).unwrap();
    let present = case.pair.client.evidence();
    let after = case.web.tls.reauthenticate(&present, 0, &binding, &message);
    assert_eq!(after.unwrap().peer.unwrap().serial, serial);
}

#[test]
fn a_message_is_good_once() {
    let mut case = case();
    case.renew();
    let message = case.message(4);
    case.judge(3, &message).unwrap();
    let error = case.judge(4, &message).unwrap_err();
    assert_eq!(
        error,
        ReauthenticationError::Replayed {
            counter: 4,
            last: 4
        }
    );
    assert_eq!(error.connection_code(), ConnectionCode::Protocol);
}

#[test]
fn a_message_of_another_connection_is_refused() {
    let mut case = case();
    case.renew();
    let message = case.message(1);
    case.pair = connect(&case.web.tls, &case.db.tls);
    let error = case.refused(&message);
    assert_eq!(error, ReauthenticationError::Signature);
    assert_eq!(error.connection_code(), ConnectionCode::Unauthorised);
}

#[test]
fn a_message_sent_back_to_its_sender_is_refused() {
    // Both ends have one identity: only the role tells whose message it is.
    let mesh = Mesh::new();
    let db = mesh.workload("db");
    let mut pair = connect(&db.tls, &db.tls);
    let exporter = exporter(&mut pair.client);
    let bind = |sender| Binding {
        sender,
        exporter: &exporter,
    };
    let message = db.tls.prove(&bind(Side::Client), 1).unwrap();
    let present = pair.client.evidence();
    let back = db
        .tls
        .reauthenticate(&present, 0, &bind(Side::Server), &message);
    assert_eq!(back.unwrap_err(), ReauthenticationError::Signature);
}

#[test]
fn every_changed_part_is_refused() {
    let mut case = case();
    case.renew();
    let good = case.message(2);
    let other_counter = Reauthentication {
        counter: 3,
        ..good.clone()
    };
    assert_eq!(
        case.refused(&other_counter),
        ReauthenticationError::Signature
    );
    for half in [0, 63, 64, good.signature.len() - 1] {
        let mut changed = good.clone();
        changed.signature[half] ^= 1;
        assert_eq!(
            case.refused(&changed),
            ReauthenticationError::Signature,
            "{half}"
        );
    }
    let only_ed25519 = Reauthentication {
        signature: good.signature[..64].to_vec(),
        ..good.clone()
    };
    assert_eq!(
        case.refused(&only_ed25519),
        ReauthenticationError::Signature
    );
    for scheme in [0x0807, 0xfe52, 0x1234] {
        let message = Reauthentication {
            scheme,
            ..good.clone()
        };
        let error = case.refused(&message);
        assert_eq!(error, ReauthenticationError::Scheme(scheme), "{scheme:#x}");
        assert_eq!(error.connection_code(), ConnectionCode::Unauthorised);
    }
}

#[test]
fn the_scheme_must_be_that_of_the_certificate_s_key() {
    let mesh = Mesh::new();
    let both = TlsSettings {
        accept_other_degree: true,
        ..TlsSettings::default()
    };
    let web = mesh.workload("web");
    let db = mesh.workload_with("db", crate::mesh::today(), both);
    let pair = connect(&web.tls, &db.tls);
    let mut case = Case {
        mesh,
        web,
        db,
        pair,
    };
    let message = Reauthentication {
        scheme: 0xfe52,
        ..case.message(1)
    };
    assert_eq!(scheme_name(message.scheme.into()), "Ed25519+FALCON-512");
    assert_eq!(
        case.refused(&message),
        ReauthenticationError::Scheme(0xfe52)
    );
}

#[test]
fn another_workload_s_certificate_is_refused() {
    let mut case = case();
    let (key, leaf, _) = renewed(&case.mesh, "other", 0);
    case.web.tls.set_identity(key, leaf).unwrap();
    let message = case.message(1);
    let error = case.refused(&message);
    assert!(error.to_string().contains("sa/other"), "{error}");
    assert_eq!(error.connection_code(), ConnectionCode::Unauthorised);
}

#[test]
fn a_certificate_whose_keys_the_sender_does_not_hold_is_refused() {
    let mut case = case();
    case.renew();
    let message = case.message(1);
    let (_, leaf, _) = renewed(&case.mesh, "web", HALF);
    let stolen = Reauthentication { leaf, ..message };
    assert_eq!(case.refused(&stolen), ReauthenticationError::Signature);
}

#[test]
fn an_expired_revoked_or_strange_certificate_is_refused() {
    let mut case = case();
    let serial = case.renew();
    let message = case.message(1);
    let mut trust = case.mesh.trust();
    trust.revoke(&serial);
    case.db.tls.set_trust(trust);
    let error = case.refused(&message);
    assert_eq!(error.connection_code(), ConnectionCode::Revoked, "{error}");

    let mut trust = case.mesh.trust();
    trust.revoke_identity(id("web"), u64::MAX);
    case.db.tls.set_trust(trust);
    let error = case.refused(&message);
    assert_eq!(error.connection_code(), ConnectionCode::Revoked, "{error}");

    case.db.tls.set_trust(Mesh::new().trust());
    let error = case.refused(&message);
    assert_eq!(
        error.connection_code(),
        ConnectionCode::Unauthorised,
        "{error}"
    );

    case.db.tls.set_trust(case.mesh.trust());
    case.mesh.clock.advance(DAY + 1);
    let error = case.refused(&message);
    assert_eq!(error.connection_code(), ConnectionCode::Expired, "{error}");

    let garbage = Reauthentication {
        leaf: vec![0x30, 0x01],
        ..message
    };
    let error = case.refused(&garbage);
    assert_eq!(
        error.connection_code(),
        ConnectionCode::Unauthorised,
        "{error}"
    );
}

#[test]
fn an_older_certificate_does_not_take_the_place_of_a_newer_one() {
    let mut case = case();
    let key = HybridKey::generate(CryptoProfile::Hybrid1024, &mut OsRng);
    let validity = Validity {
        not_before: START - 1,
        not_after: START + 2 * DAY,
    };
    let (leaf, _) = case.mesh.leaf(&key, &id("web"), validity);
    case.web.tls.set_identity(key, leaf).unwrap();
    let message = case.message(1);
    let error = case.refused(&message);
    let older = ReauthenticationError::Older {
        not_before: START - 1,
        present: START,
    };
    assert_eq!(error, older);
    assert_eq!(error.connection_code(), ConnectionCode::Unauthorised);
}

#[test]
fn who_came_without_a_certificate_cannot_show_one_later() {
    let mesh = Mesh::new();
    let (newcomer, operator) = (mesh.newcomer(), mesh.workload("operator"));
    let expect = Expect::Id(id("operator"));
    let mut pair = Pair::dial(&newcomer, &operator.tls, ServerRole::Bootstrap, expect);
    pair.settle();
    let exporter = exporter(&mut pair.client);
    let binding = Binding {
        sender: Side::Client,
        exporter: &exporter,
    };
    assert_eq!(newcomer.prove(&binding, 1), None);
    let (key, leaf, _) = renewed(&mesh, "web", 0);
    newcomer.set_identity(key, leaf).unwrap();
    let message = newcomer.prove(&binding, 1).unwrap();
    let present = pair.server.evidence();
    let error = operator
        .tls
        .reauthenticate(&present, 0, &binding, &message)
        .unwrap_err();
    assert_eq!(error, ReauthenticationError::Anonymous);
    assert_eq!(error.connection_code(), ConnectionCode::Unauthorised);
}
