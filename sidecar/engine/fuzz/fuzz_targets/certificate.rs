//! Certificates and signing requests, which arrive before anything is proven.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoq_core::cert::csr::Csr;
use stoq_core::cert::{Leaf, RootCertificate};

fuzz_target!(|input: &[u8]| {
    if let Ok(leaf) = Leaf::parse(input) {
        assert!(leaf.not_before <= leaf.not_after);
    }
    let _ = RootCertificate::parse(input);
    let _ = Csr::parse_and_verify(input);
});
