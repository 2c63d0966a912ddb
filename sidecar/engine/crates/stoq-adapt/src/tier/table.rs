//! The one table: what makes a tier, and what it sets.
//!
//! Thresholds are ours; the sources say why they are in the right place. A path enters a tier at
//! the first number of a pair and leaves it at the second, half as bad again for round trips and
//! twice for rates and loss, so that noise of that size moves nothing.
//!
//! | tier | round trip, ms | rate, Mbit/s | loss, % | reason and source |
//! |---|---|---|---|---|
//! | DataCenter | ≤ 0.5, > 1 | ≥ 4000, < 2000 | ≤ 0.1, > 0.5 | Pingmesh (SIGCOMM 2015): half the pairs of a data centre within 0.27 ms; loss there is 1e-5 to 1e-4 |
//! | Enterprise | ≤ 4, > 6 | ≥ 800, < 400 | ≤ 0.5, > 1 | clouds place zones of a region within some ms of each other; a gigabit interface less its headers |
//! | Performance | ≤ 20, > 30 | ≥ 160, < 80 | ≤ 1, > 2 | light in fibre makes 1,000 km and back in 10 ms, routes are not straight |
//! | Standard | ≤ 80, > 120 | ≥ 20, < 10 | ≤ 2, > 4 | across a continent by the same measure; 2 % is what BBR tolerates in a probe (draft-ietf-ccwg-bbr, 2.7) |
//! | Home | ≤ 200, > 300 | ≥ 4, < 2 | ≤ 5, > 10 | between continents; the upstream of a DSL line |
//! | Slow | any | any | any | all the rest: a geostationary satellite is 600 ms away |
//!
//! What they set; the volume of a window follows from the largest product of rate and round trip
//! that the tier is meant for. Memory bounds it from above: a hostile peer can make us hold a
//! receive window, and data that leaves the processor's cache is slower.
//!
//! | | DataCenter | Enterprise | Performance | Standard | Home | Slow | reason and source |
//! |---|---|---|---|---|---|---|---|
//! | product | 25 Gbit/s × 1 ms | 10 Gbit/s × 6 ms | 4 Gbit/s × 30 ms | 1 Gbit/s × 120 ms | 200 Mbit/s × 300 ms | 25 Mbit/s × 600 ms | |
//! | congestion | cubic | cubic | bbr3 | bbr3 | bbr3 | bbr3 | near paths lose little, and what needs no timer is what the engine was measured with; longer paths have loss and deep buffers (`tests/behaviour`) |
//! | receive, send window, MB | 8, 4 | 8, 8 | 16, 16 | 16, 16 | 8, 8 | 2, 2 | the product; 8 and 4 are the engine's defaults, measured fastest within a node |
//! | GSO segments | 64 | 64 | 64 | 32 | 16 | 4 | 64 is what the kernel takes; a burst stays near 1 ms at 200, 100 and 40 Mbit/s and below (draft-ietf-ccwg-bbr, 5.6.3) |

use std::time::Duration;

use super::Tier;
use crate::congestion::Congestion;

/// What a connection is run by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Congestion controller.
    pub congestion: Congestion,
    /// Bytes the peer may send on the connection before they have been read.
    pub receive_window: u64,
    /// Bytes accepted from applications and not yet acknowledged.
    pub send_window: u64,
    /// Datagrams per kernel send at most.
    pub gso_segments: u16,
}

/// A bound to enter a tier by and one to leave it by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Threshold<T> {
    pub(super) enter: T,
    pub(super) leave: T,
}

/// What a path must be like for a tier.
#[derive(Debug, Clone, Copy)]
pub(super) struct Thresholds {
    /// Smallest round trip at most.
    pub(super) rtt: Threshold<Duration>,
    /// Delivery rate at least, bytes per second.
    pub(super) rate: Threshold<u64>,
    /// Loss at most, parts per million.
    pub(super) loss_ppm: Threshold<u32>,
}

/// A row of the tables above.
pub(super) struct Row {
    pub(super) thresholds: Thresholds,
    pub(super) parameters: Parameters,
}

const fn thresholds(rtt_us: (u64, u64), mbit: (u64, u64), loss_ppm: (u32, u32)) -> Thresholds {
    Thresholds {
        rtt: Threshold {
            enter: Duration::from_micros(rtt_us.0),
            leave: Duration::from_micros(rtt_us.1),
        },
        rate: Threshold {
            enter: mbit.0 * 125_000,
            leave: mbit.1 * 125_000,
        },
        loss_ppm: Threshold {
            enter: loss_ppm.0,
            leave: loss_ppm.1,
        },
    }
}

/// `windows` in MB.
const fn parameters(congestion: Congestion, windows: (u64, u64), gso_segments: u16) -> Parameters {
    Parameters {
        congestion,
        receive_window: windows.0 * 1_000_000,
        send_window: windows.1 * 1_000_000,
        gso_segments,
    }
}

use Congestion::{Bbr3, Cubic};

/// The table, at the index that is the tier's number.
#[rustfmt::skip]
static TABLE: [Row; 6] = [
    Row { // Slow
        thresholds: thresholds((u64::MAX, u64::MAX), (0, 0), (u32::MAX, u32::MAX)),
        parameters: parameters(Bbr3, (2, 2), 4),
    },
    Row { // Home
        thresholds: thresholds((200_000, 300_000), (4, 2), (50_000, 100_000)),
        parameters: parameters(Bbr3, (8, 8), 16),
    },
    Row { // Standard
        thresholds: thresholds((80_000, 120_000), (20, 10), (20_000, 40_000)),
        parameters: parameters(Bbr3, (16, 16), 32),
    },
    Row { // Performance
        thresholds: thresholds((20_000, 30_000), (160, 80), (10_000, 20_000)),
        parameters: parameters(Bbr3, (16, 16), 64),
    },
    Row { // Enterprise
        thresholds: thresholds((4_000, 6_000), (800, 400), (5_000, 10_000)),
        parameters: parameters(Cubic, (8, 8), 64),
    },
    Row { // DataCenter
        thresholds: thresholds((500, 1_000), (4000, 2000), (1_000, 5_000)),
        parameters: parameters(Cubic, (8, 4), 64),
    },
];

/// The row of a tier.
pub(super) fn row(tier: Tier) -> &'static Row {
    &TABLE[tier as usize]
}

impl Tier {
    /// What the tier sets, before any policy.
    pub fn parameters(self) -> Parameters {
        row(self).parameters
    }
}

#[cfg(test)]
mod tests;
