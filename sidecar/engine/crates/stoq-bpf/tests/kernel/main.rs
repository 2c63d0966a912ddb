//! The programs in the kernel this runs on: every object through its verifier, crafted frames through
//! every program, links on interfaces made for it.

mod account;
mod frames;
mod guard;
mod links;
mod random;
mod redirect;
mod spaces;
mod splice;
mod strict;
mod strict_modes;
