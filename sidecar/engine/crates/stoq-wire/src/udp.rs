//! Captured UDP (wire format, section 17): what datagrams and the stream of a flow carry.
//!
//! ```text
//! datagram   flow varint, the id of the flow's stream; the payload
//! message    length varint, up to 65527; that many bytes of payload
//! ```
//!
//! A payload goes by a datagram where it fits one, else as a message on the flow's stream, after
//! the stream's head or after nothing.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::varint;

/// Flow ids are below: a datagram that begins with more has a frame (E4).
pub const FLOWS_BELOW: u64 = 0xfe00_0000;

/// Most bytes of payload in a UDP datagram: 65535 less the header.
pub const MAX_PAYLOAD: usize = 65_527;

/// Why bytes are no captured UDP. The connection is closed with
/// [`ConnectionCode::Protocol`](crate::code::ConnectionCode::Protocol).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UdpError {
    /// A datagram ends within its flow id.
    #[error("a datagram ends within its first integer")]
    Truncated,
    /// A datagram begins with what is no flow id.
    #[error("a datagram begins with {0:#x}, which is no flow of captured UDP")]
    NoFlow(u64),
    /// A message is longer than any UDP datagram.
    #[error("a UDP message of {0} bytes; the longest has {MAX_PAYLOAD}")]
    TooLong(u64),
}

/// Bytes in front of a payload in a datagram of `flow`.
#[must_use]
pub const fn overhead(flow: u64) -> usize {
    varint::size(flow)
}

/// The datagram that carries `payload` for `flow`, which is below [`FLOWS_BELOW`].
#[must_use]
pub fn datagram(flow: u64, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(overhead(flow) + payload.len());
    varint::write(flow, &mut out);
    out.put_slice(payload);
    out.freeze()
}

/// Whether a datagram belongs to a flow, as far as its first integer says (E4).
#[must_use]
pub fn is_flow(mut datagram: &[u8]) -> bool {
    varint::read(&mut datagram).is_ok_and(|flow| flow < FLOWS_BELOW)
}

/// Flow and payload of a datagram.
///
/// # Errors
/// [`UdpError::Truncated`] or [`UdpError::NoFlow`].
pub fn split(mut datagram: Bytes) -> Result<(u64, Bytes), UdpError> {
    let flow = varint::read(&mut datagram).map_err(|_| UdpError::Truncated)?;
    if flow >= FLOWS_BELOW {
        return Err(UdpError::NoFlow(flow));
    }
    Ok((flow, datagram))
}

/// The message that carries `payload`, of at most [`MAX_PAYLOAD`] bytes.
#[must_use]
pub fn message(payload: &[u8]) -> Bytes {
    let length = payload.len() as u64;
    let mut out = BytesMut::with_capacity(varint::size(length) + payload.len());
    varint::write(length, &mut out);
    out.put_slice(payload);
    out.freeze()
}

/// Takes one message off the front of `stream`; none when more bytes are needed.
///
/// # Errors
/// [`UdpError::TooLong`] as soon as its length is known.
pub fn take(stream: &mut BytesMut) -> Result<Option<Bytes>, UdpError> {
    let mut rest = &stream[..];
    let Ok(length) = varint::read(&mut rest) else {
        return Ok(None);
    };
    if length > MAX_PAYLOAD as u64 {
        return Err(UdpError::TooLong(length));
    }
    if (rest.len() as u64) < length {
        return Ok(None);
    }
    let head = stream.len() - rest.len();
    stream.advance(head);
    Ok(Some(stream.split_to(length as usize).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_that_is_too_long_is_refused_by_its_length_alone() {
        let mut stream = BytesMut::new();
        varint::write(MAX_PAYLOAD as u64 + 1, &mut stream);
        assert_eq!(take(&mut stream), Err(UdpError::TooLong(65_528)));
    }

    #[test]
    fn what_begins_with_a_frame_is_no_captured_udp() {
        let mut datagram = BytesMut::new();
        varint::write(FLOWS_BELOW, &mut datagram);
        assert_eq!(split(datagram.freeze()), Err(UdpError::NoFlow(FLOWS_BELOW)));
        assert_eq!(split(Bytes::new()), Err(UdpError::Truncated));
    }

    proptest! {
        #[test]
        fn a_datagram_carries_flow_and_payload(
            flow in 0..FLOWS_BELOW,
            payload in proptest::collection::vec(any::<u8>(), 0..2000),
        ) {
            let made = datagram(flow, &payload);
            prop_assert_eq!(made.len(), overhead(flow) + payload.len());
            prop_assert_eq!(split(made), Ok((flow, Bytes::from(payload))));
        }

        #[test]
        fn messages_come_out_whole_however_the_stream_is_cut(
            payloads in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..300), 0..8),
            step in 1..50_usize,
        ) {
            let whole: Vec<u8> = payloads.iter().flat_map(|one| message(one)).collect();
            let (mut stream, mut found) = (BytesMut::new(), Vec::new());
            for piece in whole.chunks(step) {
                stream.extend_from_slice(piece);
                while let Some(one) = take(&mut stream).unwrap() {
                    found.push(one.to_vec());
                }
            }
            prop_assert_eq!(found, payloads);
            prop_assert!(stream.is_empty());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = split(Bytes::from(bytes.clone()));
            let _ = take(&mut BytesMut::from(&bytes[..]));
        }
    }
}
