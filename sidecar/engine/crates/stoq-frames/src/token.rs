//! Tokens: whether bytes are those that the peer meant (wire format, section 12).

use stoq_wire::code::ConnectionCode;
use stoq_wire::frame::FrameError;

mod key;
mod packet;
mod reader;
mod window;
mod writer;

pub use key::{TokenKey, TokenKeys};
pub use packet::{PacketReader, PacketWriter, Seen};
pub use reader::TokenReader;
pub use writer::TokenWriter;

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// What should be a token is none.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame that is no token, or of a form for another carrier.
    #[error("a {0} frame where a token is due")]
    Other(&'static str),
    /// The tag does not verify.
    #[error("the tag of token {0} does not verify")]
    Forged(u64),
    /// A sequence that was there before.
    #[error("token {found} is there again: {expected} is due")]
    Replayed {
        /// What is due.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// A sequence that is not due yet.
    #[error("token {found} came before {expected}")]
    Gap {
        /// What is due.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// Another form than that of the first token.
    #[error("token {0} is of another form than the first")]
    Form(u64),
    /// A length that breaks the interval.
    #[error("token {sequence} covers {length} bytes, the interval is {interval}")]
    Interval {
        /// Which token.
        sequence: u64,
        /// What it covers.
        length: u64,
        /// What the first one covered.
        interval: u64,
    },
    /// The stream ended before what a token covers.
    #[error("the stream ends within what token {0} covers")]
    Cut(u64),
    /// A packet without a token.
    #[error("packet {0} has no token")]
    Missing(u64),
}

impl TokenFault {
    /// What the connection is closed with.
    #[must_use]
    pub const fn code(&self) -> ConnectionCode {
        match self {
            Self::Frame(_) | Self::Other(_) => ConnectionCode::Protocol,
            _ => ConnectionCode::BadToken,
        }
    }
}
