//! STOQ movement: worker threads, sockets, relays.

pub mod access_log;
pub mod counters;
pub mod original_destination;
pub mod snapshot;
pub mod steering;
