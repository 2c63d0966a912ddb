//! STOQ movement: worker threads, sockets, relays.

pub mod original_destination;
pub mod steering;
