//! This side's copy of `bpf/include/stoq/shared.h`. Loading an object compares both
//! ([`crate::layout`]).

use std::mem::{offset_of, size_of};

use crate::layout::Layout;
use crate::numbers::Reason;

/// Declares structures as C lays them out, and says where their members lie.
macro_rules! shared {
    ($($(#[$doc:meta])* $visible:vis struct $name:ident = $c:literal {
        $($(#[$field_doc:meta])* $field:ident: $kind:ty,)*
    })*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        $visible struct $name { $($(#[$field_doc])* pub $field: $kind,)* }

        impl $name {
            pub(crate) const LAYOUT: Layout = Layout {
                name: $c,
                size: size_of::<Self>(),
                fields: &[$((stringify!($field), offset_of!(Self, $field), size_of::<$kind>()),)*],
            };
        }

        // SAFETY: of integers and arrays of them only, without padding (a test of `layout` adds the
        // members up), so every pattern of bits is a value and every byte is initialised.
        unsafe impl aya::Pod for $name {}
    )*};
}

shared! {
    /// Packets and bytes, of one processor or of all.
    pub struct Count = "stoq_count" {
        /// Packets; a GSO packet counts as its segments where the program can see them.
        packets: u64,
        /// Bytes of the frames, headers included.
        bytes: u64,
    }

    /// Value of `guard_config`.
    pub(crate) struct GuardConfig = "stoq_guard_config" {
        source_interval_ns: u64,
        source_burst_ns: u64,
        ceiling_interval_ns: u64,
        ceiling_burst_ns: u64,
        source_bits_v4: u32,
        source_bits_v6: u32,
        listed_only: u32,
        reserved: u32,
    }

    /// Value of `guard_buckets` and `guard_ceiling`.
    pub(crate) struct Bucket = "stoq_bucket" {
        paid_until_ns: u64,
        dropped: u64,
    }

    /// Value of `strict_pods`.
    pub(crate) struct PodEntry = "stoq_pod" {
        inbound: u32,
        outbound: u32,
        flags: u32,
        reserved: u32,
    }

    /// What a [`aya::maps::LpmTrie`] of pods' networks has behind the prefix's length.
    pub(crate) struct PodNetwork = "" {
        ifindex: u32,
        direction: u32,
        address: [u8; 16],
    }

    /// Key of `strict_services`.
    pub(crate) struct ServiceKey = "stoq_service" {
        ifindex: u32,
        address: [u8; 16],
        port: u16,
        protocol: u8,
        reserved: u8,
    }

    /// Key of `strict_ports`.
    pub(crate) struct PortKey = "stoq_port" {
        ifindex: u32,
        port: u16,
        protocol: u8,
        direction: u8,
    }

    /// Key of `strict_flows`.
    pub(crate) struct FlowKey = "stoq_flow" {
        ifindex: u32,
        peer: [u8; 16],
        peer_port: u16,
        pod_port: u16,
        protocol: u8,
        opened: u8,
        reserved: u16,
    }

    /// Value of `strict_flows`.
    pub(crate) struct FlowState = "stoq_flow_state" {
        seen_ns: u64,
        reason: u32,
        reserved: u32,
    }

    /// Key of `account_peers`.
    pub(crate) struct AccountEntry = "stoq_account_key" {
        ifindex: u32,
        peer: [u8; 16],
        direction: u8,
        class: u8,
        reserved: u16,
    }

    /// Value of `account_peers`.
    pub(crate) struct AccountCount = "stoq_account" {
        packets: u64,
        payload_bytes: u64,
    }

    /// Key of `splice_pairs`.
    pub(crate) struct SpliceKey = "stoq_splice" {
        ifindex: u32,
        own: [u8; 16],
        peer: [u8; 16],
        port: u16,
        serves: u8,
        reserved: u8,
    }

    /// Value of `splice_pairs`.
    pub(crate) struct SpliceEnd = "stoq_splice_end" {
        until_ns: u64,
        ifindex: u32,
        reserved: u32,
    }
}

/// Value of `strict_counts`: by direction, then reason.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct StrictCounts {
    pub by: [Count; 2 * Reason::ALL.len()],
}

impl Default for StrictCounts {
    fn default() -> Self {
        Self {
            by: [Count::default(); 2 * Reason::ALL.len()],
        }
    }
}

// SAFETY: an array of structures that are Pod, and nothing else.
unsafe impl aya::Pod for StrictCounts {}

/// Queues that [`crate::Lent`] can have, as the map's size says.
pub(crate) const XSK_QUEUES: u32 = 32;

/// Addresses of [`Taken`].
const XSK_ADDRESSES: usize = 16;

/// Value of `xsk_taken`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub largest: u32,
    pub addresses: u32,
    pub address: [[u8; 16]; XSK_ADDRESSES],
    pub ports: [u64; 1024],
}

// SAFETY: integers and arrays of them, without padding (a test of `layout` adds the members up).
unsafe impl aya::Pod for Taken {}

const TAKEN: Layout = Layout {
    name: "stoq_xsk_taken",
    size: size_of::<Taken>(),
    fields: &[
        ("largest", offset_of!(Taken, largest), 4),
        ("addresses", offset_of!(Taken, addresses), 4),
        ("address", offset_of!(Taken, address), 16 * XSK_ADDRESSES),
        ("ports", offset_of!(Taken, ports), 8 * 1024),
    ],
};

const STRICT_COUNTS: Layout = Layout {
    name: "stoq_strict_counts",
    size: size_of::<StrictCounts>(),
    fields: &[("by", 0, size_of::<StrictCounts>())],
};

/// [`aya::maps::lpm_trie::Key`] over 16 bytes.
const NETWORK: Layout = Layout {
    name: "stoq_network",
    size: 20,
    fields: &[("prefix_bits", 0, 4), ("address", 4, 16)],
};

/// [`aya::maps::lpm_trie::Key`] over [`PodNetwork`].
const POD_NETWORK: Layout = Layout {
    name: "stoq_pod_network",
    size: 4 + PodNetwork::LAYOUT.size,
    fields: &[
        ("prefix_bits", 0, 4),
        ("ifindex", 4, 4),
        ("direction", 8, 4),
        ("address", 12, 16),
    ],
};

pub(crate) const GUARD: &[Layout] = &[Count::LAYOUT, GuardConfig::LAYOUT, Bucket::LAYOUT, NETWORK];

pub(crate) const STRICT: &[Layout] = &[
    Count::LAYOUT,
    PodEntry::LAYOUT,
    STRICT_COUNTS,
    POD_NETWORK,
    ServiceKey::LAYOUT,
    PortKey::LAYOUT,
    FlowKey::LAYOUT,
    FlowState::LAYOUT,
];

pub(crate) const ACCOUNT: &[Layout] = &[AccountEntry::LAYOUT, AccountCount::LAYOUT];

pub(crate) const REDIRECT: &[Layout] = &[TAKEN];
pub(crate) const SPLICE: &[Layout] = &[SpliceKey::LAYOUT, SpliceEnd::LAYOUT, Count::LAYOUT];
