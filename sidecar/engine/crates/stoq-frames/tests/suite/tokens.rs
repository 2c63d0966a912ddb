//! Tokens on streams and in packets.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use stoq_frames::token::{
    PacketReader, PacketWriter, Seen, TokenFault, TokenKeys, TokenReader, TokenWriter,
};
use stoq_wire::code::ConnectionCode;
use stoq_wire::control::Role;
use stoq_wire::frame::token::{MAX_COVERED, PacketToken};

const STREAM: u64 = 4;

fn keys() -> (TokenKeys, TokenKeys) {
    let exporter: [u8; 64] = std::array::from_fn(|at| at as u8);
    (
        TokenKeys::new(&exporter, Role::Client),
        TokenKeys::new(&exporter, Role::Server),
    )
}

fn reader() -> TokenReader {
    TokenReader::new(keys().1.receive, STREAM)
}

fn joined(parts: impl IntoIterator<Item = Bytes>) -> Vec<u8> {
    parts.into_iter().flatten().collect()
}

/// What a writer puts on the stream for these messages.
fn written(mut writer: TokenWriter, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for message in messages {
        out.extend(joined(writer.push(Bytes::from(message.clone()))));
    }
    out.extend(joined(writer.finish()));
    out
}

fn by_message(messages: &[Vec<u8>]) -> Vec<u8> {
    written(TokenWriter::by_message(keys().0.send, STREAM), messages)
}

/// Gives `stream` to a reader in pieces of `step` bytes.
fn read(stream: &[u8], step: usize) -> (Vec<u8>, Result<(), TokenFault>) {
    let (mut reader, mut out) = (reader(), Vec::new());
    for piece in stream.chunks(step) {
        match reader.push(Bytes::copy_from_slice(piece)) {
            Ok(verified) => out.extend(joined(verified)),
            Err(fault) => return (out, Err(fault)),
        }
    }
    (out, reader.finish())
}

proptest! {
    #[test]
    fn what_is_written_is_read_in_any_pieces(
        messages in vec(vec(any::<u8>(), 0..200), 0..20),
        interval in proptest::option::of(1u64..300),
        step in 1usize..400,
    ) {
        let key = keys().0.send;
        let writer = match interval {
            Some(interval) => TokenWriter::by_interval(key, STREAM, interval),
            None => TokenWriter::by_message(key, STREAM),
        };
        let stream = written(writer, &messages);
        prop_assert_eq!(read(&stream, step), (messages.concat(), Ok(())));
    }

    #[test]
    fn a_changed_stream_never_gives_wrong_bytes(
        messages in vec(vec(any::<u8>(), 1..80), 1..6),
        at in any::<prop::sample::Index>(),
        by in 1u8..,
        step in 1usize..100,
    ) {
        let mut stream = by_message(&messages);
        let at = at.index(stream.len());
        stream[at] ^= by;
        let (found, end) = read(&stream, step);
        prop_assert!(messages.concat().starts_with(&found));
        let fault = end.unwrap_err();
        prop_assert!(
            matches!(fault.code(), ConnectionCode::BadToken | ConnectionCode::Protocol)
        );
    }

    #[test]
    fn a_stream_that_ends_early_is_cut_or_whole(
        messages in vec(vec(any::<u8>(), 1..80), 1..6),
        at in any::<prop::sample::Index>(),
    ) {
        let stream = by_message(&messages);
        let (found, end) = read(&stream[..at.index(stream.len())], 7);
        prop_assert!(messages.concat().starts_with(&found));
        if let Err(fault) = end {
            prop_assert!(matches!(fault, TokenFault::Cut(_)), "{}", fault);
        }
    }

    #[test]
    fn any_bytes_are_a_fault_or_waited_for(bytes in vec(any::<u8>(), 0..300), step in 1usize..70) {
        prop_assert!(read(&bytes, step).0.is_empty());
    }
}

#[test]
fn a_token_of_another_stream_or_direction_or_connection_is_forged() {
    let (client, server) = keys();
    let message = [b"hello".to_vec()];
    let other_exporter = TokenKeys::new(&[9; 64], Role::Client);
    for writer in [
        TokenWriter::by_message(client.send, STREAM + 4),
        TokenWriter::by_message(server.send, STREAM),
        TokenWriter::by_message(other_exporter.send, STREAM),
    ] {
        let (found, end) = read(&written(writer, &message), 9);
        assert!(found.is_empty());
        assert_eq!(end, Err(TokenFault::Forged(0)));
    }
}

#[test]
fn a_token_again_is_a_replay_and_one_too_early_a_gap() {
    let one = by_message(&[b"abc".to_vec()]);
    let both = by_message(&[b"abc".to_vec(), b"def".to_vec()]);
    let replayed = TokenFault::Replayed {
        expected: 1,
        found: 0,
    };
    assert_eq!(
        read(&[one.clone(), one.clone()].concat(), 999),
        (vec![], Err(replayed)),
        "one push gives all or nothing"
    );
    let gap = TokenFault::Gap {
        expected: 0,
        found: 1,
    };
    assert_eq!(read(&both[one.len()..], 5), (vec![], Err(gap)));
    assert_eq!(gap.code(), ConnectionCode::BadToken);
}

