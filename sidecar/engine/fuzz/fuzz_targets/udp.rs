//! Captured UDP, as a peer with a certificate sends it: a datagram, and the messages of a flow's stream.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use stoq_wire::udp::{MAX_PAYLOAD, UdpError, datagram, is_flow, message, split, take};

/// What a stream of these bytes says when it comes in pieces of `size`.
fn messages(input: &[u8], size: usize) -> (Vec<Bytes>, Option<UdpError>) {
    let (mut stream, mut found) = (BytesMut::new(), Vec::new());
    for piece in input.chunks(size) {
        stream.extend_from_slice(piece);
        loop {
            match take(&mut stream) {
                Ok(Some(payload)) => found.push(payload),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

fuzz_target!(|input: &[u8]| {
    match split(Bytes::copy_from_slice(input)) {
        Ok((flow, payload)) => {
            assert!(is_flow(input));
            let again = split(datagram(flow, &payload)).expect("what we write, we read");
            assert_eq!(again, (flow, payload));
        }
        Err(error) => assert!(!is_flow(input) && !error.to_string().is_empty()),
    }
    let whole = messages(input, input.len().max(1));
    assert_eq!(messages(input, 7), whole, "it matters how the stream was cut");
    let mut written = BytesMut::new();
    for payload in &whole.0 {
        assert!(payload.len() <= MAX_PAYLOAD);
        written.extend_from_slice(&message(payload));
    }
    assert_eq!(messages(&written, 11), (whole.0, None));
});
