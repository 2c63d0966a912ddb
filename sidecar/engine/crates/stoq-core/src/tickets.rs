//! Resumption: bounded stores of TLS 1.3 sessions, on both sides.
//!
//! A ticket is the random name of a session that the server remembers (RFC
//! 8446, section 2.2, with a database lookup key as the ticket). It is used
//! once. Resuming always repeats the key exchange (`psk_dhe_ke`), and the gate
//! decides on the remembered certificate as on a fresh one.

mod client;
mod server;

pub(crate) use client::{ClientTickets, TicketScope};
pub(crate) use server::ServerTickets;
