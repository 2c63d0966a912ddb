//! Packets beside tunnels and their probes, as anybody may send them, before any authentication; and the
//! connection IDs of what comes in a tunnel.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoq_wire::bare::{BEHIND_ID, Bare, PROBE_LEN, behind, is_short, long_ids, probe, read};
use stoq_wire::frame::beside::InnerCid;

fuzz_target!(|input: &[u8]| {
    match read(input) {
        Some((id, Bare::Probe(nonce))) => {
            // The first byte is the sender's choice among those of short headers (G15).
            assert_eq!(probe(id, nonce)[1..], input[1..]);
        }
        Some((id, Bare::Packet { first, rest })) => {
            assert!(input.len() > PROBE_LEN && rest == &input[BEHIND_ID..]);
            let id = InnerCid::new(&id.0).expect("an id is as long as the longest connection ID");
            assert_eq!((first, Some(rest)), (input[0], behind(input, &id)));
        }
        None => assert!(input.len() < PROBE_LEN || !is_short(input)),
    }
    if let Some((destination, source)) = long_ids(input) {
        assert!(!is_short(input));
        let ids = destination.as_bytes().len() + source.as_bytes().len();
        assert!(input.len() >= 7 + ids && input[6..].starts_with(destination.as_bytes()));
    }
});
