//! Flow control as the driver uses it.

use quinn_proto::{Dir, TransportConfig, VarInt, WriteError};

use crate::pair::Pair;

const STREAM: u32 = 20_000;
const CONNECTION: u32 = 50_000;

fn narrow() -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .stream_receive_window(VarInt::from_u32(STREAM))
        .receive_window(VarInt::from_u32(CONNECTION))
        .max_concurrent_bidi_streams(VarInt::from_u32(4));
    config
}

/// Writes until the client is blocked, and delivers it.
fn fill(pair: &mut Pair, stream: quinn_proto::StreamId) -> usize {
    let mut total = 0;
    loop {
        match pair
            .client
            .connection()
            .send_stream(stream)
            .write(&[1; 1000])
        {
            Ok(written) => total += written,
            Err(WriteError::Blocked) => {
                pair.settle();
                return total;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_partial_write_is_no_sign_of_blocking_only_blocked_is() {
    let mut pair = Pair::connect(narrow());
    let stream = pair.open();
    let mut send = pair.client.connection().send_stream(stream);
    assert_eq!(send.write(&[1; 30_000]).unwrap(), STREAM as usize);
    assert_eq!(send.write(&[1]), Err(WriteError::Blocked));
}

#[test]
fn stalled_streams_exhaust_the_connections_window_until_it_grows_live() {
    let mut pair = Pair::connect(narrow());
    let streams: Vec<_> = (0..4).map(|_| pair.open()).collect();
    let filled: usize = streams[..3].iter().map(|s| fill(&mut pair, *s)).sum();
    assert_eq!(filled, CONNECTION as usize);
    assert_eq!(fill(&mut pair, streams[3]), 0);
    let window = VarInt::from_u32(CONNECTION + STREAM);
    pair.server.connection().set_receive_window(window);
    pair.settle();
    assert_eq!(fill(&mut pair, streams[3]), STREAM as usize);
}

#[test]
fn the_number_of_streams_grows_live_and_the_stream_window_does_not() {
    let mut pair = Pair::connect(narrow());
    for _ in 0..4 {
        let stream = pair.open();
        fill(&mut pair, stream);
    }
    assert!(pair.client.connection().streams().open(Dir::Bi).is_none());
    let count = VarInt::from_u32(8);
    pair.server
        .connection()
        .set_max_concurrent_streams(Dir::Bi, count);
    pair.settle();
    let window = VarInt::from_u32(1_000_000);
    pair.server.connection().set_receive_window(window);
    pair.settle();
    // There is no setter for it: a later stream has the window of the first.
    let later = pair.open();
    assert_eq!(fill(&mut pair, later), STREAM as usize);
}

#[test]
fn a_receive_window_that_shrinks_and_grows_again_is_granted_twice() {
    let mut pair = Pair::connect(narrow());
    for window in [STREAM, CONNECTION] {
        let window = VarInt::from_u32(window);
        pair.server.connection().set_receive_window(window);
        pair.settle();
    }
    let streams: Vec<_> = (0..4).map(|_| pair.open()).collect();
    let filled: usize = streams.iter().map(|s| fill(&mut pair, *s)).sum();
    assert_eq!(filled, (CONNECTION + CONNECTION - STREAM) as usize);
}

#[test]
fn one_transmit_fills_as_many_segments_as_it_is_allowed() {
    let mut pair = Pair::connect(TransportConfig::default());
    let stream = pair.open();
    pair.client
        .connection()
        .send_stream(stream)
        .write(&vec![1; 60_000])
        .unwrap();
    let mut buffer = Vec::new();
    let transmit = pair.client_transmit(8, &mut buffer).unwrap();
    let segment = transmit.segment_size.unwrap();
    assert_eq!(transmit.size.div_ceil(segment), 8);
}
