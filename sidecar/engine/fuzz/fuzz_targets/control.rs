//! The message of a control stream, which any peer with a certificate chooses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoq_wire::control::{MAX_CONTROL_LEN, Reauthentication};

fuzz_target!(|input: &[u8]| {
    match Reauthentication::decode(input) {
        Ok(message) => {
            assert!(input.len() <= MAX_CONTROL_LEN);
            let mut encoded = Vec::new();
            message
                .encode(&mut encoded)
                .expect("what we read, we write");
            assert_eq!(encoded, input);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
