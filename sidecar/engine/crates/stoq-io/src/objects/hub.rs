//! The transfers that come to this engine, and the objects that wait for the caller.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use stoq_core::spiffe::SpiffeId;
use stoq_frames::shard::{Limits, Outcome, Refusal, Store};
use stoq_wire::code::StreamCode;
use stoq_wire::frame::shard::{Range, Shard, ShardBody, TransferId};

use super::held::{Answer, Held};
use super::inbox::Inbox;
use super::{Proof, ReceivedObject};
use crate::api::StreamToken;

/// What became of a shard or a manifest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was taken; of a manifest: the transfer has begun.
    Kept,
    /// It was there already.
    Repeated,
    /// The object is whole, and waits for the caller under the token.
    Whole,
    /// There is no room for it now.
    NoRoom,
    /// Its manifest has not come yet (D2).
    Early,
}

/// Why a frame is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    /// What it says is wrong.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No caller has asked for objects.
    #[error("nobody here takes objects")]
    Unwanted,
    /// An object that nobody signed, or somebody else than must have.
    #[error("its manifest is not signed by whom it must be, or no longer")]
    Unsigned,
    /// A bulk transfer.
    #[error("this endpoint takes objects, and no bulk transfers")]
    Bulk,
}

impl NotTaken {
    /// What the stream is reset with.
    pub(crate) const fn code(&self) -> StreamCode {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Unwanted | Self::Bulk => StreamCode::Denied,
            Self::Unsigned => StreamCode::BadSignature,
        }
    }

    /// Whether the transfer has failed by it.
    pub(crate) const fn is_fatal(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.is_fatal(),
            Self::Unwanted | Self::Bulk | Self::Unsigned => false,
        }
    }
}

/// What somebody asks for who does not know how much there is.
const EVERYTHING: Range = Range {
    offset: 0,
    length: (1 << 62) - 1,
};

/// How a frame came.
#[derive(Clone, Copy)]
pub(crate) struct From<'a> {
    pub(crate) sender: &'a SpiffeId,
    /// It is of a copy of what is for this identity.
    pub(crate) copy_of: Option<&'a str>,
    /// The caller asked for its transfer.
    pub(crate) asked: Option<Terms<'a>>,
    /// Who signed it, if it is a manifest.
    pub(crate) proof: Option<&'a Arc<Proof>>,
    /// Whether a proof still stands when its object is whole.
    pub(crate) trusts: &'a dyn Fn(&Proof) -> bool,
}

/// What was said of an object that was asked for.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    /// Who must have signed it.
    pub(crate) signer: Option<&'a SpiffeId>,
}

/// Who signed a transfer under way, and who brought that.
struct Vouched {
    owner: SpiffeId,
    proof: Arc<Proof>,
}

/// How far a transfer is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// All is there.
    Whole,
    /// These ranges are missing, and perhaps more.
    Missing(Vec<Range>),
    /// It was dropped, or has failed.
    Gone,
}

/// Shared by the workers of an engine, and by the caller.
pub(crate) struct ObjectHub {
    inner: Mutex<Inner>,
}

struct Inner {
    store: Store,
    /// Whether somebody takes objects.
    accepting: bool,
    /// Whose copies are taken, empty for everyone's; none: nobody's.
    mirrors_from: Option<Vec<SpiffeId>>,
    /// Who must have signed what was not asked for; none: nobody.
    signer: Option<SpiffeId>,
    inbox: Inbox,
    held: Held,
    /// Transfers under way that began because the caller asked for them, under these tokens.
    asked: HashMap<TransferId, StreamToken>,
    /// Transfers under way whose manifest is signed.
    vouched: HashMap<TransferId, Vouched>,
}

impl ObjectHub {
    pub(crate) fn new(limits: Limits) -> Self {
        let inner = Inner {
            inbox: Inbox::new(&limits),
            store: Store::new(limits),
            accepting: false,
            mirrors_from: None,
            signer: None,
            held: Held::default(),
            asked: HashMap::new(),
            vouched: HashMap::new(),
        };
        Self {
            inner: Mutex::new(inner),
        }
    }

