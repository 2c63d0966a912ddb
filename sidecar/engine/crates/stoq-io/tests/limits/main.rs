//! What quinn-proto does and does not do where the driver leans on it. The reasons
//! are in docs/decisions (quinn-proto's limits); an upgrade that changes one fails here.

mod pair;
mod reassembly;
mod windows;