#[test]
fn the_form_and_the_interval_hold_to_the_end() {
    let key = || keys().0.send;
    let five = written(
        TokenWriter::by_interval(key(), STREAM, 5),
        &[b"aaaaabb".to_vec()],
    );
    assert_eq!(read(&five, 3), (b"aaaaabb".to_vec(), Ok(())));
    // The same writer's third token, after a short one.
    let mut writer = TokenWriter::by_interval(key(), STREAM, 5);
    let mut stream = joined(writer.push(Bytes::from_static(b"aaaaabb")));
    stream.extend(joined(writer.finish()));
    stream.extend(joined(writer.push(Bytes::from_static(b"ccccc"))));
    let fault = TokenFault::Interval {
        sequence: 2,
        length: 5,
        interval: 5,
    };
    assert_eq!(read(&stream, 5).1, Err(fault));
    let mut messages = TokenWriter::by_message(key(), STREAM);
    let _first = messages.push(Bytes::from_static(b"x"));
    let mixed = [
        joined(TokenWriter::by_interval(key(), STREAM, 2).push(Bytes::from_static(b"aa"))),
        joined(messages.push(Bytes::from_static(b"b"))),
    ];
    assert_eq!(read(&mixed.concat(), 5).1, Err(TokenFault::Form(1)));
}

#[test]
fn a_long_message_has_several_tokens() {
    let message = vec![7; MAX_COVERED as usize + 1];
    let stream = by_message(std::slice::from_ref(&message));
    assert_eq!(read(&stream, 4096), (message, Ok(())));
}

#[test]
fn a_long_frame_where_a_token_is_due_is_refused() {
    let mut bytes = vec![0xc0, 0, 0, 0, 0xfe, 0, 0, 2, 1];
    bytes.extend([0; 17]);
    bytes.extend([0x80, 0x10, 0, 0]);
    bytes.resize(200, 0);
    let (_, end) = read(&bytes, 11);
    assert_eq!(end.unwrap_err().code(), ConnectionCode::Protocol);
}

/// Both ends of packet tokens; the first is the server's writer.
fn packets() -> (PacketWriter, PacketReader) {
    let (client, server) = keys();
    (
        PacketWriter::new(server.send),
        PacketReader::new(client.receive, Role::Server),
    )
}

#[test]
fn packets_in_any_order_are_new_once() {
    let (writer, mut reader) = packets();
    for number in [5, 3, 9, 1030, 7, 900] {
        let token = writer.token(number, b"payload");
        assert_eq!(
            reader.check(number, b"payload", Some(&token)),
            Ok(Seen::New)
        );
        assert_eq!(
            reader.check(number, b"payload", Some(&token)),
            Ok(Seen::Repeated)
        );
    }
    // Below the window of 1024.
    let token = writer.token(6, b"payload");
    assert_eq!(
        reader.check(6, b"payload", Some(&token)),
        Ok(Seen::Repeated)
    );
    assert_eq!(reader.repeated, 7);
}

#[test]
fn a_wrong_token_in_a_packet_is_a_fault_and_marks_nothing() {
    let (writer, mut reader) = packets();
    let right = writer.token(8, b"payload");
    let forged = PacketToken { tag: [0; 16] };
    let fault = reader.check(8, b"payload", Some(&forged));
    assert_eq!(fault, Err(TokenFault::Forged(8)));
    assert_eq!(
        reader.check(8, b"Payload", Some(&right)),
        Err(TokenFault::Forged(8))
    );
    let other = reader.check(9, b"payload", Some(&right));
    assert_eq!(other, Err(TokenFault::Forged(9)), "that of packet 8");
    assert_eq!(reader.check(8, b"payload", Some(&right)), Ok(Seen::New));
}

#[test]
fn a_server_may_begin_without_tokens_and_does_not_stop() {
    let (writer, mut reader) = packets();
    let with = |number| writer.token(number, b"");
    assert_eq!(reader.check(2, b"", None), Ok(Seen::New));
    assert_eq!(reader.check(4, b"", Some(&with(4))), Ok(Seen::New));
    assert_eq!(reader.check(3, b"", None), Ok(Seen::New), "overtaken");
    assert_eq!(reader.check(5, b"", None), Err(TokenFault::Missing(5)));
}

#[test]
fn a_server_has_at_most_64_packets_without_a_token() {
    let (_, mut reader) = packets();
    for number in 0..64 {
        assert_eq!(reader.check(number, b"", None), Ok(Seen::New));
    }
    assert_eq!(reader.check(64, b"", None), Err(TokenFault::Missing(64)));
}

#[test]
fn a_packet_without_a_token_after_one_shows_when_the_first_comes_late() {
    let (writer, mut reader) = packets();
    assert_eq!(reader.check(8, b"", None), Ok(Seen::New));
    let late = writer.token(7, b"");
    assert_eq!(
        reader.check(7, b"", Some(&late)),
        Err(TokenFault::Missing(8))
    );
}

#[test]
fn a_client_has_a_token_in_each_packet() {
    let mut reader = PacketReader::new(keys().1.receive, Role::Client);
    assert_eq!(reader.check(0, b"", None), Err(TokenFault::Missing(0)));
}
