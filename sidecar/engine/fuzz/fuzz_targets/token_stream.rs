//! A stream with tokens. The keys are those of the test vectors, so that tags verify.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use stoq_frames::token::{TokenKeys, TokenReader};
use stoq_wire::control::Role;

fuzz_target!(|input: &[u8]| {
    let exporter = std::array::from_fn(|at| at as u8);
    let key = TokenKeys::new(&exporter, Role::Client).send;
    let mut reader = TokenReader::new(key, 4);
    let mut verified = 0;
    for piece in input.chunks(23) {
        match reader.push(Bytes::copy_from_slice(piece)) {
            Ok(parts) => verified += parts.iter().map(Bytes::len).sum::<usize>(),
            Err(fault) => {
                assert!(!fault.to_string().is_empty());
                return;
            }
        }
    }
    assert!(verified <= input.len());
    let _end = reader.finish();
});
