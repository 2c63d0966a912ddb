//! quinn-proto's cryptographic session over rustls, with our gate in it.
//!
//! quinn-proto brings a session of its own for rustls. Ours exists because it
//! must do more: put STOQ's transport parameters beside QUIC's and read the
//! peer's, run [`authorise`](crate::authorise::authorise) when a handshake is
//! over, full or resumed, and say why a peer was refused.

mod configs;
mod evidence;
mod exporter;
mod keys;
mod packets;
mod refuse;
mod tls;

pub use evidence::Evidence;
pub use packets::Packets;

pub(crate) use configs::{ClientSessions, ServerSessions};
pub(crate) use evidence::profile_of;
