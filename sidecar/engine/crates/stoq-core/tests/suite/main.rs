//! The crate through its public doors; sessions between two quinn-proto
//! endpoints in memory, with a clock that is moved by hand.

mod authority;
mod certificates;
mod forge;
mod gate;
mod handshake;
mod hostile;
mod inner;
mod mesh;
mod never_panics;
mod packets;
mod pair;
mod parameters;
mod profiles;
mod quinn_limits;
mod reauthentication;
mod refusals;
mod requests;
mod resumption;
mod sessions;
mod signed_routes;
mod strictness;
mod vectors;
mod wrapped;
