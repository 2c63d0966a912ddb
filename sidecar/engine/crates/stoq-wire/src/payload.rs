//! What an endpoint says of the UDP payloads it takes: `max_udp_payload_size` (RFC 9000, 18.2).
//!
//! A connection inside another has less room than its endpoint has on the network. QUIC stacks hold
//! that parameter per endpoint; here it is set for one connection.

use bytes::BufMut;

use crate::varint;

/// Id of the parameter.
const MAX_UDP_PAYLOAD_SIZE: u64 = 0x03;

/// The least that it may be, in bytes.
pub const LEAST_PAYLOAD: u16 = 1200;

/// `block` with `max_udp_payload_size` set to `most` bytes, or to [`LEAST_PAYLOAD`] if that is more.
/// What a block that ends inside a parameter has there is left out.
#[must_use]
pub fn with_max_payload(block: &[u8], most: u16) -> Vec<u8> {
    let mut out = Vec::with_capacity(block.len() + 8);
    let mut rest = block;
    while let Some((id, whole, after)) = parameter(rest) {
        if id != MAX_UDP_PAYLOAD_SIZE {
            out.put_slice(whole);
        }
        rest = after;
    }
    let most = u64::from(most.max(LEAST_PAYLOAD));
    varint::write(MAX_UDP_PAYLOAD_SIZE, &mut out);
    varint::write(varint::size(most) as u64, &mut out);
    varint::write(most, &mut out);
    out
}

/// Id and bytes of the first parameter, and what follows it.
fn parameter(block: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let mut rest = block;
    let id = varint::read(&mut rest).ok()?;
    let length = usize::try_from(varint::read(&mut rest).ok()?).ok()?;
    let after = rest.get(length..)?;
    let (whole, after) = block.split_at(block.len() - after.len());
    Some((id, whole, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_that_parameter_changes() {
        // max_idle_timeout, max_udp_payload_size 65527, disable_active_migration
        let block = [1, 2, 0x40, 0x64, 3, 4, 0x80, 0, 0xff, 0xf7, 0x0c, 0];
        let expected = [1, 2, 0x40, 0x64, 0x0c, 0, 3, 2, 0x45, 0x46];
        assert_eq!(with_max_payload(&block, 1350), expected);
        assert_eq!(with_max_payload(&[], 7), [3, 2, 0x44, 0xb0]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(block: Vec<u8>, most: u16) {
            let made = with_max_payload(&block, most);
            prop_assert_eq!(&with_max_payload(&made, most), &made);
        }
    }
}
