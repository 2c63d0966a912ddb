//! Which frames may follow each other on a stream of kind 3 (E5).

use bytes::{Bytes, BytesMut};
use stoq_wire::extension::Negotiated;
use stoq_wire::frame::carrier::Carrier;
use stoq_wire::frame::hop::Hop;
use stoq_wire::frame::seed::SeedForm;
use stoq_wire::frame::shard::{MAX_SHARD_LEN, MAX_SHARDS};
use stoq_wire::frame::{Frame, FrameError, MAX_FRAME_LEN};
use stoq_wire::packet::check;

/// Bytes of a SHARD frame before its data, at most.
const DATA_HEAD_LEN: u64 = MAX_FRAME_LEN as u64 - MAX_SHARD_LEN;

/// More bytes than any frame without data has: those of the longest manifest.
const MAX_MANIFEST_LEN: u64 = DATA_HEAD_LEN + 32 * MAX_SHARDS;

/// Why a connection is closed with `protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamFault {
    /// A frame that cannot be read, or may not be there.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame that does not belong to what the stream is for.
    #[error("a {0} frame does not belong to what its stream began with")]
    Misplaced(&'static str),
}

/// What a stream brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A frame.
    Frame(Frame),
    /// Bytes of a mirrored flow.
    Raw(Bytes),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Keys and signatures so far.
    Unknown,
    Transfer,
    /// Who began the route that has to follow.
    Route,
    Tunnel,
    MirroredFlow,
    MirroredObject,
}

/// Reads the frames of one direction of a stream.
///
/// Keeps what is not a whole frame yet: at most a manifest, some 128 KiB, or the maximum shard, and
/// one push.
#[derive(Debug)]
pub struct FrameReader {
    agreed: Negotiated,
    purpose: Use,
    so_far: BytesMut,
}

impl FrameReader {
    /// For a connection with what was agreed on.
    #[must_use]
    pub fn new(agreed: Negotiated) -> Self {
        Self {
            agreed,
            purpose: Use::Unknown,
            so_far: BytesMut::new(),
        }
    }

    /// For what a gateway says on a stream that this side began with a route: packets.
    #[must_use]
    pub fn of_tunnel(agreed: Negotiated) -> Self {
        Self {
            purpose: Use::Tunnel,
            ..Self::new(agreed)
        }
    }

    /// Adds what came on the stream; [`next_item`](Self::next_item) gives what is whole.
    pub fn push(&mut self, data: &[u8]) {
        self.so_far.extend_from_slice(data);
    }

    /// The next frame or bytes; `None` until more has come. Stop asking, and stop reading the
    /// stream, for as long as a frame has to wait.
    ///
    /// # Errors
    /// [`StreamFault`]: close the connection with `protocol`.
    pub fn next_item(&mut self) -> Result<Option<Item>, StreamFault> {
        if self.purpose == Use::MirroredFlow {
            let raw = self.so_far.split().freeze();
            return Ok((!raw.is_empty()).then_some(Item::Raw(raw)));
        }
        let Some((frame, used)) = Frame::decode(&self.so_far)? else {
            let (length, most) = (self.so_far.len() as u64, self.agreed.receive_shard);
            // Only data is longer than a manifest, and this is more than we said we take.
            if length > most.max(MAX_MANIFEST_LEN) + DATA_HEAD_LEN {
                return Err(FrameError::Shard { length, most }.into());
            }
            return Ok(None);
        };
        check(&frame, Carrier::Stream, &self.agreed)?;
        self.place(&frame)?;
        let _read = self.so_far.split_to(used);
        Ok(Some(Item::Frame(frame)))
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] inside a frame.
    pub fn finish(&self) -> Result<(), StreamFault> {
        match self.so_far.len() {
            0 => Ok(()),
            more => Err(FrameError::Truncated(more).into()),
        }
    }

    fn place(&mut self, frame: &Frame) -> Result<(), StreamFault> {
        self.purpose = match (self.purpose, frame) {
            (before, Frame::Signature(_) | Frame::Key(_)) => before,
            (Use::Unknown | Use::Transfer, Frame::Shard(_)) => Use::Transfer,
            (Use::MirroredObject, Frame::Shard(_)) => Use::MirroredObject,
            (Use::Unknown, Frame::Hop(Hop::Origin(_))) => Use::Route,
            (Use::Unknown | Use::Route, Frame::Hop(Hop::Open(_)))
            | (Use::Tunnel, Frame::Hop(Hop::Packet { .. } | Hop::Beside(_))) => Use::Tunnel,
            (Use::Unknown, Frame::Seed(seed)) => match seed.form {
                SeedForm::Flow => Use::MirroredFlow,
                SeedForm::Object => Use::MirroredObject,
            },
            _ => return Err(StreamFault::Misplaced(frame.kind().name())),
        };
        Ok(())
    }
}
