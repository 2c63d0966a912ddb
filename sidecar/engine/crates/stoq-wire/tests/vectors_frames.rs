//! The frames of `docs/vectors/frames.json`, which the reference reads as well.

#[path = "../../../testing/vectors.rs"]
mod read;

use bytes::Bytes;
use read::{bytes, vectors};
use serde_json::Value;
use stoq_wire::bare::{self, Bare, BareId};
use stoq_wire::extension::Negotiated;
use stoq_wire::frame::beside::{Beside, InnerCid};
use stoq_wire::frame::carrier::{Carrier, admit};
use stoq_wire::frame::hop::{Hop, Route, RouteId};
use stoq_wire::frame::key::Key;
use stoq_wire::frame::seed::{Seed, SeedForm};
use stoq_wire::frame::shard::{Manifest, Range, Shard, ShardBody, TransferId};
use stoq_wire::frame::signature::{Signature, Subject};
use stoq_wire::frame::token::{PacketToken, StreamForm, StreamToken, Token};
use stoq_wire::frame::{Frame, FrameType};
use stoq_wire::packet::reserve;
use stoq_wire::parameters::StoqParameters;

fn cases(under: &str) -> Vec<Value> {
    read::cases(&read::vectors("frames.json"), under)
}

fn fixed<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn token(value: &Value) -> Token {
    let form = match number(&value["form"]) {
        1 => StreamForm::Message,
        2 => StreamForm::Interval,
        _ => return Token::Packet(packet_token(value)),
    };
    Token::Stream(StreamToken {
        form,
        sequence: number(&value["sequence"]),
        length: number(&value["length"]),
        tag: fixed(&value["tag"]),
    })
}

fn packet_token(value: &Value) -> PacketToken {
    PacketToken {
        tag: fixed(&value["tag"]),
    }
}

fn shard(value: &Value) -> Shard {
    let offset = || number(&value["offset"]);
    let data = || Bytes::from(bytes(&value["data"]));
    let list = |name: &str| value[name].as_array().unwrap().clone();
    let body = match number(&value["form"]) {
        0 => ShardBody::Manifest(Manifest {
            size: number(&value["size"]),
            shard_size: number(&value["shard_size"]),
            digest: fixed(&value["digest"]),
            digests: list("digests").iter().map(fixed).collect(),
        }),
        1 => ShardBody::Object {
            offset: offset(),
            data: data(),
        },
        2 => ShardBody::Bulk {
            offset: offset(),
            digest: fixed(&value["digest"]),
            data: data(),
        },
        _ => {
            let range = |pair: &Value| Range {
                offset: number(&pair[0]),
                length: number(&pair[1]),
            };
            ShardBody::Want(list("ranges").iter().map(range).collect())
        }
    };
    Shard {
        transfer: TransferId(fixed(&value["transfer"])),
        body,
    }
}

fn hop(value: &Value) -> Hop {
    match number(&value["form"]) {
        0 => Hop::Open(route(value)),
        1 => Hop::Packet {
            tunnel: number(&value["tunnel"]),
            data: Bytes::from(bytes(&value["data"])),
        },
        2 => Hop::Origin(Bytes::from(bytes(&value["leaf"]))),
        form => Hop::Beside(beside(form, value)),
    }
}

fn beside(form: u64, value: &Value) -> Beside {
    let cid = |field: &str| InnerCid::new(&bytes(&value[field])).unwrap();
    let id = |value: &Value| BareId(fixed(&value["id"]));
    match form {
        3 => Beside::Forward {
            id: id(value),
            source: cid("source"),
            destination: cid("destination"),
        },
        4 => Beside::Forwarded(id(value)),
        _ => Beside::Seen(fixed(&value["nonce"])),
    }
}

fn route(value: &Value) -> Route {
    Route {
        id: RouteId(fixed(&value["route"])),
        position: number(&value["position"]) as u8,
        gateways: value["gateways"]
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect(),
        destination: text(&value["destination"]).parse().unwrap(),
        identity: text(&value["identity"]),
    }
}

fn signature(value: &Value) -> Signature {
    Signature {
        subject: match number(&value["form"]) {
            1 => Subject::Manifest,
            2 => Subject::Route,
            3 => Subject::Snapshot,
            _ => Subject::Key,
        },
        key_id: fixed(&value["key_id"]),
        until: number(&value["until"]),
        digest: fixed(&value["digest"]),
        signature: bytes(&value["signature"]),
    }
}

fn key(value: &Value) -> Key {
    let key = bytes(&value["key"]);
    match number(&value["form"]) {
        0 => Key::Announce { key },
        1 => Key::Rotate {
            old: fixed(&value["old"]),
            key,
        },
        2 => Key::Revoke {
            old: fixed(&value["old"]),
        },
        _ => Key::Certificate { leaf: key },
    }
}

fn frame(case: &Value) -> Frame {
    let value = &case["value"];
    match case["type"].as_str().unwrap() {
        "TOKEN" => Frame::Token(token(value)),
        "SHARD" => Frame::Shard(shard(value)),
        "HOP" => Frame::Hop(hop(value)),
        "SEED" => Frame::Seed(Seed {
            form: match number(&value["form"]) {
                1 => SeedForm::Flow,
                _ => SeedForm::Object,
            },
            id: fixed(&value["id"]),
            share: number(&value["share"]) as u16,
            primary: text(&value["primary"]),
        }),
        "FALCON_SIGNATURE" => Frame::Signature(signature(value)),
        "FALCON_KEY" => Frame::Key(key(value)),
        other => panic!("{other}"),
    }
}

