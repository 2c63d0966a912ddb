//! The bits of the transport parameter `extensions` (wire format, section 11), and what two
//! endpoints have in common.

use crate::frame::token::PACKET_TOKEN_LEN;
use crate::parameters::StoqParameters;

/// TOKEN frames on streams.
pub const STREAM_TOKENS: u64 = 1;
/// TOKEN frames in packets.
pub const PACKET_TOKENS: u64 = 1 << 1;
/// SHARD frames.
pub const SHARDS: u64 = 1 << 2;
/// HOP frames.
pub const HOPS: u64 = 1 << 3;
/// SEED frames.
pub const SEEDS: u64 = 1 << 4;
/// FALCON_SIGNATURE and FALCON_KEY frames.
pub const SIGNATURES: u64 = 1 << 5;
/// Captured UDP. It has no frame: its datagrams begin with a varint below 0xfe000000 (E4).
pub const CAPTURED_UDP: u64 = 1 << 6;
/// Routes that are signed by who began them: HOP frames of form 2, and signatures of routes.
pub const SIGNED_ROUTES: u64 = 1 << 7;
/// Packets of inner connections beside their tunnels: HOP frames of forms 3 to 5.
pub const FORWARDED: u64 = 1 << 8;
/// Flows over several connections (wire format, section 19). They have streams of their own kind
/// and no frame.
pub const STRIPES: u64 = 1 << 9;

/// The bits that this crate knows.
const KNOWN: u64 = STREAM_TOKENS
    | PACKET_TOKENS
    | SHARDS
    | HOPS
    | SEEDS
    | SIGNATURES
    | CAPTURED_UDP
    | SIGNED_ROUTES
    | FORWARDED
    | STRIPES;

/// What a connection may use: the intersection of what both sides announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Negotiated {
    /// Bits that both set, of those this crate knows (P4, P5).
    pub extensions: u64,
    /// Bytes at the end of each 1-RTT packet that are not QUIC's (E3).
    pub reserve: usize,
    /// Most bytes of data in a SHARD frame to the peer; 0 for none.
    pub send_shard: u64,
    /// The same of the peer's frames.
    pub receive_shard: u64,
}

impl Negotiated {
    /// What `ours` and the peer's have in common: nothing with a plain QUIC peer (P1).
    #[must_use]
    pub fn of(ours: &StoqParameters, theirs: Option<&StoqParameters>) -> Self {
        let Some(theirs) = theirs else {
            return Self::default();
        };
        let extensions = ours.extensions & theirs.extensions & KNOWN;
        let shards = |most: u64| match extensions & SHARDS {
            0 => 0,
            _ => most,
        };
        Self {
            extensions,
            reserve: ours.packet_reserve.min(theirs.packet_reserve) as usize,
            send_shard: shards(theirs.max_shard),
            receive_shard: shards(ours.max_shard),
        }
    }

    /// Whether streams may have tokens (T2).
    #[must_use]
    pub const fn stream_tokens(&self) -> bool {
        self.extensions & STREAM_TOKENS != 0
    }

    /// Whether a flow may be one of several lanes (L1).
    #[must_use]
    pub const fn stripes(&self) -> bool {
        self.extensions & STRIPES != 0
    }

    /// Whether keys and signatures may be sent.
    #[must_use]
    pub const fn signatures(&self) -> bool {
        self.extensions & SIGNATURES != 0
    }

    /// Whether each packet has a token (T5).
    #[must_use]
    pub const fn packet_tokens(&self) -> bool {
        self.extensions & PACKET_TOKENS != 0 && self.reserve >= PACKET_TOKEN_LEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(extensions: u64, packet_reserve: u64, max_shard: u64) -> StoqParameters {
        StoqParameters {
            extensions,
            packet_reserve,
            max_shard,
            ..StoqParameters::default()
        }
    }

    #[test]
    fn a_plain_quic_peer_has_nothing_in_common() {
        let found = Negotiated::of(&endpoint(u64::MAX, 256, 9), None);
        assert_eq!(found, Negotiated::default());
    }

    #[test]
    fn bits_are_intersected_and_unknown_ones_are_passed_over() {
        let ours = endpoint(SHARDS | HOPS | 1 << 40, 64, 100);
        let theirs = endpoint(SHARDS | SEEDS | 1 << 40, 100, 7);
        let found = Negotiated::of(&ours, Some(&theirs));
        let expected = Negotiated {
            extensions: SHARDS,
            reserve: 64,
            send_shard: 7,
            receive_shard: 100,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn without_the_bit_for_shards_none_are_taken() {
        let found = Negotiated::of(&endpoint(SHARDS, 0, 5), Some(&endpoint(0, 0, 5)));
        assert_eq!((found.send_shard, found.receive_shard), (0, 0));
    }

    #[test]
    fn packet_tokens_need_the_bit_and_the_room() {
        let with = |bits, reserve| {
            let end = endpoint(bits, reserve, 0);
            Negotiated::of(&end, Some(&end)).packet_tokens()
        };
        assert!(with(PACKET_TOKENS, 25));
        assert!(!with(PACKET_TOKENS, 24));
        assert!(!with(STREAM_TOKENS, 256));
    }
}
