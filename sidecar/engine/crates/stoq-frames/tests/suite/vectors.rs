//! Tokens, shards, mirrors and striped flows of `docs/vectors`, which the reference reads as well.

#[path = "../../../../testing/vectors.rs"]
mod read;

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use read::{bytes, cases, vectors};
use serde_json::Value;
use stoq_frames::seed::is_copied;
use stoq_frames::shard::{Limits, Outcome, Store};
use stoq_frames::stripe::Stripe;
use stoq_frames::token::{
    PacketReader, Seen, TokenFault, TokenKey, TokenKeys, TokenReader, TokenWriter,
};
use stoq_wire::code::{ConnectionCode, StreamCode};
use stoq_wire::control::Role;
use stoq_wire::frame::Frame;
use stoq_wire::frame::shard::{Range, Shard, TransferId};
use stoq_wire::frame::token::{PacketToken, Token, TokenForm};
use stoq_wire::stripe::{FIRST_LIMIT, Record};

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn role(case: &Value) -> Role {
    match case["sender"].as_str().unwrap() {
        "client" => Role::Client,
        _ => Role::Server,
    }
}

/// The key of the direction that a case is about.
fn key(document: &Value, case: &Value) -> TokenKey {
    let exporter = bytes(&document["exporter"]).try_into().unwrap();
    TokenKeys::new(&exporter, role(case)).send
}

/// A token of a packet.
fn token(hex: &Value) -> Option<PacketToken> {
    if hex.is_null() {
        return None;
    }
    match Frame::decode(&bytes(hex)) {
        Ok(Some((Frame::Token(Token::Packet(token)), _))) => Some(token),
        other => panic!("{other:?}"),
    }
}

#[test]
fn tags() {
    let document = vectors("tokens.json");
    for case in cases(&document, "tags") {
        let form = match number(&case["form"]) {
            1 => TokenForm::Message,
            2 => TokenForm::Interval,
            _ => TokenForm::Packet,
        };
        let (stream, sequence) = (number(&case["stream"]), number(&case["sequence"]));
        let tag = key(&document, &case).tag(form, stream, sequence, &bytes(&case["data"]));
        assert_eq!(tag.to_vec(), bytes(&case["tag"]), "{}", case["name"]);
    }
}

