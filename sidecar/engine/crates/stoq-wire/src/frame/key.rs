//! FALCON_KEY: a key that signatures will be made with, or no longer (wire format, section 16).
//!
//! ```text
//! type        8 bytes, 0xfe000006
//! form        1 byte: 0 announce, 1 rotate, 2 revoke, 3 certificate
//! old key id  32 bytes, of forms 1 and 2
//! key         varint length (897 or 1793), then the encoded key, of forms 0 and 1
//! certificate varint length (1 to 8192), then DER, of form 3
//! ```

use super::reader::{Reader, Stop, bounded};
use super::{FrameError, FrameType};
use crate::control::MAX_LEAF_LEN;
use crate::varint;

/// What happens to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// Says what a key is.
    Announce {
        /// The encoded public key.
        key: Vec<u8>,
    },
    /// Puts a key in the place of another.
    Rotate {
        /// Id of the key that is replaced.
        old: [u8; 32],
        /// The new one, encoded.
        key: Vec<u8>,
    },
    /// Takes a key back.
    Revoke {
        /// Its id.
        old: [u8; 32],
    },
    /// Says who signs what follows: a certificate has the identity and its key.
    Certificate {
        /// The certificate, DER.
        leaf: Vec<u8>,
    },
}

const NAME: &str = FrameType::Key.name();

/// Length and first byte of an encoded public key (H5).
const SHAPES: [(u64, u8); 2] = [(897, 9), (1793, 10)];

impl Key {
    pub(super) const fn form(&self) -> u8 {
        match self {
            Self::Announce { .. } => 0,
            Self::Rotate { .. } => 1,
            Self::Revoke { .. } => 2,
            Self::Certificate { .. } => 3,
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        out.push(self.form());
        match self {
            Self::Announce { key } => write_key(key, out),
            Self::Rotate { old, key } => {
                out.extend_from_slice(old);
                write_key(key, out)
            }
            Self::Revoke { old } => {
                out.extend_from_slice(old);
                Ok(())
            }
            Self::Certificate { leaf } => {
                check_leaf(leaf.len() as u64)?;
                varint::write(leaf.len() as u64, out);
                out.extend_from_slice(leaf);
                Ok(())
            }
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        Ok(match reader.bounded_byte("form", 0, 3)? {
            0 => Self::Announce {
                key: read_key(reader)?,
            },
            1 => Self::Rotate {
                old: reader.array()?,
                key: read_key(reader)?,
            },
            2 => Self::Revoke {
                old: reader.array()?,
            },
            _ => {
                let length = reader.varint()?;
                check_leaf(length)?;
                Self::Certificate {
                    leaf: reader.take(length as usize)?.to_vec(),
                }
            }
        })
    }
}

fn write_key(key: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
    check_length(key.len() as u64)?;
    check_first(key)?;
    varint::write(key.len() as u64, out);
    out.extend_from_slice(key);
    Ok(())
}

fn read_key(reader: &mut Reader<'_>) -> Result<Vec<u8>, Stop> {
    let length = reader.varint()?;
    check_length(length)?;
    let key = reader.take(length as usize)?;
    check_first(key)?;
    Ok(key.to_vec())
}

/// Certificates are no longer elsewhere, either.
fn check_leaf(length: u64) -> Result<(), FrameError> {
    bounded(NAME, "length", length, 1, MAX_LEAF_LEN as u64)
}

fn check_length(length: u64) -> Result<(), FrameError> {
    if SHAPES.iter().any(|(known, _)| *known == length) {
        return Ok(());
    }
    let (least, most) = (SHAPES[0].0, SHAPES[1].0);
    Err(FrameError::Value {
        frame: NAME,
        field: "length",
        value: length,
        least,
        most,
    })
}

/// The first byte says the degree, which the length says, too.
fn check_first(key: &[u8]) -> Result<(), FrameError> {
    let expected = if key.len() as u64 == SHAPES[0].0 {
        SHAPES[0].1
    } else {
        SHAPES[1].1
    };
    bounded(
        NAME,
        "first byte of the key",
        key[0].into(),
        expected.into(),
        expected.into(),
    )
}
