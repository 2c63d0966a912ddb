//! Hops: whether a gateway takes a route, where it leads next, and what waits on it (wire format,
//! section 14).
//!
//! [`Gateway`] admits routes and is asked once for each, [`Origins`] for those that are signed;
//! [`Tunnel`] and [`Probing`] are asked for each packet, and belong to whoever moves the packets of one
//! route.

mod beside;
mod gateway;
mod origin;
mod rule;
mod tunnel;
mod used;

use std::time::Duration;

pub use beside::{Answers, Leaves, Probing};
pub use gateway::{Gateway, Next, RouteRefusal};
pub use origin::{OriginRefusal, Origins, ROUTE_LIFE, route_digest};
pub use rule::{Rule, Who, WhoError};
pub use tunnel::{Fit, Tunnel, fit};

/// The bounds of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Gateways of a route.
    pub gateways: usize,
    /// Routes at once.
    pub routes: usize,
    /// Routes of one peer at once.
    pub routes_each: usize,
    /// Bytes of a route that wait to be sent, for each direction on its own.
    pub bytes: usize,
    /// How long a route may forward nothing.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            gateways: 4,
            routes: 1024,
            routes_each: 64,
            bytes: 256 << 10,
            idle: Duration::from_secs(60),
        }
    }
}
