//! Variable-length integers (RFC 9000, section 16).

use bytes::{Buf, BufMut};

/// The largest value a QUIC variable-length integer can hold: 2^62 - 1.
pub const MAX: u64 = (1 << 62) - 1;

/// The input ended inside an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the input ends inside a variable-length integer")]
pub struct Truncated;

/// How many bytes [`write`] needs for `value`: 1, 2, 4 or 8.
#[must_use]
pub const fn size(value: u64) -> usize {
    match value {
        0..=0x3f => 1,
        0x40..=0x3fff => 2,
        0x4000..=0x3fff_ffff => 4,
        _ => 8,
    }
}

/// Appends `value` in its shortest form.
///
/// # Panics
/// If `value` exceeds [`MAX`]; callers encode their own constants and counters,
/// never a value a peer chose.
pub fn write(value: u64, out: &mut impl BufMut) {
    assert!(
        value <= MAX,
        "{value} does not fit a variable-length integer"
    );
    match size(value) {
        1 => out.put_u8(value as u8),
        2 => out.put_u16(0x4000 | value as u16),
        4 => out.put_u32(0x8000_0000 | value as u32),
        _ => out.put_u64(0xc000_0000_0000_0000 | value),
    }
}

/// Takes one integer off the front of `input`.
///
/// # Errors
/// [`Truncated`] when `input` holds less than the length its first byte
/// announces; nothing is consumed then beyond that point.
pub fn read(input: &mut impl Buf) -> Result<u64, Truncated> {
    if !input.has_remaining() {
        return Err(Truncated);
    }
    let first = input.chunk()[0];
    let length = 1usize << (first >> 6);
    if input.remaining() < length {
        return Err(Truncated);
    }
    Ok(match length {
        1 => u64::from(input.get_u8() & 0x3f),
        2 => u64::from(input.get_u16() & 0x3fff),
        4 => u64::from(input.get_u32() & 0x3fff_ffff),
        _ => input.get_u64() & MAX,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_rfc_9000_decode() {
        // RFC 9000, appendix A.1.
        let cases: [(&[u8], u64); 5] = [
            (
                &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c],
                151_288_809_941_952_652,
            ),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
        ];
        for (bytes, value) in cases {
            assert_eq!(read(&mut &bytes[..]), Ok(value));
        }
    }

    #[test]
    fn every_cut_of_an_integer_is_reported_as_truncated() {
        let mut bytes = Vec::new();
        write(MAX, &mut bytes);
        for length in 0..bytes.len() {
            assert_eq!(read(&mut &bytes[..length]), Err(Truncated));
        }
    }

    #[test]
    #[should_panic(expected = "does not fit")]
    fn a_value_beyond_the_maximum_is_a_programming_error() {
        write(MAX + 1, &mut Vec::new());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_in_the_announced_size(value in 0..=MAX) {
            let mut bytes = Vec::new();
            write(value, &mut bytes);
            prop_assert_eq!(bytes.len(), size(value));
            prop_assert_eq!(read(&mut &bytes[..]), Ok(value));
        }
    }
}
