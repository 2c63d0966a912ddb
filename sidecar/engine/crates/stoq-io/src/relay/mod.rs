//! Moving bytes between an application's TCP connection and a STOQ stream, or
//! another TCP connection.
//!
//! Bytes are never copied between receive and send: TCP is read into pooled memory
//! whose pieces are handed to the stream, and the stream's pieces are handed to
//! `writev`. A relay without traffic holds no buffer at all.

pub(crate) mod down;
pub(crate) mod lane;
pub(crate) mod pipe;
pub(crate) mod stream;
pub(crate) mod stripe;
pub(crate) mod tee;
pub(crate) mod tokens;
pub(crate) mod up;

use std::io;

use stoq_frames::stripe::Fault as StripeFault;
use stoq_frames::token::TokenFault;
use stoq_wire::code::StreamCode;

/// Bytes one relay moves per direction in a turn, so that one does not starve the
/// others. Some GSO batches: less would leave them half empty.
pub(crate) const TURN_BUDGET: usize = 256 * 1024;

/// Largest single read from an application.
pub(crate) const READ: usize = 64 * 1024;

/// What is known to be possible without waiting. The kernel and quinn-proto tell
/// only about changes, so it has to be remembered.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ready {
    /// The application's socket may have bytes.
    pub(crate) tcp_read: bool,
    /// The application has closed its sending side: no further edge will come, so
    /// a short read does not mean that nothing is left.
    pub(crate) tcp_end: bool,
    /// The application's socket may take bytes.
    pub(crate) tcp_write: bool,
    /// The stream may have bytes.
    pub(crate) stream_read: bool,
    /// The stream may take bytes.
    pub(crate) stream_write: bool,
}

/// How a relay's turn ended.
#[derive(Debug)]
pub(crate) enum Turn {
    /// It waits for readiness.
    Waiting,
    /// Its budget was used up; there may be more.
    More,
    /// Both directions have ended cleanly.
    Finished,
    /// It cannot go on.
    Failed(Fault),
}

/// Why a relay cannot go on.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The application's socket failed.
    Application(io::Error),
    /// The peer abandoned the stream, or asked us to.
    Peer(Option<StreamCode>),
    /// The peer's tokens do not verify: its connection is to be closed.
    Token(TokenFault),
    /// The peer's records of a striped flow are wrong: all its lanes are to be reset.
    Stripe(StripeFault),
}

/// How far one direction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    /// Bytes may follow.
    Open,
    /// The end was read and is still to be passed on.
    Ending,
    /// The end was passed on.
    Ended,
}
