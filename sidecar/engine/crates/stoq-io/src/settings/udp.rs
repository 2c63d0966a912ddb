//! What captured UDP takes, and how long and how many flows it may have.

use std::os::fd::RawFd;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stoq_core::udp::{Limits, Patience};

/// Captured UDP. The engine owns all descriptors from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UdpSettings {
    /// Transparent sockets at which datagrams arrive, one per worker, which tell their destination.
    pub capture: Vec<RawFd>,
    /// Raw IPv6 and IPv4 sockets bound to the loopback device: what enters the pod.
    pub inject: Vec<RawFd>,
    /// The same, not bound to a device: what leaves the pod for destinations outside the mesh.
    pub emit: Vec<RawFd>,
    /// A flow that is silent for so long has ended.
    #[serde(default = "idle_ms")]
    pub idle_ms: u32,
    /// The same, for one that nobody has answered; never longer than `idle_ms`.
    #[serde(default = "unanswered_ms")]
    pub unanswered_ms: u32,
    /// Flows per worker; the datagrams of further ones are dropped.
    #[serde(default = "udp_flows")]
    pub flows: u32,
    /// Of those, flows with one address.
    #[serde(default = "udp_flows_per_peer")]
    pub flows_per_peer: u32,
}

fn idle_ms() -> u32 {
    60_000
}

fn unanswered_ms() -> u32 {
    30_000
}

fn udp_flows() -> u32 {
    16_384
}

fn udp_flows_per_peer() -> u32 {
    2048
}

impl UdpSettings {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            flows: self.flows as usize,
            per_peer: self.flows_per_peer as usize,
        }
    }

    pub(crate) fn patience(&self) -> Patience {
        Patience {
            answered: Duration::from_millis(self.idle_ms.into()),
            // A flow's timer is set when it begins, and only ever found to be early.
            unanswered: Duration::from_millis(self.unanswered_ms.min(self.idle_ms).into()),
        }
    }
}
