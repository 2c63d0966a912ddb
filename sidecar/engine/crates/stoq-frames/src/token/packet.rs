//! Tokens in packets (T5 to T8).

use stoq_wire::control::Role;
use stoq_wire::frame::token::PacketToken;

use super::window::Window;
use super::{TokenFault, TokenKey};

/// Packets without a token that are taken from a server, before it has the client's Finished.
const MAX_WITHOUT: u32 = 64;

/// Makes the tokens of the packets that this endpoint sends.
#[derive(Debug)]
pub struct PacketWriter {
    key: TokenKey,
}

impl PacketWriter {
    /// With the key of this endpoint's direction.
    #[must_use]
    pub const fn new(key: TokenKey) -> Self {
        Self { key }
    }

    /// The token of a packet whose payload before the reserve is `payload`.
    #[must_use]
    pub fn token(&self, packet: u64, payload: &[u8]) -> PacketToken {
        self.key.packet(packet, payload)
    }
}

/// Whether a packet was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It is new, and its token is right.
    New,
    /// It is a repetition by the network, which QUIC drops.
    Repeated,
}

/// Checks the tokens of the packets that the peer sends.
#[derive(Debug)]
pub struct PacketReader {
    key: TokenKey,
    /// Who sends.
    peer: Role,
    window: Window,
    /// The lowest packet that had a token.
    first_with: Option<u64>,
    /// The highest packet that had none.
    last_without: Option<u64>,
    without: u32,
    /// Repetitions so far.
    pub repeated: u64,
}

impl PacketReader {
    /// With the key of the peer's direction; `peer` is the peer's role.
    #[must_use]
    pub fn new(key: TokenKey, peer: Role) -> Self {
        Self {
            key,
            peer,
            window: Window::default(),
            first_with: None,
            last_without: None,
            without: 0,
            repeated: 0,
        }
    }

    /// Checks one packet, whose payload before the reserve is `payload`.
    ///
    /// # Errors
    /// [`TokenFault`]: keep it and close the connection; to QUIC the packet is all right (T8).
    pub fn check(
        &mut self,
        packet: u64,
        payload: &[u8],
        token: Option<&PacketToken>,
    ) -> Result<Seen, TokenFault> {
        if self.window.has(packet) {
            self.repeated += 1;
            return Ok(Seen::Repeated);
        }
        match token {
            Some(token) => self.verify(packet, payload, token)?,
            None => self.without(packet)?,
        }
        // T6: a server that began with tokens does not stop.
        if let (Some(first), Some(last)) = (self.first_with, self.last_without)
            && last > first
        {
            return Err(TokenFault::Missing(last));
        }
        self.window.mark(packet);
        Ok(Seen::New)
    }

    fn verify(
        &mut self,
        packet: u64,
        payload: &[u8],
        token: &PacketToken,
    ) -> Result<(), TokenFault> {
        if !self.key.is_of(packet, payload, token) {
            return Err(TokenFault::Forged(packet));
        }
        self.first_with = Some(self.first_with.map_or(packet, |first| first.min(packet)));
        Ok(())
    }

    fn without(&mut self, packet: u64) -> Result<(), TokenFault> {
        if self.peer == Role::Client || self.without == MAX_WITHOUT {
            return Err(TokenFault::Missing(packet));
        }
        self.without += 1;
        self.last_without = self.last_without.max(Some(packet));
        Ok(())
    }
}
