//! Reads the fields of a frame, whether or not all of them are there yet.

use std::net::SocketAddr;

use bytes::Bytes;

use super::FrameError;
use crate::{address, varint};

/// The longest identity in bytes: a SPIFFE id (K2).
pub const MAX_IDENTITY_LEN: u64 = 2048;

/// Why reading stopped: the input is too short so far, or it is wrong.
#[derive(Debug)]
pub(super) enum Stop {
    Short,
    Wrong(FrameError),
}

impl From<FrameError> for Stop {
    fn from(error: FrameError) -> Self {
        Self::Wrong(error)
    }
}

/// A position in the input that only moves on.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// The buffer that the input is in: data is cut out of it without a copy.
    owner: Option<&'a Bytes>,
    /// Name of the frame, for errors.
    pub(super) frame: &'static str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(rest: &'a [u8], owner: Option<&'a Bytes>) -> Self {
        Self {
            rest,
            owner,
            frame: "STOQ",
        }
    }

    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Stop> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Stop::Short)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Stop::Short)?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Stop> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A byte within bounds.
    pub(super) fn bounded_byte(
        &mut self,
        field: &'static str,
        least: u8,
        most: u8,
    ) -> Result<u8, Stop> {
        let byte = self.byte()?;
        bounded(self.frame, field, byte.into(), least.into(), most.into())?;
        Ok(byte)
    }

    pub(super) fn varint(&mut self) -> Result<u64, Stop> {
        varint::read(&mut self.rest).map_err(|_| Stop::Short)
    }

    /// A varint within bounds: of a length, before what it is the length of is waited for.
    pub(super) fn bounded(
        &mut self,
        field: &'static str,
        least: u64,
        most: u64,
    ) -> Result<u64, Stop> {
        let value = self.varint()?;
        bounded(self.frame, field, value, least, most)?;
        Ok(value)
    }

    /// `length` bytes, shared with the input where that is possible.
    pub(super) fn data(&mut self, length: u64) -> Result<Bytes, Stop> {
        // Lengths were bounded by their fields, far below what an address has.
        let bytes = self.take(length as usize)?;
        Ok(self
            .owner
            .map_or_else(|| Bytes::copy_from_slice(bytes), |all| all.slice_ref(bytes)))
    }

    pub(super) fn identity(&mut self) -> Result<String, Stop> {
        let length = self.bounded("identity", 1, MAX_IDENTITY_LEN)?;
        let bytes = self.take(length as usize)?;
        check_identity(self.frame, bytes)?;
        Ok(bytes.iter().copied().map(char::from).collect())
    }

    pub(super) fn address(&mut self) -> Result<SocketAddr, Stop> {
        address::read(&mut self.rest).map_err(|stop| match stop {
            address::Stop::Short => Stop::Short,
            address::Stop::Family(family) => FrameError::Value {
                frame: self.frame,
                field: "address family",
                value: family.into(),
                least: 4,
                most: 6,
            }
            .into(),
        })
    }
}

/// Refuses a value outside its bounds.
pub(super) fn bounded(
    frame: &'static str,
    field: &'static str,
    value: u64,
    least: u64,
    most: u64,
) -> Result<(), FrameError> {
    if value < least || value > most {
        return Err(FrameError::Value {
            frame,
            field,
            value,
            least,
            most,
        });
    }
    Ok(())
}

/// Refuses what no SPIFFE id is made of.
fn check_identity(frame: &'static str, bytes: &[u8]) -> Result<(), FrameError> {
    if bytes.iter().all(u8::is_ascii_graphic) {
        return Ok(());
    }
    Err(FrameError::Identity(frame))
}

/// Appends an identity with its length.
pub(super) fn write_identity(
    frame: &'static str,
    identity: &str,
    out: &mut Vec<u8>,
) -> Result<(), FrameError> {
    let length = identity.len() as u64;
    bounded(frame, "identity", length, 1, MAX_IDENTITY_LEN)?;
    check_identity(frame, identity.as_bytes())?;
    varint::write(length, out);
    out.extend_from_slice(identity.as_bytes());
    Ok(())
}
