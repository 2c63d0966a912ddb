//! Engines as a sidecar runs them, with real sockets, in a network namespace of
//! their own. Needs the right to make one (root, or CAP_SYS_ADMIN).

mod mesh;
mod net;
mod relay;
