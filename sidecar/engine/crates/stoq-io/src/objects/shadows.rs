//! Copies of objects for shadows (`docs/wire-format.md`, section 15).

use std::net::SocketAddr;

use bytes::Bytes;
use stoq_core::spiffe::SpiffeId;
use stoq_frames::seed::is_copied;
use stoq_wire::frame::seed::{Seed, SeedForm, WHOLE};
use stoq_wire::frame::shard::TransferId;

use super::ObjectError;
use crate::worker::PeerKey;

/// Most shadows of an object.
pub const MAX_SHADOWS: usize = 4;

/// A peer that gets copies of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectShadow {
    /// Where it receives STOQ between workloads.
    pub remote: SocketAddr,
    /// Whom it must prove to be.
    pub expect: SpiffeId,
    /// How many of ten thousand objects are copied, at least 1; which ones follows from their
    /// transfers.
    pub share: u16,
}

/// The copy of an object, on its way to a shadow.
#[derive(Debug)]
pub(crate) struct ObjectMirror {
    pub(crate) peer: PeerKey,
    pub(crate) seed: Seed,
    pub(crate) transfer: TransferId,
    pub(crate) object: Bytes,
    pub(crate) shard_size: u64,
    /// Who signs the manifest, and that; empty: nobody.
    pub(crate) proof: Bytes,
    /// The manifest's frame.
    pub(crate) manifest: Bytes,
}

/// The object that is copied.
pub(super) struct Copied<'o> {
    pub(super) transfer: TransferId,
    pub(super) object: &'o Bytes,
    pub(super) proof: &'o Bytes,
    pub(super) manifest: &'o Bytes,
    pub(super) shard_size: u64,
    /// Whom it is for; there where there are shadows.
    pub(super) primary: Option<&'o SpiffeId>,
}

/// Whether an object for `primary` can have these.
pub(super) fn check(
    shadows: &[ObjectShadow],
    primary: Option<&SpiffeId>,
) -> Result<(), ObjectError> {
    if shadows.len() > MAX_SHADOWS {
        return Err(ObjectError::Shadows(shadows.len()));
    }
    if !shadows.is_empty() && primary.is_none() {
        return Err(ObjectError::Anybody);
    }
    match shadows
        .iter()
        .find(|shadow| shadow.share == 0 || shadow.share > WHOLE)
    {
        Some(shadow) => Err(ObjectError::Share(shadow.share)),
        None => Ok(()),
    }
}

/// The copies of an object: one for each shadow whose share it is in (M2).
pub(super) fn mirrors<'o>(
    shadows: Vec<ObjectShadow>,
    copied: &'o Copied<'o>,
) -> impl Iterator<Item = ObjectMirror> + 'o {
    let id = copied.transfer.0;
    let chosen = shadows
        .into_iter()
        .filter(move |shadow| is_copied(&id, shadow.share));
    chosen.filter_map(move |shadow| {
        Some(ObjectMirror {
            peer: PeerKey {
                address: shadow.remote,
                expect: Some(shadow.expect),
                shadow: true,
                lane: 0,
            },
            seed: Seed {
                form: SeedForm::Object,
                id,
                share: shadow.share,
                primary: copied.primary?.as_str().to_owned(),
            },
            transfer: copied.transfer,
            object: copied.object.clone(),
            shard_size: copied.shard_size,
            proof: copied.proof.clone(),
            manifest: copied.manifest.clone(),
        })
    })
}
