//! RUSTSEC-2026-0185: a peer that sends one-byte frames with gaps between them made
//! quinn-proto before 0.11.15 remember each of them, without any bound but the
//! window; and the first fix closed connections over frames without gaps.

use quinn_proto::TransportConfig;

use crate::pair::Pair;

/// More pieces than quinn-proto keeps of one stream.
const PIECES: usize = 5000;

/// Sends one byte per packet and delivers those that `keep` chooses.
fn send_bytes(pair: &mut Pair, keep: impl Fn(usize) -> bool) {
    let stream = pair.open();
    for number in 0..PIECES {
        let written = pair.client.connection().send_stream(stream).write(b"x");
        if pair.server.lost() || written.is_err() {
            return;
        }
        pair.tick();
        for datagram in pair.client_sends() {
            if keep(number) {
                pair.server_receives(datagram);
            }
        }
    }
}

fn generous() -> TransportConfig {
    TransportConfig::default()
}

#[test]
fn a_stream_of_gaps_ends_the_connection_instead_of_filling_the_memory() {
    let mut pair = Pair::connect(generous());
    send_bytes(&mut pair, |number| number % 2 == 1);
    assert!(pair.server.lost(), "every piece is held");
    let received = pair.server.connection().stats().frame_rx.stream;
    assert!((500..2500).contains(&received), "after {received} pieces");
}

#[test]
fn small_frames_without_gaps_do_no_harm() {
    let mut pair = Pair::connect(generous());
    let stream = pair.open();
    for _ in 0..PIECES {
        pair.client
            .connection()
            .send_stream(stream)
            .write(b"x")
            .unwrap();
        pair.settle();
    }
    assert!(!pair.server.lost() && !pair.client.lost());
    let mut receive = pair.server.connection().recv_stream(stream);
    let mut chunks = receive.read(true).unwrap();
    let mut length = 0;
    while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
        length += chunk.bytes.len();
    }
    assert_eq!(length, PIECES);
}
