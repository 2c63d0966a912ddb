//! Control messages: what a control stream carries after its head.
//!
//! One message per stream, then the end of the stream. There is one so far,
//! re-authentication, by which an endpoint whose certificate was renewed proves
//! the new one on a connection that goes on:
//!
//! ```text
//! type       1 byte, 1
//! counter    8 bytes, from 1 on, higher in each message of a sender
//! scheme     2 bytes, SignatureScheme of the signature
//! leaf       2 bytes of length, then the new certificate, DER
//! signature  2 bytes of length, then the composite signature
//! ```

use bytes::{Buf, BufMut};

/// The longest certificate in bytes; a hybrid one has about 4,500.
pub const MAX_LEAF_LEN: usize = 8192;

/// The longest signature in bytes; Ed25519 with FALCON-1024 has 1,344.
pub const MAX_SIGNATURE_LEN: usize = 2048;

/// The longest control message in bytes.
pub const MAX_CONTROL_LEN: usize = 1 + 8 + 2 + 2 + MAX_LEAF_LEN + 2 + MAX_SIGNATURE_LEN;

/// The message type of [`Reauthentication`].
const REAUTHENTICATION: u8 = 1;

/// Bytes of the TLS exporter value that a re-authentication is bound to.
pub const EXPORTER_LEN: usize = 32;

/// The label of that exporter value (RFC 8446, section 7.5); its context is empty.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-STOQ-reauthentication";

/// The first bytes of what a re-authentication signs: no signature made for
/// another purpose begins so.
const SIGNED_LABEL: &[u8] = b"STOQ re-authentication v1\0";

/// Which end of the QUIC connection sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The end that dialled.
    Client,
    /// The end that was dialled.
    Server,
}

/// A new certificate, and the proof that the sender holds its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reauthentication {
    /// Higher than in the message before of the same sender and connection.
    pub counter: u64,
    /// Code point of the signature's scheme.
    pub scheme: u16,
    /// The certificate, DER.
    pub leaf: Vec<u8>,
    /// Over [`signed_content`], by the certificate's keys.
    pub signature: Vec<u8>,
}

/// Why bytes are no control message. The connection is closed with
/// [`ConnectionCode::Protocol`](crate::code::ConnectionCode::Protocol).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// A type that this version does not define.
    #[error("control message type {0} is not known")]
    Type(u8),
    /// A counter of 0.
    #[error("the counter of a re-authentication is 0; the first is 1")]
    Counter,
    /// A part that is longer than it may be, or empty.
    #[error("the {part} of a re-authentication has {length} bytes: 1 to {most} are allowed")]
    Length {
        /// Which part.
        part: &'static str,
        /// Its announced length.
        length: usize,
        /// The longest allowed.
        most: usize,
    },
    /// The stream ended within the message.
    #[error("a control message ends after {0} bytes, before it is complete")]
    Truncated(usize),
    /// Bytes follow the message.
    #[error("{0} bytes follow a control message")]
    Trailing(usize),
}

impl Reauthentication {
    /// Appends the message to `out`: at most [`MAX_CONTROL_LEN`] bytes.
    ///
    /// # Errors
    /// [`ControlError`] where a part is longer than a receiver takes.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), ControlError> {
        let leaf = length("certificate", self.leaf.len(), MAX_LEAF_LEN)?;
        let signature = length("signature", self.signature.len(), MAX_SIGNATURE_LEN)?;
        out.put_u8(REAUTHENTICATION);
        out.put_u64(self.counter);
        out.put_u16(self.scheme);
        out.put_u16(leaf);
        out.put_slice(&self.leaf);
        out.put_u16(signature);
        out.put_slice(&self.signature);
        Ok(())
    }

    /// Reads the whole message of a control stream that has ended.
    ///
    /// # Errors
    /// [`ControlError`] naming the first rule that is broken.
    pub fn decode(input: &[u8]) -> Result<Self, ControlError> {
        let short = ControlError::Truncated(input.len());
        let mut rest = input;
        let kind = rest.try_get_u8().map_err(|_| short)?;
        if kind != REAUTHENTICATION {
            return Err(ControlError::Type(kind));
        }
        let counter = rest.try_get_u64().map_err(|_| short)?;
        if counter == 0 {
            return Err(ControlError::Counter);
        }
        let scheme = rest.try_get_u16().map_err(|_| short)?;
        let message = Self {
            counter,
            scheme,
            leaf: take(&mut rest, "certificate", MAX_LEAF_LEN)?.ok_or(short)?,
            signature: take(&mut rest, "signature", MAX_SIGNATURE_LEN)?.ok_or(short)?,
        };
        match rest.len() {
            0 => Ok(message),
            more => Err(ControlError::Trailing(more)),
        }
    }
}

/// What a re-authentication signs: a label, who sends, the counter, the
/// connection (its exporter value) and the certificate (its SHA-256).
#[must_use]
pub fn signed_content(
    role: Role,
    counter: u64,
    exporter: &[u8; EXPORTER_LEN],
    leaf_hash: &[u8; 32],
) -> Vec<u8> {
    let mut content = Vec::with_capacity(SIGNED_LABEL.len() + 1 + 8 + 64);
    content.put_slice(SIGNED_LABEL);
    content.put_u8(match role {
        Role::Client => 0,
        Role::Server => 1,
    });
    content.put_u64(counter);
    content.put_slice(exporter);
    content.put_slice(leaf_hash);
    content
}

