//! What STOQ's frames mean (`docs/wire-format.md`, sections 12 to 16 and 19).
//!
//! | module | decides |
//! |---|---|
//! | [`token`] | whether bytes are those that the peer meant |
//! | [`shard`] | how a transfer is cut, and whether it is whole |
//! | [`hop`] | whether a gateway takes a route, and where it leads next |
//! | [`seed`] | what is copied, and when a copy is given up |
//! | [`signed`] | which keys are trusted for whom, and what they signed |
//! | [`stream`] | which frames may follow each other on a stream |
//! | [`stripe`] | which bytes of a flow go on which of its lanes, and when they can be handed on |
//!
//! No I/O, no clock, no randomness: time and keys are arguments. Every store has a bound on bytes
//! and on numbers, and what is in it ends.
#![forbid(unsafe_code)]

mod budget;
pub mod hop;
pub mod seed;
pub mod shard;
pub mod signed;
pub mod stream;
pub mod stripe;
pub mod token;

use sha2::{Digest as _, Sha256};

/// SHA-256 of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
