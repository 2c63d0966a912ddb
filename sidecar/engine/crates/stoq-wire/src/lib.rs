//! STOQ on the wire: bytes in, values out.
//!
//! This crate knows layouts and limits and nothing else: no carrier, no
//! connection, no clock, no randomness. `docs/wire-format.md` is the
//! specification it implements. Every decoder is total: any input yields a
//! value, "need more bytes", or an error that names what was wrong.
#![forbid(unsafe_code)]

mod address;
pub mod bare;
pub mod cid;
pub mod code;
pub mod control;
pub mod extension;
pub mod frame;
pub mod head;
pub mod packet;
pub mod parameters;
pub mod payload;
pub mod stripe;
pub mod udp;
pub mod varint;

/// The TLS application protocol (RFC 7301) that STOQ peers negotiate.
pub const ALPN: &[u8] = b"stoq/1";

/// The UDP port on which a workload's sidecar receives STOQ.
pub const STOQ_PORT: u16 = 14008;

/// The UDP port of the registry and certificate authority.
pub const CONTROL_PORT: u16 = 14012;
