//! SEED: what follows is a copy of something (wire format, section 15).
//!
//! ```text
//! type     8 bytes, 0xfe000004
//! form     1 byte: 1 flow, 2 object
//! id       16 bytes
//! share    2 bytes, of ten thousand
//! primary  identity
//! ```

use super::reader::{Reader, Stop, bounded, write_identity};
use super::{FrameError, FrameType};

/// A share of 1 in the units of `share`.
pub const WHOLE: u16 = 10_000;

/// What is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SeedForm {
    /// A flow: its bytes follow.
    Flow,
    /// An object: SHARD frames follow.
    Object,
}

/// The head of a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// What is copied.
    pub form: SeedForm,
    /// The flow id or transfer of the original.
    pub id: [u8; 16],
    /// How many of ten thousand are copied.
    pub share: u16,
    /// SPIFFE id of the one whom the original is for.
    pub primary: String,
}

const NAME: &str = FrameType::Seed.name();

impl Seed {
    pub(super) const fn form(&self) -> u8 {
        match self.form {
            SeedForm::Flow => 1,
            SeedForm::Object => 2,
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        bounded(NAME, "share", self.share.into(), 1, WHOLE.into())?;
        out.push(self.form());
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&self.share.to_be_bytes());
        write_identity(NAME, &self.primary, out)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        let form = match reader.bounded_byte("form", 1, 2)? {
            1 => SeedForm::Flow,
            _ => SeedForm::Object,
        };
        let id = reader.array()?;
        let share = u16::from_be_bytes(reader.array()?);
        bounded(NAME, "share", share.into(), 1, WHOLE.into())?;
        Ok(Self {
            form,
            id,
            share,
            primary: reader.identity()?,
        })
    }
}
