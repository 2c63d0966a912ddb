//! Tokens on the stream of a relay (`docs/wire-format.md`, T2 to T4).

use std::collections::VecDeque;

use bytes::Bytes;
use quinn_proto::{StreamId, VarInt};
use stoq_frames::token::{TokenFault, TokenKeys, TokenReader, TokenWriter};

use super::down::Scratch;

/// Puts tokens before what an application says.
#[derive(Debug)]
pub(crate) struct Sealer {
    writer: TokenWriter,
    /// What is still to be offered to the stream.
    parts: VecDeque<Bytes>,
}

/// Takes them off what the peer's application says.
pub(crate) struct Opener {
    reader: TokenReader,
    /// Came with the stream's head, and was not looked at yet.
    first: Bytes,
    /// Whether anything has come.
    begun: bool,
}

/// Both, for one stream.
pub(crate) struct Tokens {
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
}

impl Tokens {
    /// Of a stream; the keys are the connection's.
    pub(crate) fn new(keys: &TokenKeys, stream: StreamId) -> Self {
        let number = VarInt::from(stream).into_inner();
        Self {
            sealer: Sealer {
                // One for each read: what an application says is not held back for more.
                writer: TokenWriter::by_message(keys.send.clone(), number),
                parts: VecDeque::new(),
            },
            opener: Opener {
                reader: TokenReader::new(keys.receive.clone(), number),
                first: Bytes::new(),
                begun: false,
            },
        }
    }
}

impl Sealer {
    /// The application has said this.
    pub(crate) fn push(&mut self, said: Bytes) {
        self.parts.append(&mut self.writer.push(said));
    }

    /// What goes on the stream next.
    pub(crate) fn next_part(&mut self) -> Option<Bytes> {
        self.parts.pop_front()
    }
}

impl Opener {
    /// What came along with the stream's head is looked at with what follows.
    pub(crate) fn begin(&mut self, first: Bytes) {
        self.first = first;
    }

    /// Whether anything has come, verified or not.
    pub(crate) fn begun(&self) -> bool {
        self.begun
    }

    /// Leaves of `pieces` what is verified by now, and keeps what is not; `ended` if they were the
    /// last of the stream.
    pub(crate) fn verify(&mut self, pieces: &mut Scratch, ended: bool) -> Result<(), TokenFault> {
        let first = std::mem::take(&mut self.first);
        let came = std::mem::take(pieces);
        for piece in [first].into_iter().chain(came) {
            self.begun |= !piece.is_empty();
            pieces.extend(self.reader.push(piece)?);
        }
        if ended { self.reader.finish() } else { Ok(()) }
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Opener")
    }
}
