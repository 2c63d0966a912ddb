//! FALCON keys and signatures from outside.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoq_core::falcon::{SigningKey, VerifyingKey};

fuzz_target!(|input: &[u8]| {
    if let Ok(key) = VerifyingKey::from_bytes(input) {
        assert_eq!(key.as_bytes(), input);
        assert!(!key.verify(b"message", input));
    }
    let _ = SigningKey::from_bytes(input);
});
