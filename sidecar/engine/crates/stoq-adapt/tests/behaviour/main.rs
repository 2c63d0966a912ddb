//! Congestion controllers on simulated paths: real quinn-proto connections, a bottleneck of given
//! rate, buffer, delay and loss, and a clock that only the simulation moves. The same seed gives
//! the same run to the byte.

mod app_limited;
mod bounds;
mod buffers;
mod datagrams;
mod fairness;
mod flow;
mod liar;
mod loss;
mod pacing;
mod plain;
mod record;
mod schedules;
mod side;
mod steady;
mod steps;
mod swaps;
mod wire;
mod world;
