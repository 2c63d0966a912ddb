//! What frames mean, through the public doors of the crate.

mod beside;
mod hops;
mod origins;
mod seeds;
mod shards;
mod signed;
mod streams;
mod stripes;
mod tokens;
mod tunnels;
mod vectors;
