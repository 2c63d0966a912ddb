//! STOQ's transport parameters beside QUIC's: good, absent, and malformed.

use quinn_proto::crypto::Session;
use quinn_proto::{TransportError, TransportErrorCode};
use rand_core::OsRng;
use rustls::pki_types::ServerName;
use rustls::quic::{ClientConnection, Version};
use stoq_core::authorise::Expect;
use stoq_core::key::HybridKey;
use stoq_core::profile::CryptoProfile;
use stoq_core::tls::{ServerRole, TlsSettings};
use stoq_wire::extension::{CAPTURED_UDP, HOPS, Negotiated, STREAM_TOKENS};
use stoq_wire::parameters::{BASE, StoqParameters};
use stoq_wire::varint;

use crate::hostile::Hostile;
use crate::mesh::{Mesh, id, today};
use crate::pair::{Pair, quic_parameters};

/// A client of plain rustls that sends these transport parameters, and the
/// session of our server that it talks to.
fn client_and_session(block: Vec<u8>) -> (ClientConnection, Box<dyn Session>) {
    let mesh = Mesh::new();
    let db = mesh.workload("db");
    let key = HybridKey::generate(CryptoProfile::Hybrid1024, &mut OsRng);
    let (leaf, _) = mesh.leaf(&key, &id("eve"), today());
    let tls = Hostile::new(key, leaf).tls_client();
    let name = ServerName::try_from("unused").unwrap();
    let client = ClientConnection::new(tls, Version::V1, name, block).unwrap();
    let config = db.tls.server_config(ServerRole::Mesh);
    let server = config.start_session(1, &quic_parameters());
    (client, server)
}

/// What our server makes of a client hello with these transport parameters.
fn server_reads(block: Vec<u8>) -> Result<(), (TransportErrorCode, String)> {
    let (mut client, mut server) = client_and_session(block);
    let mut hello = Vec::new();
    assert!(client.write_hs(&mut hello).is_none());
    assert_eq!(server.read_handshake(&hello), Ok(false));
    match server.transport_parameters() {
        Ok(parameters) => {
            assert!(parameters.is_some());
            Ok(())
        }
        Err(error) => Err((error.code, error.reason)),
    }
}

/// Shakes hands to the end, or until the server refuses.
fn shake_hands(
    client: &mut ClientConnection,
    server: &mut dyn Session,
) -> Result<(), TransportError> {
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        while client.write_hs(&mut bytes).is_some() {}
        server.read_handshake(&bytes)?;
        loop {
            let mut bytes = Vec::new();
            let keys = server.write_handshake(&mut bytes);
            client.read_hs(&bytes).unwrap();
            if keys.is_none() && bytes.is_empty() {
                break;
            }
        }
    }
    Ok(())
}

/// Plain QUIC's: initial_source_connection_id, which a client must send.
fn quic() -> Vec<u8> {
    vec![0x0f, 0x00]
}

fn with_parameter(mut block: Vec<u8>, id: u64, value: &[u8]) -> Vec<u8> {
    varint::write(id, &mut block);
    varint::write(value.len() as u64, &mut block);
    block.extend_from_slice(value);
    block
}

fn stoq() -> Vec<u8> {
    let mut block = quic();
    StoqParameters::default().append_to(&mut block);
    block
}

#[test]
fn parameters_of_plain_quic_and_of_stoq_are_read() {
    assert_eq!(server_reads(quic()), Ok(()));
    assert_eq!(server_reads(stoq()), Ok(()));
}

#[test]
fn an_unknown_parameter_is_passed_over() {
    assert_eq!(
        server_reads(with_parameter(stoq(), BASE + 99, b"new")),
        Ok(())
    );
}

#[test]
fn a_parameter_that_comes_twice_closes_the_connection() {
    let (code, reason) = server_reads(with_parameter(stoq(), BASE, &[1])).unwrap_err();
    assert_eq!(code, TransportErrorCode::TRANSPORT_PARAMETER_ERROR);
    assert!(reason.contains("0x53544f5100 appears twice"), "{reason}");
}

