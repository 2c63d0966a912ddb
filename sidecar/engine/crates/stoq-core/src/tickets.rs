//! Resumption: bounded stores of TLS 1.3 sessions, on both sides.
//!
//! Between workloads a ticket is the random name of a session that the server remembers (RFC
//! 8446, section 2.2, with a database lookup key as the ticket). It is used
//! once. Replicas of a control plane give tickets that hold their session instead, so that each
//! takes those of the others (`docs/decisions/0053-tickets-of-replicas.md`), and two of them: a dial that
//! reaches nobody uses one up. Resuming always repeats the key exchange (`psk_dhe_ke`), and the gate
//! decides on the remembered certificate as on a fresh one.

mod client;
mod sealed;
mod server;

pub(crate) use client::{ClientTickets, TICKETS_PER_SESSION, TicketScope};
pub(crate) use sealed::SealedTickets;
pub use sealed::TicketKey;
pub(crate) use server::ServerTickets;
