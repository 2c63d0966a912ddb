//! The steering of datagrams, which anybody can send.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoq_wire::cid::{ConnectionIdLayout, worker_of};
use stoq_wire::varint;

fuzz_target!(|input: &[u8]| {
    let _ = worker_of(input);
    if let Some(layout) = ConnectionIdLayout::decode(input) {
        assert_eq!(layout.encode(), input);
    }
    let mut rest = input;
    if let Ok(value) = varint::read(&mut rest) {
        assert!(value <= varint::MAX);
        let mut encoded = Vec::new();
        varint::write(value, &mut encoded);
        assert!(encoded.len() <= input.len() - rest.len());
    }
});