#[test]
fn streams_with_tokens() {
    let document = vectors("tokens.json");
    for case in cases(&document, "streams") {
        let (key, stream) = (key(&document, &case), number(&case["stream"]));
        let mut writer = match case["interval"].as_u64() {
            Some(interval) => TokenWriter::by_interval(key.clone(), stream, interval),
            None => TokenWriter::by_message(key.clone(), stream),
        };
        let messages: Vec<_> = case["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(bytes)
            .collect();
        let mut parts = Vec::new();
        for message in &messages {
            parts.extend(writer.push(Bytes::from(message.clone())));
        }
        parts.extend(writer.finish());
        assert_eq!(parts.concat(), bytes(&case["hex"]), "{}", case["name"]);
        let mut reader = TokenReader::new(key, stream);
        let found = reader.push(Bytes::from(parts.concat())).unwrap();
        assert_eq!(found.concat(), messages.concat());
        assert_eq!(reader.finish(), Ok(()));
    }
}

#[test]
fn wrong_tokens_close_the_connection_and_hand_nothing_on() {
    let document = vectors("tokens.json");
    for case in cases(&document, "invalid") {
        let mut reader = TokenReader::new(key(&document, &case), number(&case["stream"]));
        let mut verified = Vec::new();
        let mut read = || -> Result<(), TokenFault> {
            for byte in bytes(&case["hex"]) {
                verified.extend(reader.push(Bytes::from(vec![byte]))?.concat());
            }
            reader.finish()
        };
        let fault = read().unwrap_err();
        assert_eq!(
            case["code"],
            fault.code().name(),
            "{}: {fault}",
            case["name"]
        );
        assert_eq!(verified, bytes(&case["verified"]), "{}", case["name"]);
    }
}

#[test]
fn tokens_in_packets() {
    let document = vectors("tokens.json");
    for case in cases(&document, "packets") {
        let mut reader = PacketReader::new(key(&document, &case), role(&case));
        for step in cases(&case, "steps") {
            let found = reader.check(
                number(&step["packet"]),
                &bytes(&step["payload"]),
                token(&step["token"]).as_ref(),
            );
            let outcome = match found {
                Ok(Seen::New) => "new",
                Ok(Seen::Repeated) => "repeated",
                Err(fault) => {
                    assert_eq!(fault.code(), ConnectionCode::BadToken);
                    "bad_token"
                }
            };
            assert_eq!(step["outcome"], outcome, "{}: {step}", case["name"]);
        }
    }
}

fn shard(hex: &Value) -> Shard {
    match Frame::decode(&bytes(hex)) {
        Ok(Some((Frame::Shard(shard), _))) => shard,
        other => panic!("{other:?}"),
    }
}

/// What becomes of a frame, and what is handed on, in the words of the vectors.
fn outcome(store: &mut Store, shard: Shard) -> (&'static str, Vec<u8>, bool) {
    match store.take("spiffe://test/ns/a/sa/b", shard, Instant::now()) {
        Ok(Outcome::Taken { ready, whole }) => ("taken", ready.concat(), whole),
        Ok(Outcome::Repeated) => ("repeated", vec![], false),
        Ok(Outcome::Wait) => ("wait", vec![], false),
        Err(refusal) => {
            assert_eq!(refusal.code(), StreamCode::BadShard);
            (
                if refusal.is_fatal() {
                    "failed"
                } else {
                    "refused"
                },
                vec![],
                false,
            )
        }
    }
}

#[test]
fn transfers() {
    let id = TransferId(std::array::from_fn(|at| at as u8));
    for case in cases(&vectors("shards.json"), "transfers") {
        let (mut store, mut ended) = (Store::new(Limits::default()), false);
        for step in cases(&case, "frames") {
            let (found, ready, whole) = outcome(&mut store, shard(&step["hex"]));
            assert_eq!(step["outcome"], found, "{}: {step}", case["name"]);
            assert_eq!(ready, bytes(&step["ready"]), "{}: {step}", case["name"]);
            ended |= whole;
        }
        assert_eq!(case["whole"], ended, "{}", case["name"]);
        let range = |pair: &Value| Range {
            offset: number(&pair[0]),
            length: number(&pair[1]),
        };
        let missing = case["missing"].as_array();
        let missing = missing.map(|ranges| ranges.iter().map(range).collect());
        assert_eq!(store.missing(id), missing, "{}", case["name"]);
    }
}

#[test]
fn copies() {
    for case in cases(&vectors("mirrors.json"), "copied") {
        let id = bytes(&case["id"]).try_into().unwrap();
        let share = number(&case["share"]).try_into().unwrap();
        assert_eq!(case["copied"], is_copied(&id, share), "{}", case["name"]);
    }
}

#[test]
fn directions_of_striped_flows() {
    let document = vectors("stripes.json");
    for case in cases(&document, "flows") {
        let mut stripe = Stripe::new(FIRST_LIMIT);
        let mut ended = false;
        for step in case["records"].as_array().unwrap() {
            let mut raw = BytesMut::from(&bytes(&step["hex"])[..]);
            let record = Record::take(&mut raw).unwrap().unwrap();
            let taken = stripe.take(record);
            let name = format!("{}: {step}", case["name"]);
            if step["outcome"] == "bad_shard" {
                assert_eq!(taken.unwrap_err().code(), StreamCode::BadShard, "{name}");
                continue;
            }
            assert_eq!(taken, Ok(()), "{name}");
            let ready: Vec<u8> = std::iter::from_fn(|| stripe.pop()).flatten().collect();
            assert_eq!(ready, bytes(&step["ready"]), "{name}");
            ended = stripe.at_end();
        }
        assert_eq!(ended, case["ended"].as_bool().unwrap(), "{}", case["name"]);
    }
}
