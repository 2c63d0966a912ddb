//! Packet protection: from rustls' keys to quinn-proto's.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use quinn_proto::crypto::{KeyPair, Keys, PacketKey};
use quinn_proto::{ConnectionId, Side};
use rustls::quic::{self, Suite, Version};

/// Initial keys, which anyone can derive (RFC 9001, section 5.2).
pub(super) fn initial(suite: &Suite, cid: ConnectionId, side: Side) -> Keys {
    let side = match side {
        Side::Client => rustls::Side::Client,
        Side::Server => rustls::Side::Server,
    };
    keys(suite.keys(&cid, side, Version::V1))
}

/// The keys of an encryption level.
pub(super) fn keys(keys: quic::Keys) -> Keys {
    Keys {
        header: KeyPair {
            local: Box::new(keys.local.header),
            remote: Box::new(keys.remote.header),
        },
        packet: packets(quic::PacketKeySet {
            local: keys.local.packet,
            remote: keys.remote.packet,
        }),
    }
}

/// The packet keys of an encryption level or a key phase.
pub(super) fn packets(keys: quic::PacketKeySet) -> KeyPair<Box<dyn PacketKey>> {
    KeyPair {
        local: Box::new(keys.local),
        remote: Box::new(keys.remote),
    }
}

/// The only QUIC version spoken (RFC 9000, section 15).
pub(super) const QUIC_V1: u32 = 1;

// RFC 9001, section 5.8.
const RETRY_KEY: [u8; 16] = [
    0xbe, 0x0c, 0x69, 0x0b, 0x9f, 0x66, 0x57, 0x5a, 0x1d, 0x76, 0x6b, 0x54, 0xe3, 0x68, 0xc8, 0x4e,
];
const RETRY_NONCE: [u8; 12] = [
    0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63, 0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb,
];

/// The Retry Integrity Tag over a Retry packet without its tag (RFC 9001,
/// section 5.8).
pub(super) fn retry_tag(original: &ConnectionId, packet: &[&[u8]]) -> [u8; 16] {
    let mut pseudo = vec![u8::try_from(original.len()).expect("at most 20 bytes")];
    pseudo.extend_from_slice(original);
    packet
        .iter()
        .for_each(|part| pseudo.extend_from_slice(part));
    let key = UnboundKey::new(&AES_128_GCM, &RETRY_KEY).expect("16 bytes are an AES-128 key");
    let tag = LessSafeKey::new(key)
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(RETRY_NONCE),
            Aad::from(pseudo),
            &mut [],
        )
        .expect("nothing is encrypted, only authenticated");
    let mut bytes = [0; 16];
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

/// Whether the last 16 bytes of `payload` are the Retry's tag. The key is
/// public, so there is nothing that comparing in constant time would hide.
pub(super) fn is_valid_retry(original: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
    payload
        .split_last_chunk()
        .is_some_and(|(token, tag)| retry_tag(original, &[header, token]) == *tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 9001, appendix A.4.
    const RETRY: [u8; 36] = [
        0xff, 0x00, 0x00, 0x00, 0x01, 0x00, 0x08, 0xf0, 0x67, 0xa5, 0x50, 0x2a, 0x42, 0x62, 0xb5,
        0x74, 0x6f, 0x6b, 0x65, 0x6e, 0x04, 0xa2, 0x65, 0xba, 0x2e, 0xff, 0x4d, 0x82, 0x90, 0x58,
        0xfb, 0x3f, 0x0f, 0x24, 0x96, 0xba,
    ];

    fn original() -> ConnectionId {
        ConnectionId::new(&[0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08])
    }

    #[test]
    fn the_retry_of_rfc_9001_is_made_and_recognised() {
        let (packet, tag) = RETRY.split_last_chunk().unwrap();
        assert_eq!(retry_tag(&original(), &[packet]), *tag);
        assert!(is_valid_retry(&original(), &RETRY[..15], &RETRY[15..]));
    }

    #[test]
    fn a_retry_that_was_changed_or_cut_is_not_valid() {
        for index in 0..RETRY.len() {
            let mut changed = RETRY;
            changed[index] ^= 1;
            assert!(!is_valid_retry(&original(), &changed[..15], &changed[15..]));
        }
        assert!(!is_valid_retry(&original(), &RETRY[..15], &RETRY[15..30]));
        let other = ConnectionId::new(&[1]);
        assert!(!is_valid_retry(&other, &RETRY[..15], &RETRY[15..]));
    }
}
