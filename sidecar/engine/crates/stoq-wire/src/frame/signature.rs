//! FALCON_SIGNATURE: who vouches for something that outlives a connection (wire format, section 16).
//!
//! ```text
//! type       8 bytes, 0xfe000005
//! subject    1 byte: 1 manifest, 2 route, 3 record snapshot, 4 key
//! key id     32 bytes, SHA-256 of the encoded public key
//! until      varint, Unix seconds
//! digest     32 bytes, SHA-256 of what is signed
//! signature  varint length (666 or 1280), then FALCON, padded
//! ```

use super::reader::{Reader, Stop, bounded};
use super::{FrameError, FrameType};
use crate::varint;

/// The first bytes of what is signed.
const LABEL: &[u8; 24] = b"STOQ frame signature v1\0";

/// Bytes of what is signed.
pub const SIGNED_LEN: usize = LABEL.len() + 1 + 8 + 32;

/// What a signature covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// The manifest of an object.
    Manifest,
    /// A route, at its beginning.
    Route,
    /// What the registry says of the records.
    Snapshot,
    /// A FALCON_KEY frame.
    Key,
}

impl Subject {
    /// The value on the wire.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        match self {
            Self::Manifest => 1,
            Self::Route => 2,
            Self::Snapshot => 3,
            Self::Key => 4,
        }
    }
}

/// A signature, and what it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// What kind of thing is signed.
    pub subject: Subject,
    /// SHA-256 of the encoded public key.
    pub key_id: [u8; 32],
    /// When it ends, Unix seconds.
    pub until: u64,
    /// SHA-256 of what is signed.
    pub digest: [u8; 32],
    /// FALCON, padded.
    pub signature: Vec<u8>,
}

const NAME: &str = FrameType::Signature.name();

/// Length and first byte of a padded signature, by the degree's logarithm (H5).
const SHAPES: [(u64, u8); 2] = [(666, 0x39), (1280, 0x3a)];

impl Signature {
    /// What the key signs.
    #[must_use]
    pub fn signed_content(&self) -> [u8; SIGNED_LEN] {
        let mut content = [0; SIGNED_LEN];
        content[..24].copy_from_slice(LABEL);
        content[24] = self.subject.as_u8();
        content[25..33].copy_from_slice(&self.until.to_be_bytes());
        content[33..].copy_from_slice(&self.digest);
        content
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        bounded(NAME, "until", self.until, 0, varint::MAX)?;
        let length = self.signature.len() as u64;
        let first = first_byte(length)?;
        check_first(first, self.signature[0])?;
        out.push(self.subject.as_u8());
        out.extend_from_slice(&self.key_id);
        varint::write(self.until, out);
        out.extend_from_slice(&self.digest);
        varint::write(length, out);
        out.extend_from_slice(&self.signature);
        Ok(())
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        let subject = match reader.bounded_byte("subject", 1, 4)? {
            1 => Subject::Manifest,
            2 => Subject::Route,
            3 => Subject::Snapshot,
            _ => Subject::Key,
        };
        let key_id = reader.array()?;
        let until = reader.varint()?;
        let digest = reader.array()?;
        let length = reader.varint()?;
        let first = first_byte(length)?;
        let signature = reader.take(length as usize)?.to_vec();
        check_first(first, signature[0])?;
        Ok(Self {
            subject,
            key_id,
            until,
            digest,
            signature,
        })
    }
}

fn first_byte(length: u64) -> Result<u8, FrameError> {
    let found = SHAPES.iter().find(|(known, _)| *known == length);
    found.map(|(_, first)| *first).ok_or(FrameError::Value {
        frame: NAME,
        field: "length",
        value: length,
        least: SHAPES[0].0,
        most: SHAPES[1].0,
    })
}

fn check_first(expected: u8, found: u8) -> Result<(), FrameError> {
    bounded(
        NAME,
        "first byte of the signature",
        found.into(),
        expected.into(),
        expected.into(),
    )
}
