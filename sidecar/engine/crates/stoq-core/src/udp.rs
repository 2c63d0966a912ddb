//! Captured UDP: which flow a datagram belongs to, how long a flow lives, how many there may be,
//! and the packets by which datagrams enter the pod and leave it; datagrams in frames of the link.
//!
//! Pure: time and bytes are arguments.

mod checksum;
mod flows;
pub mod frame;
mod idle;
pub mod packet;

pub use flows::{Flows, Limits, Pair, Place};
pub use idle::{Idle, Patience};
