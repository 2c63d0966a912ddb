//! What `docs/vectors` says of bytes on the wire, read and written.

#[path = "../../../testing/vectors.rs"]
mod read;

use std::net::SocketAddr;

use bytes::BytesMut;
use read::{bytes, cases, vectors};
use serde_json::Value;
use stoq_wire::code::{ConnectionCode, StreamCode};
use stoq_wire::control::{Reauthentication, Role, signed_content};
use stoq_wire::head::{FlowId, StreamHead, StreamKind};
use stoq_wire::parameters::StoqParameters;
use stoq_wire::stripe::Record;
use stoq_wire::{udp, varint};

fn optional(value: &Value) -> Option<Vec<u8>> {
    (!value.is_null()).then(|| bytes(value))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[test]
fn varints() {
    let document = vectors("varints.json");
    for case in cases(&document, "written") {
        let mut out = Vec::new();
        varint::write(number(&case["value"]), &mut out);
        assert_eq!(out, bytes(&case["hex"]));
        assert_eq!(varint::read(&mut &out[..]), Ok(number(&case["value"])));
    }
    for case in cases(&document, "read") {
        let encoded = bytes(&case["hex"]);
        assert_eq!(varint::read(&mut &encoded[..]), Ok(number(&case["value"])));
    }
    for cut in cases(&document, "incomplete") {
        assert!(varint::read(&mut &bytes(&cut)[..]).is_err(), "{cut}");
    }
}

#[test]
fn transport_parameters() {
    let document = vectors("transport-parameters.json");
    for case in cases(&document, "valid") {
        let (encoded, value) = (bytes(&case["hex"]), &case["value"]);
        let expected = (!value.is_null()).then(|| StoqParameters {
            revision: number(&value["revision"]),
            extensions: number(&value["extensions"]),
            packet_reserve: number(&value["packet_reserve"]),
            max_shard: number(&value["max_shard"]),
            falcon_key_id: optional(&value["falcon_key_id"]).map(|id| id.try_into().unwrap()),
            falcon_key: optional(&value["falcon_key"]),
        });
        assert_eq!(StoqParameters::find(&encoded), Ok(expected.clone()));
        if case["written"] == true {
            let mut out = Vec::new();
            expected.unwrap().append_to(&mut out);
            assert_eq!(out, encoded, "{}", case["name"]);
        }
    }
    for case in cases(&document, "invalid") {
        let found = StoqParameters::find(&bytes(&case["hex"]));
        assert!(found.is_err(), "{}: {found:?}", case["name"]);
    }
}

fn kind(value: &Value) -> StreamKind {
    match number(value) {
        1 => StreamKind::Tcp,
        2 => StreamKind::Api,
        3 => StreamKind::Frames,
        4 => StreamKind::Control,
        5 => StreamKind::Udp,
        6 => StreamKind::Lane,
        other => panic!("kind {other}"),
    }
}

fn address(value: &Value) -> SocketAddr {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn stream_heads() {
    let document = vectors("stream-heads.json");
    for case in cases(&document, "valid") {
        let (encoded, value) = (bytes(&case["hex"]), &case["value"]);
        let head = StreamHead {
            kind: kind(&value["kind"]),
            resume: value["resume"] == true,
            tokens: false,
            flow: FlowId(bytes(&value["flow"]).try_into().unwrap()),
            sent: number(&value["sent"]),
            received: number(&value["received"]),
            source: address(&value["source"]),
            destination: address(&value["destination"]),
        };
        let mut out = Vec::new();
        head.encode(&mut out);
        assert_eq!(out, encoded, "{}", case["name"]);
        out.extend(b"data");
        assert_eq!(
            StreamHead::decode(&out, false),
            Ok(Some((head, encoded.len())))
        );
    }
    for case in cases(&document, "invalid") {
        let found = StreamHead::decode(&bytes(&case["hex"]), false);
        assert!(found.is_err(), "{}: {found:?}", case["name"]);
    }
    for case in cases(&document, "incomplete") {
        let found = StreamHead::decode(&bytes(&case["hex"]), false);
        assert_eq!(found, Ok(None), "{}", case["name"]);
    }
}

#[test]
fn control_messages() {
    let document = vectors("control-messages.json");
    for case in cases(&document, "valid") {
        let (encoded, value) = (bytes(&case["hex"]), &case["value"]);
        let message = Reauthentication {
            counter: number(&value["counter"]),
            scheme: number(&value["scheme"]).try_into().unwrap(),
            leaf: bytes(&value["leaf"]),
            signature: bytes(&value["signature"]),
        };
        let mut out = Vec::new();
        message.encode(&mut out).unwrap();
        assert_eq!(out, encoded, "{}", case["name"]);
        assert_eq!(Reauthentication::decode(&encoded), Ok(message));
    }
    for case in cases(&document, "invalid") {
        let found = Reauthentication::decode(&bytes(&case["hex"]));
        assert!(found.is_err(), "{}: {found:?}", case["name"]);
    }
}

#[test]
fn what_a_control_message_signs() {
    for case in cases(&vectors("control-messages.json"), "signed") {
        let role = match case["dialled"] == true {
            true => Role::Client,
            false => Role::Server,
        };
        let content = signed_content(
            role,
            number(&case["counter"]),
            &bytes(&case["exporter"]).try_into().unwrap(),
            &bytes(&case["leaf_sha256"]).try_into().unwrap(),
        );
        assert_eq!(content, bytes(&case["hex"]), "{}", case["name"]);
    }
}

#[test]
fn error_codes() {
    let document = vectors("error-codes.json");
    let connection = document["connection"].as_object().unwrap();
    assert_eq!(connection.len(), ConnectionCode::ALL.len());
    for code in ConnectionCode::ALL {
        assert_eq!(connection[code.name()], code.as_u64());
    }
    let stream = document["stream"].as_object().unwrap();
    assert_eq!(stream.len(), StreamCode::ALL.len());
    for code in StreamCode::ALL {
        assert_eq!(stream[code.name()], code.as_u64());
    }
}

#[test]
fn captured_udp() {
    let document = vectors("udp.json");
    for case in cases(&document, "datagrams") {
        let (encoded, value) = (bytes(&case["hex"]), &case["value"]);
        let (flow, payload) = (number(&value["flow"]), bytes(&value["payload"]));
        assert_eq!(udp::datagram(flow, &payload), encoded);
        assert_eq!(udp::split(encoded.into()), Ok((flow, payload.into())));
    }
    for case in cases(&document, "invalid_datagrams") {
        let found = udp::split(bytes(&case["hex"]).into());
        assert!(found.is_err(), "{}", case["name"]);
    }
    for case in cases(&document, "messages") {
        let mut stream = BytesMut::from(&bytes(&case["hex"])[..]);
        for payload in case["value"].as_array().unwrap() {
            assert!(stream.starts_with(&udp::message(&bytes(payload))));
            assert_eq!(udp::take(&mut stream), Ok(Some(bytes(payload).into())));
        }
        assert!(stream.is_empty(), "{}", case["name"]);
    }
    for case in cases(&document, "invalid_messages") {
        let found = udp::take(&mut BytesMut::from(&bytes(&case["hex"])[..]));
        assert!(found.is_err(), "{}", case["name"]);
    }
    for case in cases(&document, "incomplete_messages") {
        let found = udp::take(&mut BytesMut::from(&bytes(&case["hex"])[..]));
        assert_eq!(found, Ok(None), "{}", case["name"]);
    }
}

fn record(value: &Value) -> Record {
    match value["kind"].as_str().unwrap() {
        "data" => Record::Data {
            offset: number(&value["offset"]),
            data: bytes(&value["data"]).into(),
        },
        "end" => Record::End {
            size: number(&value["size"]),
        },
        _ => Record::Received {
            received: number(&value["received"]),
            limit: number(&value["limit"]),
        },
    }
}

#[test]
fn records_of_striped_flows() {
    let document = vectors("stripes.json");
    for under in ["records", "read"] {
        for case in cases(&document, under) {
            let (encoded, value) = (bytes(&case["hex"]), record(&case["value"]));
            let mut stream = BytesMut::from(&encoded[..]);
            stream.extend_from_slice(&[3]);
            assert_eq!(Record::take(&mut stream), Ok(Some(value.clone())));
            assert_eq!(stream[..], [3], "{}", case["name"]);
            if under == "records" {
                let (head, data) = value.encode();
                assert_eq!([head, data].concat(), encoded, "{}", case["name"]);
            }
        }
    }
    for case in cases(&document, "invalid") {
        let mut stream = BytesMut::from(&bytes(&case["hex"])[..]);
        assert!(Record::take(&mut stream).is_err(), "{}", case["name"]);
    }
    for case in cases(&document, "incomplete") {
        let mut stream = BytesMut::from(&bytes(&case["hex"])[..]);
        assert_eq!(Record::take(&mut stream), Ok(None), "{}", case["name"]);
    }
}
