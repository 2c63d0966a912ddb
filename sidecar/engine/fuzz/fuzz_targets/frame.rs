//! A frame, by itself, in a datagram and in the reserve of a packet.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use stoq_wire::extension::Negotiated;
use stoq_wire::frame::{Frame, MAX_FRAME_LEN};
use stoq_wire::packet::StoqPacket;

fuzz_target!(|input: &[u8]| {
    match Frame::decode(input) {
        Ok(Some((frame, used))) => {
            assert!(used <= input.len() && used <= MAX_FRAME_LEN);
            let mut encoded = Vec::new();
            frame.encode(&mut encoded).expect("what we read, we write");
            let again = Frame::decode(&encoded).expect("what we write, we read");
            assert_eq!(again, Some((frame, encoded.len())));
        }
        Ok(None) => assert!(input.len() < MAX_FRAME_LEN),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let agreed = Negotiated {
        extensions: u64::MAX,
        reserve: input.len().min(64),
        send_shard: 1000,
        receive_shard: 1000,
    };
    let input = Bytes::copy_from_slice(input);
    if let Ok(packet) = StoqPacket::from_packet(&input, &agreed) {
        assert_eq!(packet.payload.len() + agreed.reserve, input.len());
    }
    if let Ok(packet) = StoqPacket::from_datagram(&input, &agreed) {
        assert_eq!(packet.frames().count(), 1);
    }
});