    /// Takes a manifest or a shard. An object that it makes whole waits under `token`.
    pub(crate) fn take(
        &self,
        from: From<'_>,
        shard: Shard,
        token: StreamToken,
        now: Instant,
    ) -> Result<Taken, NotTaken> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let transfer = shard.transfer;
        let manifest = match &shard.body {
            ShardBody::Object { .. } => None,
            ShardBody::Manifest(manifest) if manifest.shard_size > 0 => Some(manifest),
            _ => return Err(NotTaken::Bulk),
        };
        let data = manifest.is_none();
        let required = match from.asked {
            Some(terms) => terms.signer,
            None => inner.signer.as_ref(),
        };
        let known = inner.store.knows(transfer);
        if !(known || inner.accepting || from.asked.is_some()) {
            return Err(NotTaken::Unwanted);
        }
        if !data && !is_signed_by(from.proof, required) {
            return Err(NotTaken::Unsigned);
        }
        if !known {
            if !data && !inner.inbox.admits(from.sender) {
                return Ok(Taken::NoRoom);
            }
            if let Some(manifest) = manifest {
                inner.held.began(transfer, manifest, from.proof);
            }
            if from.asked.is_some() {
                inner.asked.insert(transfer, token);
            }
        } else if let Some(vouched) = inner.vouched.get(&transfer)
            && from.asked.is_none()
            && vouched.owner != *from.sender
        {
            // Whom we did not ask (D12).
            return Err(Refusal::NotTheirs.into());
        }
        let taken = inner.store.take(from.sender.as_str(), shard, now);
        if let (false, Ok(_), Some(proof)) = (data, &taken, from.proof)
            && inner.store.is_open(transfer)
            && !inner.vouched.contains_key(&transfer)
        {
            // Whoever is asked may bring shards of it now.
            inner.store.share(transfer);
            let vouched = Vouched {
                owner: from.sender.clone(),
                proof: Arc::clone(proof),
            };
            inner.vouched.insert(transfer, vouched);
        }
        let mut proof = None;
        if !inner.store.is_open(transfer) {
            inner.asked.remove(&transfer);
            proof = inner.vouched.remove(&transfer).map(|known| known.proof);
            if !matches!(taken, Ok(Outcome::Taken { .. })) {
                inner.held.failed(transfer);
            }
        }
        match taken? {
            Outcome::Taken { ready, whole: true } => {
                let proof = proof.as_ref().or(from.proof);
                if !is_signed_by(proof, required)
                    || proof.is_some_and(|proof| !(from.trusts)(proof))
                {
                    inner.held.failed(transfer);
                    inner.store.spoil(transfer);
                    return Err(NotTaken::Unsigned);
                }
                inner.held.put(transfer, &ready);
                let object = ReceivedObject {
                    transfer,
                    sender: from.sender.clone(),
                    signer: proof.map(|proof| proof.signer.spiffe.clone()),
                    data: ready,
                    copy_of: from.copy_of.map(str::to_owned),
                };
                inner.inbox.put(token, object);
                Ok(Taken::Whole)
            }
            Outcome::Taken { .. } => Ok(Taken::Kept),
            Outcome::Repeated => Ok(Taken::Repeated),
            Outcome::Wait if data => Ok(Taken::Early),
            Outcome::Wait => Ok(Taken::NoRoom),
        }
    }

    /// How far a transfer is that has begun here.
    pub(crate) fn progress(&self, transfer: TransferId) -> Progress {
        match self.lock().store.missing(transfer) {
            Some(missing) if missing.is_empty() => Progress::Whole,
            Some(missing) => Progress::Missing(missing),
            None => Progress::Gone,
        }
    }

    /// Drops the transfers that took too long (D10), and returns how many that were.
    pub(crate) fn expire(&self, now: Instant) -> usize {
        let mut inner = self.lock();
        let expired = inner.store.expire(now);
        for transfer in &expired {
            inner.held.failed(*transfer);
            inner.asked.remove(transfer);
            inner.vouched.remove(transfer);
        }
        expired.len()
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.lock().store.next_expiry()
    }

    /// From now on objects are taken, or no longer.
    pub(crate) fn accept(&self, accepting: bool) {
        self.lock().accepting = accepting;
    }

    /// From now on what is not asked for must be signed by this identity, if by any.
    pub(crate) fn require_signer(&self, signer: Option<SpiffeId>) {
        self.lock().signer = signer;
    }

    /// From now on objects that come whole are kept for these, up to so many bytes.
    pub(crate) fn hold(&self, most: usize, askers: Vec<SpiffeId>) {
        self.lock().held.configure(most, askers);
    }

    /// The answer to a want of `asker`, if it may have what is held here (D15); `stands` as
    /// [`HeldObject::answer`](super::held::HeldObject::answer) has it.
    pub(crate) fn answer(
        &self,
        transfer: TransferId,
        asker: &SpiffeId,
        ranges: &[Range],
        stands: &dyn Fn(&Proof) -> bool,
    ) -> Option<Answer> {
        let held = self.lock().held.get(transfer, asker)?;
        Some(held.answer(ranges, stands))
    }

    /// What is to be asked for of a transfer, which may come although it has failed before; nothing
    /// of one that has come whole.
    pub(crate) fn ask(&self, transfer: TransferId) -> Vec<Range> {
        let mut inner = self.lock();
        inner.store.missing(transfer).unwrap_or_else(|| {
            inner.store.again(transfer);
            vec![EVERYTHING]
        })
    }

    /// What was asked for does not come from that holder any more. Another identity may go on with
    /// what it has begun only if it is signed (D12), so that other things are dropped.
    pub(crate) fn asked_in_vain(&self, transfer: TransferId, token: StreamToken) {
        let mut inner = self.lock();
        if inner.asked.get(&transfer) == Some(&token) {
            inner.asked.remove(&transfer);
            if !inner.vouched.contains_key(&transfer) {
                inner.store.drop_unfinished(transfer);
                inner.held.failed(transfer);
            }
        }
    }

    /// From now on copies from these are taken, where objects are: empty for everyone's, none for
    /// nobody's.
    pub(crate) fn expect_mirrors(&self, from: Option<Vec<SpiffeId>>) {
        self.lock().mirrors_from = from;
    }

    /// Whether copies from `peer` are taken (M5).
    pub(crate) fn expects_mirrors_from(&self, peer: &SpiffeId) -> bool {
        let named = |ids: &Vec<SpiffeId>| ids.is_empty() || ids.contains(peer);
        self.lock().mirrors_from.as_ref().is_some_and(named)
    }

    /// The object that waits under `token`, and whether others that were held back may begin now.
    pub(crate) fn fetch(&self, token: StreamToken) -> Option<(ReceivedObject, bool)> {
        self.lock().inbox.take(token)
    }

    /// No operation under this lock can panic half-way, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether that satisfies who is required, if anybody is.
fn is_signed_by(proof: Option<&Arc<Proof>>, required: Option<&SpiffeId>) -> bool {
    required.is_none_or(|required| proof.is_some_and(|proof| proof.signer.spiffe == *required))
}

#[cfg(test)]
mod tests;
