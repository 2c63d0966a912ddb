//! Sessions through quinn-proto's public doors: two endpoints in memory.

mod handshake;
mod mesh;
mod pair;
