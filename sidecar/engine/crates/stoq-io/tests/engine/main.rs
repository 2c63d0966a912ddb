//! Engines as a sidecar runs them, with real sockets, in a network namespace of
//! their own. Needs the right to make one (root, or CAP_SYS_ADMIN).

mod access;
mod adaptation;
mod api;
mod asker;
mod asking;
mod bottleneck;
mod captured;
mod drain;
mod early;
mod failover;
mod hops;
mod hops_hostile;
mod hops_signed;
mod hostile;
mod identity;
mod lossy;
mod mesh;
mod mirrors;
mod net;
mod object_mirrors;
mod objects;
mod plaintext;
mod pool;
mod qlog;
mod relay;
mod renewals;
mod resets;
mod routed;
mod signed;
mod spy;
mod stalls;
mod start;
mod tokens;
mod udp;
mod workers;
