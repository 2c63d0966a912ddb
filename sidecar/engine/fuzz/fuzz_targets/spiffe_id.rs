//! SPIFFE ids from certificates and from the registry.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoq_core::spiffe::{SpiffeId, TrustDomain};

fuzz_target!(|input: &str| {
    if let Ok(id) = SpiffeId::parse(input) {
        assert_eq!(id.as_str(), input, "an id is its exact bytes");
        assert!(!input.contains('\0'));
    }
    if let Ok(domain) = TrustDomain::parse_uri(input) {
        assert_eq!(domain.uri(), input);
    }
});
