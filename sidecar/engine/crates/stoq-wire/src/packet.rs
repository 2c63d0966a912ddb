//! What one packet, datagram or stream brings: the frames of STOQ beside a payload.
//!
//! [`reserve`] is the way of a packet: it is called for each one, and allocates nothing.

use bytes::Bytes;

use crate::extension::Negotiated;
use crate::frame::carrier::{Carrier, admit};
use crate::frame::hop::Hop;
use crate::frame::key::Key;
use crate::frame::seed::Seed;
use crate::frame::shard::Shard;
use crate::frame::signature::Signature;
use crate::frame::token::Token;
use crate::frame::{Frame, FrameError};

pub mod reserve;

/// A payload, and what STOQ says of it: the form in memory of what the carriers bring.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoqPacket {
    /// In a packet, QUIC's frames. Elsewhere what follows the frames.
    pub payload: Bytes,
    /// Its integrity.
    pub token: Option<Token>,
    /// A part of a transfer.
    pub shard: Option<Shard>,
    /// A route, or a packet on one.
    pub hop: Option<Hop>,
    /// Whose copy it is.
    pub seed: Option<Seed>,
    /// Who vouches for it.
    pub signature: Option<Signature>,
    /// A key to check that with.
    pub key: Option<Key>,
}

impl StoqPacket {
    /// Reads the protected payload of a 1-RTT packet.
    ///
    /// # Errors
    /// [`FrameError`] for what breaks E1 to E3.
    pub fn from_packet(payload: &Bytes, agreed: &Negotiated) -> Result<Self, FrameError> {
        let (length, token) = reserve::read(payload, agreed)?;
        Ok(Self {
            payload: payload.slice(..length),
            token: token.map(Token::Packet),
            ..Self::default()
        })
    }

    /// Reads a datagram: one frame (E4).
    ///
    /// # Errors
    /// [`FrameError`] for what breaks E1, E2 and E4.
    pub fn from_datagram(datagram: &Bytes, agreed: &Negotiated) -> Result<Self, FrameError> {
        let found = Frame::decode_shared(datagram)?;
        let (frame, used) = found.ok_or(FrameError::Truncated(datagram.len()))?;
        if used != datagram.len() {
            return Err(FrameError::Trailing(datagram.len() - used));
        }
        check(&frame, Carrier::Datagram, agreed)?;
        let mut packet = Self::default();
        packet.put(frame);
        Ok(packet)
    }

    /// Appends the frames, in order of their code points, and the payload: what a datagram has,
    /// with one frame and no payload, or what follows the head of a stream.
    ///
    /// # Errors
    /// [`FrameError`] for a frame that may not come in `carrier`, or that a receiver would refuse.
    pub fn encode(
        &self,
        carrier: Carrier,
        agreed: &Negotiated,
        out: &mut Vec<u8>,
    ) -> Result<(), FrameError> {
        for frame in self.frames() {
            admit(frame.kind(), frame.form(), carrier, agreed.extensions)?;
            frame.encode(out)?;
        }
        out.extend_from_slice(&self.payload);
        Ok(())
    }

    /// The frames, in order of their code points.
    pub fn frames(&self) -> impl Iterator<Item = Frame> + '_ {
        [
            self.token.map(Frame::Token),
            self.shard.clone().map(Frame::Shard),
            self.hop.clone().map(Frame::Hop),
            self.seed.clone().map(Frame::Seed),
            self.signature.clone().map(Frame::Signature),
            self.key.clone().map(Frame::Key),
        ]
        .into_iter()
        .flatten()
    }

    /// Puts a frame in its place, instead of one that is there.
    pub fn put(&mut self, frame: Frame) {
        match frame {
            Frame::Token(token) => self.token = Some(token),
            Frame::Shard(shard) => self.shard = Some(shard),
            Frame::Hop(hop) => self.hop = Some(hop),
            Frame::Seed(seed) => self.seed = Some(seed),
            Frame::Signature(signature) => self.signature = Some(signature),
            Frame::Key(key) => self.key = Some(key),
        }
    }
}

/// Holds a frame that came in `carrier` against what the connection agreed on (E1, D1).
///
/// # Errors
/// [`FrameError`].
pub fn check(frame: &Frame, carrier: Carrier, agreed: &Negotiated) -> Result<(), FrameError> {
    admit(frame.kind(), frame.form(), carrier, agreed.extensions)?;
    if let Frame::Shard(shard) = frame {
        let length = shard.needs();
        if length > agreed.receive_shard {
            return Err(FrameError::Shard {
                length,
                most: agreed.receive_shard,
            });
        }
    }
    Ok(())
}
