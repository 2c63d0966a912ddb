//! The reserve of a 1-RTT packet: the last bytes of its protected payload (E3).

use crate::extension::Negotiated;
use crate::frame::carrier::{Carrier, admit};
use crate::frame::token::Token;
use crate::frame::{Frame, FrameError, FrameType};
use crate::varint;

/// More bytes than a token of any form has.
const MAX_TOKEN_LEN: usize = 64;

/// Splits a protected payload: how many bytes of it are QUIC's, and the token after them.
///
/// # Errors
/// [`FrameError`] for what breaks E1 to E3.
pub fn read(payload: &[u8], agreed: &Negotiated) -> Result<(usize, Option<Token>), FrameError> {
    let (length, reserve) = (payload.len(), agreed.reserve);
    let short = FrameError::NoReserve { length, reserve };
    let before = length.checked_sub(reserve).ok_or(short)?;
    let mut rest = &payload[before..];
    let mut token = None;
    while rest.first().is_some_and(|byte| *byte != 0) {
        let found = Frame::decode(rest)?;
        let (frame, used) = found.ok_or(FrameError::Truncated(rest.len()))?;
        admit(
            frame.kind(),
            frame.form(),
            Carrier::Packet,
            agreed.extensions,
        )?;
        // The table lets in nothing but tokens.
        if let Frame::Token(found) = frame
            && token.replace(found).is_some()
        {
            return Err(FrameError::Twice("TOKEN"));
        }
        rest = &rest[used..];
    }
    match rest.iter().all(|byte| *byte == 0) {
        true => Ok((before, token)),
        false => Err(FrameError::Padding),
    }
}

/// Fills the reserve: a token if there is one, then zero bytes.
///
/// # Errors
/// [`FrameError::Full`] where the token does not fit, and [`FrameError`] for a token that is none
/// of a packet.
pub fn write(token: Option<&Token>, reserve: &mut [u8]) -> Result<(), FrameError> {
    reserve.fill(0);
    let Some(token) = token else {
        return Ok(());
    };
    let mut encoded = [0; MAX_TOKEN_LEN];
    let mut rest = &mut encoded[..];
    varint::write(FrameType::Token.as_u64(), &mut rest);
    token.write(&mut rest)?;
    let length = MAX_TOKEN_LEN - rest.len();
    let full = FrameError::Full {
        length,
        reserve: reserve.len(),
    };
    let room = reserve.get_mut(..length).ok_or(full)?;
    room.copy_from_slice(&encoded[..length]);
    Ok(())
}
