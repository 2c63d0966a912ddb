//! The first bytes of a stream, which any peer with a certificate chooses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoq_wire::head::{MAX_HEAD_LEN, StreamHead};

fuzz_target!(|input: &[u8]| {
    match StreamHead::decode(input, true) {
        Ok(Some((head, used))) => {
            assert!(used <= input.len() && used <= MAX_HEAD_LEN);
            let mut encoded = Vec::new();
            head.encode(&mut encoded);
            let again = StreamHead::decode(&encoded, true).expect("what we write, we read");
            assert_eq!(again, Some((head, encoded.len())));
        }
        Ok(None) => assert!(
            input.len() < MAX_HEAD_LEN,
            "a full head must not ask for more"
        ),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
