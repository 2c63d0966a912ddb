//! Striped flows (wire format, section 19): what the streams of a flow's lanes carry.
//!
//! ```text
//! in the head       sent: the lane's number; received: lanes of the flow, 2 to 8
//! behind it         records, in both directions:
//! 0 data            offset varint; length varint, 1 to 65536; that many bytes
//! 1 end             size varint, bytes of the direction
//! 2 received        received varint; limit varint
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::varint;

/// Fewest lanes of a striped flow.
pub const MIN_LANES: u8 = 2;

/// Most lanes of a striped flow.
pub const MAX_LANES: u8 = 8;

/// Most bytes of data in a record.
pub const MAX_CHUNK: usize = 65_536;

/// Bytes of a direction that may be sent before the receiver has said a limit (L4).
pub const FIRST_LIMIT: u64 = 1 << 18;

/// A receiver says what has come at the latest when so many bytes were handed on since (L5).
pub const TOLD_BYTES: u64 = FIRST_LIMIT / 2;

/// Most chunks of a direction that may wait for their acknowledgement (L5).
pub const MAX_CHUNKS: usize = 1024;

const DATA: u8 = 0;
const END: u8 = 1;
const RECEIVED: u8 = 2;

/// Which lane of a flow a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    /// Its number, from 0. Lane 0 begins the flow.
    pub number: u8,
    /// Lanes that the flow may have: [`MIN_LANES`] to [`MAX_LANES`].
    pub lanes: u8,
}

/// Why bytes are no lane or no record. The flow is reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StripeError {
    /// A number of lanes out of bounds.
    #[error("a striped flow of {0} lanes; there are {MIN_LANES} to {MAX_LANES}")]
    Lanes(u64),
    /// A lane that the flow does not have.
    #[error("lane {number} of a flow whose lanes are 0 to {last}", last = .lanes - 1)]
    Number {
        /// The lane.
        number: u64,
        /// Lanes of the flow.
        lanes: u64,
    },
    /// A kind of record that this endpoint does not know.
    #[error("record kind {0} is not known; 0, 1 and 2 are")]
    Kind(u8),
    /// Data of no or too many bytes.
    #[error("a record with {0} bytes of data; it has 1 to {MAX_CHUNK}")]
    Length(u64),
    /// Data that reaches beyond the largest offset of a stream.
    #[error("a record with {length} bytes at offset {offset}, which end behind 2^62 - 1")]
    Offset {
        /// Where the data begins.
        offset: u64,
        /// Its bytes.
        length: u64,
    },
}

impl Lane {
    /// The lane `number` of a flow of `lanes`, as the offsets of a stream head say it.
    ///
    /// # Errors
    /// [`StripeError::Lanes`] or [`StripeError::Number`] for what is out of bounds.
    pub fn new(number: u64, lanes: u64) -> Result<Self, StripeError> {
        let bounds = u64::from(MIN_LANES)..=u64::from(MAX_LANES);
        if !bounds.contains(&lanes) {
            return Err(StripeError::Lanes(lanes));
        }
        if number >= lanes {
            return Err(StripeError::Number { number, lanes });
        }
        Ok(Self {
            number: number as u8,
            lanes: lanes as u8,
        })
    }
}

/// What one side says on a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Bytes of the flow, 1 to [`MAX_CHUNK`].
    Data {
        /// Where in its direction they begin.
        offset: u64,
        /// The bytes.
        data: Bytes,
    },
    /// The direction has so many bytes.
    End {
        /// Its bytes.
        size: u64,
    },
    /// What has come of the other direction.
    Received {
        /// Bytes that were handed on without gaps, and one more once the end was.
        received: u64,
        /// No data may end behind it.
        limit: u64,
    },
}

impl Record {
    /// The record in two parts, the latter the data as it is: nothing is copied.
    ///
    /// # Panics
    /// For integers above [`varint::MAX`]; callers encode their own counters.
    #[must_use]
    pub fn encode(&self) -> (Bytes, Bytes) {
        let mut out = BytesMut::with_capacity(1 + 8 + 8);
        let data = match self {
            Self::Data { offset, data } => {
                out.put_u8(DATA);
                varint::write(*offset, &mut out);
                varint::write(data.len() as u64, &mut out);
                data.clone()
            }
            Self::End { size } => {
                out.put_u8(END);
                varint::write(*size, &mut out);
                Bytes::new()
            }
            Self::Received { received, limit } => {
                out.put_u8(RECEIVED);
                varint::write(*received, &mut out);
                varint::write(*limit, &mut out);
                Bytes::new()
            }
        };
        (out.freeze(), data)
    }

    /// Takes one record off the front of `stream`; none when more bytes are needed.
    ///
    /// # Errors
    /// [`StripeError`] as soon as the bytes so far can no longer become a record: at most
    /// [`MAX_CHUNK`] bytes and 17 more are kept for one.
    pub fn take(stream: &mut BytesMut) -> Result<Option<Self>, StripeError> {
        let mut rest = &stream[..];
        let Ok(kind) = rest.try_get_u8() else {
            return Ok(None);
        };
        if kind > RECEIVED {
            return Err(StripeError::Kind(kind));
        }
        let Ok(first) = varint::read(&mut rest) else {
            return Ok(None);
        };
        let record = match kind {
            END => Self::End { size: first },
            _ => {
                let Ok(second) = varint::read(&mut rest) else {
                    return Ok(None);
                };
                if kind == DATA {
                    let head = stream.len() - rest.len();
                    return take_data(stream, head, first, second);
                }
                Self::Received {
                    received: first,
                    limit: second,
                }
            }
        };
        let used = stream.len() - rest.len();
        stream.advance(used);
        Ok(Some(record))
    }
}

/// Takes a record with data whose first `head` bytes said where it belongs.
fn take_data(
    stream: &mut BytesMut,
    head: usize,
    offset: u64,
    length: u64,
) -> Result<Option<Record>, StripeError> {
    if length == 0 || length > MAX_CHUNK as u64 {
        return Err(StripeError::Length(length));
    }
    if offset + length > varint::MAX {
        return Err(StripeError::Offset { offset, length });
    }
    let whole = head + length as usize;
    if stream.len() < whole {
        stream.reserve(whole - stream.len());
        return Ok(None);
    }
    stream.advance(head);
    let data = stream.split_to(length as usize).freeze();
    Ok(Some(Record::Data { offset, data }))
}

#[cfg(test)]
mod tests;
