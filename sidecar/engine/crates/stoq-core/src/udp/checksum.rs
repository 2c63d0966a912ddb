//! The Internet checksum (RFC 1071).

/// The sum of big-endian words, not folded yet. An odd byte counts as the first of a word.
///
/// Up to 64 KiB at once; sums of pieces of even length add up.
pub(super) fn sum(bytes: &[u8]) -> u64 {
    // The sum does not depend on the order of the bytes in a word (RFC 1071, 2.B), so words are read
    // as this processor has them, two at a time, and what comes out is turned round once.
    let mut pairs = bytes.chunks_exact(4);
    let mut whole = 0;
    for pair in pairs.by_ref() {
        whole += u64::from(u32::from_ne_bytes([pair[0], pair[1], pair[2], pair[3]]));
    }
    let mut last = [0; 4];
    let rest = pairs.remainder();
    last[..rest.len()].copy_from_slice(rest);
    whole += u64::from(u32::from_ne_bytes(last));
    u64::from(u16::from_be_bytes(folded(whole).to_ne_bytes()))
}

/// A sum as a word, carries added in.
pub(super) fn folded(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// What the field of a UDP header holds for `sum`: zero would say that there is no checksum (RFC 768).
pub(super) fn of_udp(sum: u64) -> u16 {
    match !folded(sum) {
        0 => 0xffff,
        checksum => checksum,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_rfc_1071_adds_up() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(folded(sum(&bytes)), 0xddf2);
    }

    proptest! {
        #[test]
        fn it_is_the_sum_of_words_one_by_one(bytes: Vec<u8>) {
            let words = bytes.chunks(2).map(|word| {
                u64::from(u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or(0)]))
            });
            prop_assert_eq!(folded(sum(&bytes)), folded(words.sum()));
        }
    }
}
