//! STOQ movement: worker threads, sockets, relays.
//!
//! One thread per CPU, each with its own sockets, QUIC connections and relays, on
//! epoll. Decisions come from `stoq-core`; this crate moves bytes and is the only one
//! with `unsafe` code, in few places.

pub mod access_log;
mod adaptation;
mod api;
mod cid;
pub mod counters;
mod endpoints;
mod engine;
mod error;
mod forwarder;
mod log;
mod mailbox;
mod objects;
pub mod original_destination;
mod pool;
mod qlog;
mod relay;
mod settings;
mod shared;
pub mod snapshot;
mod socket;
pub mod statement;
pub mod steering;
mod stripes;
mod transport;
mod worker;
mod xsk;

/// Two connections in memory, as the tests of quinn-proto's limits have them.
#[cfg(test)]
#[path = "../tests/limits/pair.rs"]
#[allow(dead_code, reason = "those tests use all of it")]
mod pair;

pub use adaptation::{Adaptation, AdaptationChange, Standing};
pub use api::{ApiError, ApiEvent, ApiPeer, ApiPort, StreamToken};
pub use engine::{Engine, LocalPort};
pub use error::EngineError;
pub use objects::{
    MAX_LANES, MAX_SHADOWS, ObjectError, ObjectPort, ObjectShadow, ObjectTarget, ReceivedObject,
};
pub use settings::{
    AccessLogFormat, AfXdpSettings, EngineSettings, GatewaySettings, LimitSettings,
    ListenerSettings, LogLevel, MAX_WORKERS, MIN_MTU, PoolSettings, TransportSettings, UdpSettings,
};
pub use snapshot::{ConnectionInfo, SignatureInfo, Snapshot};
pub use stoq_adapt::{Mode, PolicyDocument};