fn length(part: &'static str, length: usize, most: usize) -> Result<u16, ControlError> {
    match u16::try_from(length) {
        Ok(short) if length > 0 && length <= most => Ok(short),
        _ => Err(ControlError::Length { part, length, most }),
    }
}

/// A part with its length before it; `None` when the input ends first.
fn take(
    rest: &mut &[u8],
    part: &'static str,
    most: usize,
) -> Result<Option<Vec<u8>>, ControlError> {
    let Ok(announced) = rest.try_get_u16() else {
        return Ok(None);
    };
    let announced = usize::from(length(part, announced.into(), most)?);
    let Some((bytes, after)) = rest.split_at_checked(announced) else {
        return Ok(None);
    };
    *rest = after;
    Ok(Some(bytes.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> Reauthentication {
        Reauthentication {
            counter: 3,
            scheme: 0xfe51,
            leaf: vec![0x30; 20],
            signature: vec![7; 64],
        }
    }

    fn encoded(message: &Reauthentication) -> Vec<u8> {
        let mut bytes = Vec::new();
        message.encode(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_message_has_the_documented_bytes() {
        let message = Reauthentication {
            counter: 2,
            scheme: 0xfe52,
            leaf: vec![0xaa],
            signature: vec![0xbb, 0xcc],
        };
        assert_eq!(
            encoded(&message),
            [
                1, 0, 0, 0, 0, 0, 0, 0, 2, 0xfe, 0x52, 0, 1, 0xaa, 0, 2, 0xbb, 0xcc
            ]
        );
    }

    #[test]
    fn every_cut_of_a_message_is_reported_as_truncated() {
        let bytes = encoded(&example());
        for length in 0..bytes.len() {
            assert_eq!(
                Reauthentication::decode(&bytes[..length]),
                Err(ControlError::Truncated(length))
            );
        }
    }

    #[test]
    fn bytes_after_a_message_are_refused() {
        let mut bytes = encoded(&example());
        bytes.push(0);
        assert_eq!(
            Reauthentication::decode(&bytes),
            Err(ControlError::Trailing(1))
        );
    }

    #[test]
    fn the_longest_message_reaches_the_limit_exactly() {
        let longest = Reauthentication {
            counter: u64::MAX,
            leaf: vec![1; MAX_LEAF_LEN],
            signature: vec![2; MAX_SIGNATURE_LEN],
            ..example()
        };
        let bytes = encoded(&longest);
        assert_eq!(bytes.len(), MAX_CONTROL_LEN);
        assert_eq!(Reauthentication::decode(&bytes), Ok(longest));
    }

    #[test]
    fn a_part_beyond_its_limit_or_empty_is_refused_both_ways() {
        for (leaf, signature, part) in [
            (MAX_LEAF_LEN + 1, 64, "certificate"),
            (0, 64, "certificate"),
            (20, MAX_SIGNATURE_LEN + 1, "signature"),
            (20, 0, "signature"),
        ] {
            let message = Reauthentication {
                leaf: vec![1; leaf],
                signature: vec![2; signature],
                ..example()
            };
            let refused = message.encode(&mut Vec::new()).unwrap_err();
            assert!(refused.to_string().contains(part), "{refused}");
            let mut bytes = vec![1, 0, 0, 0, 0, 0, 0, 0, 1, 0xfe, 0x51];
            bytes.put_u16(leaf as u16);
            bytes.put_bytes(1, leaf);
            bytes.put_u16(signature as u16);
            bytes.put_bytes(2, signature);
            assert_eq!(Reauthentication::decode(&bytes), Err(refused));
        }
    }

    #[test]
    fn another_type_and_a_counter_of_zero_are_refused() {
        assert_eq!(Reauthentication::decode(&[9]), Err(ControlError::Type(9)));
        let mut bytes = encoded(&example());
        bytes[1..9].fill(0);
        assert_eq!(Reauthentication::decode(&bytes), Err(ControlError::Counter));
    }

    #[test]
    fn everything_that_is_signed_changes_the_content() {
        let content = |role, counter, exporter, leaf| {
            signed_content(role, counter, &[exporter; 32], &[leaf; 32])
        };
        let one = content(Role::Client, 1, 2, 3);
        assert_eq!(&one[..SIGNED_LABEL.len()], SIGNED_LABEL);
        assert_eq!(one.len(), SIGNED_LABEL.len() + 1 + 8 + 32 + 32);
        for other in [
            content(Role::Server, 1, 2, 3),
            content(Role::Client, 9, 2, 3),
            content(Role::Client, 1, 9, 3),
            content(Role::Client, 1, 2, 9),
        ] {
            assert_ne!(one, other);
        }
    }

    proptest! {
        #[test]
        fn encoding_round_trips(
            counter in 1u64..,
            scheme: u16,
            leaf in proptest::collection::vec(any::<u8>(), 1..600),
            signature in proptest::collection::vec(any::<u8>(), 1..200),
        ) {
            let message = Reauthentication { counter, scheme, leaf, signature };
            prop_assert_eq!(Reauthentication::decode(&encoded(&message)), Ok(message));
        }

        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes: Vec<u8>) {
            if let Ok(message) = Reauthentication::decode(&bytes) {
                prop_assert_eq!(encoded(&message), bytes);
            }
        }
    }
}
