//! Why bytes are no frame.

use super::carrier::Carrier;

/// A frame that breaks a rule of the wire format. The connection is closed with
/// [`ConnectionCode::Protocol`](crate::code::ConnectionCode::Protocol) (E1 to E5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A type that this version does not define.
    #[error("frame type {0:#x} is not known")]
    Type(u64),
    /// A type in a longer form than it needs.
    #[error("frame type {0:#x} is not in its shortest form")]
    LongType(u64),
    /// A field with a value that it may not have.
    #[error("the {field} of a {frame} frame is {value}: {least} to {most} are allowed")]
    Value {
        /// The frame's name.
        frame: &'static str,
        /// Its field.
        field: &'static str,
        /// What it was.
        value: u64,
        /// The least that is allowed.
        least: u64,
        /// The most that is allowed.
        most: u64,
    },
    /// An identity with characters that no SPIFFE id has.
    #[error("an identity in a {0} frame has a byte outside 0x21 to 0x7e")]
    Identity(&'static str),
    /// Ranges that are not ascending, or touch each other.
    #[error("the ranges of a SHARD want do not ascend with room between them")]
    Ranges,
    /// A frame, or a form of it, that this carrier does not take.
    #[error("a {frame} frame of form {form} does not belong into a {carrier}")]
    Carrier {
        /// The frame's name.
        frame: &'static str,
        /// Its form.
        form: u8,
        /// Where it came.
        carrier: Carrier,
    },
    /// A frame whose extension is not in use on the connection.
    #[error("a {frame} frame of form {form}, whose extension is not in use")]
    NotInUse {
        /// The frame's name.
        frame: &'static str,
        /// Its form.
        form: u8,
    },
    /// More data than the receiver announced to take, or a manifest of such shards.
    #[error("a SHARD of {length} bytes: this endpoint takes {most}")]
    Shard {
        /// Bytes of its data, or of the manifest's shards.
        length: u64,
        /// The maximum shard.
        most: u64,
    },
    /// The carrier ended within the frame.
    #[error("a frame ends after {0} bytes, before it is complete")]
    Truncated(usize),
    /// Bytes follow the only frame of a datagram.
    #[error("{0} bytes follow the frame of a datagram")]
    Trailing(usize),
    /// A packet's payload that is shorter than the reserve.
    #[error("a packet with a payload of {length} bytes, where {reserve} are reserved")]
    NoReserve {
        /// Bytes of the payload.
        length: usize,
        /// The reserve in use.
        reserve: usize,
    },
    /// A byte that is not 0 after the frames of a reserve.
    #[error("the rest of a packet's reserve is not zero")]
    Padding,
    /// Two frames of a type in a reserve.
    #[error("two {0} frames in the reserve of a packet")]
    Twice(&'static str),
    /// Frames that do not fit into the reserve.
    #[error("{length} bytes of frames do not fit into a reserve of {reserve}")]
    Full {
        /// Bytes of the frames.
        length: usize,
        /// The reserve in use.
        reserve: usize,
    },
}
