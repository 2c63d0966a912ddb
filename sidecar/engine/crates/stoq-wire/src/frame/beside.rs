//! HOP frames that agree on packets beside a tunnel (wire format, section 14, G13 to G18).
//!
//! ```text
//! forward    id 16 bytes, source length 1 byte, 1 to 16 bytes, destination length 1 byte, 1 to 16 bytes
//! forwarded  id 16 bytes
//! seen       nonce 8 bytes
//! ```

use super::reader::{Reader, Stop};
use crate::bare::{BareId, NONCE_LEN};

/// The longest connection ID of an inner connection whose packets go beside a tunnel.
pub const MAX_INNER_CID: usize = 16;

/// A connection ID of an inner connection: 1 to 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InnerCid {
    length: u8,
    bytes: [u8; MAX_INNER_CID],
}

impl InnerCid {
    /// `None` when it is empty, or longer than [`MAX_INNER_CID`].
    #[must_use]
    pub fn new(cid: &[u8]) -> Option<Self> {
        let length = u8::try_from(cid.len()).ok().filter(|length| *length > 0)?;
        let mut bytes = [0; MAX_INNER_CID];
        bytes.get_mut(..cid.len())?.copy_from_slice(cid);
        Some(Self { length, bytes })
    }

    /// The connection ID.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl std::fmt::Debug for InnerCid {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = self.as_bytes().iter();
        bytes.try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// What agrees on packets beside a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// The opener of the tunnel asks for it.
    Forward {
        /// Under which the opener takes bare packets.
        id: BareId,
        /// The connection ID in packets to the opener.
        source: InnerCid,
        /// The connection ID in packets from the opener.
        destination: InnerCid,
    },
    /// The gateway does it, and takes bare packets under this.
    Forwarded(BareId),
    /// A probe with this nonce has come.
    Seen([u8; NONCE_LEN]),
}

impl Beside {
    pub(super) const fn form(&self) -> u8 {
        match self {
            Self::Forward { .. } => 3,
            Self::Forwarded(_) => 4,
            Self::Seen(_) => 5,
        }
    }

    /// Behind the form.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Forward {
                id,
                source,
                destination,
            } => {
                out.extend_from_slice(&id.0);
                for cid in [source, destination] {
                    out.push(cid.length);
                    out.extend_from_slice(cid.as_bytes());
                }
            }
            Self::Forwarded(id) => out.extend_from_slice(&id.0),
            Self::Seen(nonce) => out.extend_from_slice(nonce),
        }
    }

    pub(super) fn read(form: u8, reader: &mut Reader<'_>) -> Result<Self, Stop> {
        Ok(match form {
            3 => Self::Forward {
                id: BareId(reader.array()?),
                source: read_cid(reader)?,
                destination: read_cid(reader)?,
            },
            4 => Self::Forwarded(BareId(reader.array()?)),
            _ => Self::Seen(reader.array()?),
        })
    }
}

fn read_cid(reader: &mut Reader<'_>) -> Result<InnerCid, Stop> {
    let most = MAX_INNER_CID as u8;
    let length = reader.bounded_byte("length of a connection ID", 1, most)?;
    let mut bytes = [0; MAX_INNER_CID];
    bytes[..usize::from(length)].copy_from_slice(reader.take(length.into())?);
    Ok(InnerCid { length, bytes })
}
