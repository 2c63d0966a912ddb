//! STOQ decisions: identities, certificates, handshakes, FALCON.
//!
//! Nothing here does I/O. Time, randomness and bytes are arguments; the wall
//! clock is a [`clock::Clock`] handed in.
#![forbid(unsafe_code)]

pub mod clock;
pub mod falcon;
pub mod key;
pub mod profile;
pub mod spiffe;
pub mod table;
