//! STOQ decisions: identities, certificates, handshakes, FALCON.
//!
//! Nothing here does I/O. Time, randomness and bytes are arguments; the wall
//! clock is a [`clock::Clock`] handed in.
#![forbid(unsafe_code)]

pub mod authorise;
mod bounded;
pub mod cert;
pub mod clock;
pub mod falcon;
pub mod key;
pub mod profile;
mod random;
pub mod session;
pub mod spiffe;
pub mod table;
#[cfg(test)]
mod testing;
mod tickets;
pub mod tls;
pub mod udp;