#[test]
fn frames_are_read_and_written() {
    for case in cases("valid") {
        let (mut encoded, expected) = (bytes(&case["hex"]), frame(&case));
        let length = encoded.len();
        let mut out = Vec::new();
        expected.encode(&mut out).unwrap();
        assert_eq!(out, encoded, "{}", case["name"]);
        encoded.extend(b"more");
        let found = Frame::decode(&encoded);
        assert_eq!(found, Ok(Some((expected, length))), "{}", case["name"]);
    }
}

#[test]
fn frames_in_other_forms_are_read() {
    for case in cases("read") {
        let encoded = bytes(&case["hex"]);
        let expected = Some((frame(&case), encoded.len()));
        assert_eq!(Frame::decode(&encoded), Ok(expected), "{}", case["name"]);
    }
}

#[test]
fn wrong_frames_are_refused_at_once() {
    for case in cases("invalid") {
        let found = Frame::decode(&bytes(&case["hex"]));
        assert!(found.is_err(), "{}: {found:?}", case["name"]);
    }
}

#[test]
fn the_rest_of_a_frame_is_waited_for() {
    for case in cases("incomplete") {
        let found = Frame::decode(&bytes(&case["hex"]));
        assert_eq!(found, Ok(None), "{}", case["name"]);
    }
}

#[test]
fn the_table_of_carriers_is_that_of_the_document() {
    let mut rows = 0;
    for case in cases("carriers") {
        let name = case["type"].as_str().unwrap();
        let kind = FrameType::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .unwrap();
        let (form, extension) = (number(&case["form"]) as u8, number(&case["extension"]));
        let listed = case["carriers"].as_array().unwrap();
        for carrier in Carrier::ALL {
            let expected = listed.contains(&Value::from(carrier.to_string()));
            assert_eq!(
                admit(kind, form, carrier, extension).is_ok(),
                expected,
                "{case} {carrier}"
            );
            assert!(admit(kind, form, carrier, !extension).is_err(), "{case}");
            rows += usize::from(expected);
        }
    }
    let all = FrameType::ALL.into_iter().flat_map(|kind| {
        let forms = (0..=u8::MAX).map(move |form| (kind, form));
        forms.flat_map(|(kind, form)| Carrier::ALL.map(|carrier| admit(kind, form, carrier, !0)))
    });
    assert_eq!(all.filter(Result::is_ok).count(), rows, "no others");
}

fn parameters(value: &Value) -> StoqParameters {
    StoqParameters {
        extensions: number(&value["extensions"]),
        packet_reserve: number(&value["packet_reserve"]),
        max_shard: number(&value["max_shard"]),
        ..StoqParameters::default()
    }
}

#[test]
fn two_endpoints_agree_on_what_both_announced() {
    for case in cases("negotiation") {
        let theirs = (!case["theirs"].is_null()).then(|| parameters(&case["theirs"]));
        let found = Negotiated::of(&parameters(&case["ours"]), theirs.as_ref());
        let agreed = &case["agreed"];
        let expected = Negotiated {
            extensions: number(&agreed["extensions"]),
            reserve: number(&agreed["reserve"]) as usize,
            send_shard: number(&agreed["send_shard"]),
            receive_shard: number(&agreed["receive_shard"]),
        };
        assert_eq!(found, expected, "{}", case["name"]);
        assert_eq!(found.packet_tokens(), agreed["packet_tokens"] == true);
    }
}

#[test]
fn the_reserve_of_a_packet_is_taken_off_and_put_on() {
    for case in cases("reserves") {
        let payload = bytes(&case["hex"]);
        let agreed = Negotiated {
            extensions: number(&case["extensions"]),
            reserve: number(&case["reserve"]) as usize,
            ..Negotiated::default()
        };
        let found = reserve::read(&payload, &agreed);
        if case["payload"].is_null() {
            assert!(found.is_err(), "{}: {found:?}", case["name"]);
            continue;
        }
        let before = bytes(&case["payload"]);
        let expected = (!case["token"].is_null()).then(|| packet_token(&case["token"]));
        assert_eq!(found, Ok((before.len(), expected)), "{}", case["name"]);
        let mut written = before.clone();
        written.resize(payload.len(), 0xff);
        reserve::write(expected.as_ref(), &mut written[before.len()..]).unwrap();
        assert_eq!(written, payload, "{}", case["name"]);
    }
}

#[test]
fn what_a_signature_is_over() {
    for case in cases("signed") {
        match Frame::decode(&bytes(&case["frame"])) {
            Ok(Some((Frame::Signature(found), _))) => {
                assert_eq!(found.signed_content().to_vec(), bytes(&case["hex"]));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn packets_beside_a_tunnel() {
    let document = vectors("forwarded.json");
    for case in read::cases(&document, "packets") {
        let cid = InnerCid::new(&bytes(&case["cid"])).unwrap();
        let (packet, id) = (bytes(&case["packet"]), bytes(&case["id"]));
        let rest = bare::behind(&packet, &cid);
        assert_eq!(rest.is_none(), case["bare"].is_null(), "{}", case["name"]);
        if let Some(rest) = rest {
            let went = [&packet[..1], &id, rest].concat();
            assert_eq!(went, bytes(&case["bare"]), "{}", case["name"]);
            let first = packet[0];
            let expected = (BareId(id.try_into().unwrap()), Bare::Packet { first, rest });
            assert_eq!(bare::read(&went), Some(expected), "{}", case["name"]);
        }
    }
    for case in read::cases(&document, "probes") {
        let (id, nonce) = (BareId(fixed(&case["id"])), fixed(&case["nonce"]));
        let datagram = bare::probe(id, nonce);
        assert_eq!(datagram.to_vec(), bytes(&case["hex"]));
        assert_eq!(bare::read(&datagram), Some((id, Bare::Probe(nonce))));
    }
    for case in read::cases(&document, "neither") {
        assert_eq!(bare::read(&bytes(&case["hex"])), None, "{}", case["name"]);
    }
}
