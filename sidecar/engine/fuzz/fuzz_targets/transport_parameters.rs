//! The transport parameters, which a peer sends before it has proven who it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoq_wire::parameters::StoqParameters;

fuzz_target!(|input: &[u8]| {
    if let Ok(Some(parameters)) = StoqParameters::find(input) {
        let mut encoded = Vec::new();
        parameters.append_to(&mut encoded);
        assert_eq!(StoqParameters::find(&encoded), Ok(Some(parameters)));
    }
});
