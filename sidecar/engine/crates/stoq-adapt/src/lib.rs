//! Adaptation: what a path is like, which tier that makes it, and what to send by.
//!
//! | module | decides |
//! |---|---|
//! | [`Measurement`] | what a connection has measured of its path |
//! | [`Tier`] | which of six tiers a path is in, and when that changes |
//! | [`Parameters`] | what each tier sets: one table |
//! | [`Policy`] | what the settings allow of it |
//! | [`Adapter`] | measurements, policy and time in, a change and its cause out |
//! | [`AdaptiveController`] | CUBIC, NewReno or BBRv3, changed while data is in flight |
//! | [`Pacer`] | when the driver may send next |
//!
//! No I/O, no clock, no randomness: time and seeds are arguments. Volumes are bytes, rates bytes
//! per second, unless a name says otherwise.

#![forbid(unsafe_code)]

mod adapter;
mod bbr;
mod congestion;
mod controller;
mod delivery;
mod factory;
mod filter;
mod handle;
mod looks;
mod meter;
mod pacer;
mod policy;
mod random;
mod swap;
mod tier;

pub use adapter::{Adapter, Cause, Change};
pub use congestion::{Congestion, UnknownCongestion};
pub use controller::AdaptiveController;
pub use factory::AdaptiveConfig;
pub use handle::PathHandle;
pub use looks::Looks;
pub use meter::Measurement;
pub use pacer::Pacer;
pub use policy::{Bounds, Mode, Policy, PolicyDocument, PolicyError};
pub use tier::table::Parameters;
pub use tier::{Tier, UnknownTier};
