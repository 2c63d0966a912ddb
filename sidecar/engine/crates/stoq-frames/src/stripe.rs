//! Striped flows: one TCP flow over several connections (wire format, section 19).
//!
//! | module | decides |
//! |---|---|
//! | `inflow` | when bytes that came on any lane can be handed on, and how many may come |
//! | `outflow` | what goes on which lane, and what goes again when one is lost |
//!
//! A [`Stripe`] is both directions, seen from one end. Whoever carries it says what came on a lane
//! and asks what is to go on one; the bytes of the application are handed in and out as chunks.
//! Nothing here depends on the order in which lanes bring what they carry.

mod inflow;
mod outflow;

use bytes::Bytes;
use stoq_wire::code::StreamCode;
use stoq_wire::stripe::{MAX_CHUNK, MAX_LANES, Record, StripeError};

use inflow::Inflow;
use outflow::Outflow;

/// Why a striped flow cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// What came is no lane or no record.
    #[error(transparent)]
    Record(#[from] StripeError),
    /// Data overlaps other data without being the same range.
    #[error("the data at {0} overlaps other data of the flow")]
    Overlap(u64),
    /// Data ends behind what may be sent.
    #[error("data up to {end}, where {limit} is the limit")]
    Limit {
        /// Where the data ends.
        end: u64,
        /// The limit that was told.
        limit: u64,
    },
    /// More chunks wait for their turn than a sender may have on the way.
    #[error("more than {most} chunks are on the way", most = stoq_wire::stripe::MAX_CHUNKS)]
    Chunks,
    /// The end of the direction is said to be at two places, or before what has come.
    #[error("the flow is said to end at {0}, which is not what is known of it")]
    End(u64),
    /// More is said to have come than was sent.
    #[error("{0} bytes are said to have come, which is more than was sent")]
    Received(u64),
    /// A lane ended before the flow did.
    #[error("a lane ended before the flow did")]
    Early,
    /// Lane 0 is gone, which the flow hangs on (L7).
    #[error("the connection of the first lane is gone")]
    FirstLane,
}

impl Fault {
    /// What the streams of all lanes are reset with.
    #[must_use]
    pub const fn code(&self) -> StreamCode {
        match self {
            Self::FirstLane => StreamCode::Reset,
            _ => StreamCode::BadShard,
        }
    }
}

/// A striped flow, seen from one of its ends.
#[derive(Debug)]
pub struct Stripe {
    inflow: Inflow,
    outflow: Outflow,
    /// Lanes that can carry something, a bit for each.
    live: u8,
    /// Lanes that there have been.
    known: u8,
}

impl Stripe {
    /// A flow with lane 0 alone, of which `window` bytes are kept in each direction: at least
    /// [`FIRST_LIMIT`](stoq_wire::stripe::FIRST_LIMIT), which the peer may send at once. So much may
    /// an application fall behind, and so much goes that the peer has not said to have.
    #[must_use]
    pub fn new(window: u64) -> Self {
        Self {
            inflow: Inflow::new(window),
            outflow: Outflow::new(window),
            live: 1,
            known: 1,
        }
    }

    /// Lane `number` can carry something from now on; `false` when there was such a lane already,
    /// also one that is gone (L3).
    pub fn join(&mut self, number: u8) -> bool {
        let new = number < MAX_LANES && self.known & (1 << number) == 0;
        if new {
            self.live |= 1 << number;
            self.known |= 1 << number;
        }
        new
    }

    /// Lanes that can carry something.
    #[must_use]
    pub const fn lanes(&self) -> u32 {
        self.live.count_ones()
    }

    /// Takes what came on a lane, whichever.
    ///
    /// # Errors
    /// [`Fault`]: the flow is to be reset on all lanes, with [`Fault::code`].
    pub fn take(&mut self, record: Record) -> Result<(), Fault> {
        match record {
            Record::Data { offset, data } => self.inflow.data(offset, data),
            Record::End { size } => self.inflow.end(size),
            Record::Received { received, limit } => self.outflow.received(received, limit),
        }
    }

    /// The end of a lane's stream came: the peer has everything and knows that we have (L8).
    ///
    /// # Errors
    /// [`Fault::Early`] when it can have neither.
    pub fn lane_ended(&mut self) -> Result<(), Fault> {
        if self.inflow.is_ended() && self.outflow.finish_without_word() {
            return Ok(());
        }
        Err(Fault::Early)
    }

    /// The connection of a lane is gone: what it may not have brought goes on others.
    ///
    /// # Errors
    /// [`Fault::FirstLane`] when it was lane 0, of a flow that is not over.
    pub fn lane_lost(&mut self, number: u8) -> Result<(), Fault> {
        self.live &= !(1u8.checked_shl(number.into()).unwrap_or(0));
        self.outflow.lost(number);
        self.inflow.tell_again();
        match number {
            0 if !self.is_finished() => Err(Fault::FirstLane),
            _ => Ok(()),
        }
    }

    /// What is to go on a lane that has room; none when it has to wait for the peer or for the
    /// application. No lane gets more than its share of what may be on the way at once, so that the
    /// others have something to carry and a slow one holds up no more than that.
    pub fn next(&mut self, number: u8) -> Option<Record> {
        if let Some((received, limit)) = self.inflow.report() {
            return Some(Record::Received { received, limit });
        }
        self.outflow.next(number, self.lanes())
    }

    /// Chunks that wait for a lane.
    #[must_use]
    pub fn ahead(&self) -> usize {
        self.outflow.ahead()
    }

    /// Whether something is to go on any lane that has room for it.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.inflow.is_due() || self.outflow.is_due()
    }

    /// Most bytes that the application may hand in now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.outflow.room().min(MAX_CHUNK)
    }

    /// Takes what the application says: at most [`Stripe::room`] bytes, of which none may follow the
    /// end.
    pub fn push(&mut self, data: Bytes) {
        self.outflow.push(data);
    }

    /// The application has said everything.
    pub fn finish(&mut self) {
        self.outflow.finish();
    }

    /// The next bytes for the application, in order; none while they have not come.
    pub fn pop(&mut self) -> Option<Bytes> {
        self.inflow.pop()
    }

    /// Whether the application has been handed all there is, and is to be told the end.
    #[must_use]
    pub fn at_end(&self) -> bool {
        self.inflow.at_end()
    }

    /// The application was told the end.
    pub fn end_told(&mut self) {
        self.inflow.end_told();
    }

    /// Whether the peer has said anything: then it took the flow.
    #[must_use]
    pub fn answered(&self) -> bool {
        self.inflow.begun() || self.outflow.heard()
    }

    /// Whether both directions are over, here and as far as the peer has said there; its lanes are
    /// to end once [`Stripe::next`] has nothing more for them.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.inflow.is_ended() && self.outflow.is_finished()
    }
}
