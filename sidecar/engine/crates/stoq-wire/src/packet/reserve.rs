//! The reserve of a 1-RTT packet: the last bytes of its protected payload (E3).

use crate::extension::Negotiated;
use crate::frame::carrier::{Carrier, admit};
use crate::frame::token::{PACKET_TOKEN_LEN, PacketToken, Token};
use crate::frame::{Frame, FrameError};

/// Splits a protected payload: how many bytes of it are QUIC's, and the token after them.
///
/// # Errors
/// [`FrameError`] for what breaks E1 to E3.
pub fn read(
    payload: &[u8],
    agreed: &Negotiated,
) -> Result<(usize, Option<PacketToken>), FrameError> {
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
        // The table lets in nothing else.
        if let Frame::Token(Token::Packet(found)) = frame
            && token.replace(found).is_some()
        {
            return Err(FrameError::Twice("TOKEN"));
        }
        rest = &rest[used..];
    }
    // All of them, without a branch for each: packets with nothing but zeros here are the most.
    match rest.iter().fold(0, |seen, byte| seen | byte) {
        0 => Ok((before, token)),
        _ => Err(FrameError::Padding),
    }
}

/// Fills the reserve: a token if there is one, then zero bytes.
///
/// # Errors
/// [`FrameError::Full`] where the token does not fit; the reserve is zeros then.
pub fn write(token: Option<&PacketToken>, reserve: &mut [u8]) -> Result<(), FrameError> {
    reserve.fill(0);
    let Some(token) = token else {
        return Ok(());
    };
    let full = FrameError::Full {
        length: PACKET_TOKEN_LEN,
        reserve: reserve.len(),
    };
    let room = reserve.get_mut(..PACKET_TOKEN_LEN).ok_or(full)?;
    room.copy_from_slice(&token.encode());
    Ok(())
}