#[test]
fn a_cut_block_closes_the_connection() {
    let mut block = stoq();
    block.extend_from_slice(&[0x80]);
    let (code, reason) = server_reads(block).unwrap_err();
    assert_eq!(code, TransportErrorCode::TRANSPORT_PARAMETER_ERROR);
    assert!(reason.contains("end inside a parameter"), "{reason}");
}

#[test]
fn a_value_out_of_bounds_closes_the_connection_on_both_sides() {
    let mesh = Mesh::new();
    let settings = TlsSettings {
        parameters: StoqParameters {
            packet_reserve: 5000,
            ..StoqParameters::default()
        },
        ..TlsSettings::default()
    };
    let greedy = mesh.workload_with("web", today(), settings);
    let db = mesh.workload("db");
    let expect = Expect::AnyInMesh;
    let mut pair = Pair::dial(&greedy.tls, &db.tls, ServerRole::Mesh, expect.clone());
    pair.settle();
    let by_server = pair.server.refusal();
    let mut pair = Pair::dial(&db.tls, &greedy.tls, ServerRole::Mesh, expect);
    pair.settle();
    let by_client = pair.client.refusal();
    for (code, reason) in [by_server, by_client] {
        assert_eq!(
            code,
            u64::from(TransportErrorCode::TRANSPORT_PARAMETER_ERROR)
        );
        assert!(reason.contains("0x53544f5102"), "{reason}");
    }
}

#[test]
fn quics_own_parameters_are_still_checked() {
    // max_udp_payload_size below 1200
    let (code, _) = server_reads(with_parameter(quic(), 0x03, &[0x40, 0x64])).unwrap_err();
    assert_eq!(code, TransportErrorCode::TRANSPORT_PARAMETER_ERROR);
}

#[test]
fn each_end_announces_its_falcon_key() {
    let mesh = Mesh::new();
    let (web, db) = (mesh.workload("web"), mesh.workload("db"));
    let mut pair = Pair::dial(&web.tls, &db.tls, ServerRole::Mesh, Expect::AnyInMesh);
    pair.settle();
    for evidence in [pair.client.evidence(), pair.server.evidence()] {
        let announced = evidence.stoq.unwrap().falcon_key_id;
        assert_eq!(announced, Some(evidence.peer.unwrap().falcon_key_id.0));
    }
}

#[test]
fn what_both_ends_offer_is_agreed_on() {
    let mesh = Mesh::new();
    let offering = |extensions, packet_reserve| TlsSettings {
        parameters: StoqParameters {
            extensions,
            packet_reserve,
            ..StoqParameters::default()
        },
        ..TlsSettings::default()
    };
    let web = mesh.workload_with("web", today(), offering(STREAM_TOKENS | CAPTURED_UDP, 64));
    let db = mesh.workload_with("db", today(), offering(CAPTURED_UDP | HOPS, 100));
    let mut pair = Pair::dial(&web.tls, &db.tls, ServerRole::Mesh, Expect::AnyInMesh);
    pair.settle();
    let expected = Negotiated {
        extensions: CAPTURED_UDP,
        reserve: 64,
        ..Negotiated::default()
    };
    assert_eq!(pair.client.evidence().agreed, expected);
    assert_eq!(pair.server.evidence().agreed, expected);
    let plain = mesh.workload("plain");
    let mut pair = Pair::dial(&web.tls, &plain.tls, ServerRole::Mesh, Expect::AnyInMesh);
    pair.settle();
    assert_eq!(pair.client.evidence().agreed, Negotiated::default());
}

#[test]
fn a_peer_that_announces_another_falcon_key_is_refused() {
    let announcing = |falcon_key_id| {
        let mut block = quic();
        StoqParameters {
            falcon_key_id,
            ..StoqParameters::default()
        }
        .append_to(&mut block);
        let (mut client, mut server) = client_and_session(block);
        shake_hands(&mut client, &mut *server)
    };
    assert_eq!(announcing(None), Ok(()));
    let error = announcing(Some([7; 32])).unwrap_err();
    let alert = rustls::AlertDescription::IllegalParameter;
    assert_eq!(error.code, TransportErrorCode::crypto(alert.into()));
    assert!(error.reason.contains("announces a FALCON key"), "{error}");
}
