//! The caller's side of objects. No call here waits for the network.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use rand_core::{OsRng, RngCore};
use stoq_core::spiffe::SpiffeId;
use stoq_frames::shard::{Lanes, manifest};
use stoq_wire::frame::seed::WHOLE;
use stoq_wire::frame::shard::{MAX_SHARDS, Shard, ShardBody, TransferId};
use stoq_wire::frame::{Frame, FrameError};

use super::shadows::{self, Copied};
use super::signatures;
use super::{Asked, MAX_LANES, MAX_SHADOWS, ObjectRequest, ObjectTarget, Outgoing, ReceivedObject};
use crate::api::StreamToken;
use crate::engine::Engine;
use crate::mailbox::Command;
use crate::shared::Shared;
use crate::worker::PeerKey;

/// Why an object is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// A shard size that cannot be, or that makes too many shards.
    #[error("{size} bytes in shards of {shard_size}: {reason}; take other shards")]
    Shards {
        /// Bytes of the object.
        size: usize,
        /// Bytes of each shard.
        shard_size: u64,
        /// What is wrong with that.
        reason: FrameError,
    },
    /// No lanes, or too many.
    #[error("{0} lanes: 1 to {MAX_LANES} are possible")]
    Lanes(u8),
    /// Too many shadows.
    #[error("{0} shadows: at most {MAX_SHADOWS} are possible")]
    Shadows(usize),
    /// A share of nothing, or of more than everything.
    #[error("a share of {0}: 1 to {WHOLE} of {WHOLE} are possible")]
    Share(u16),
    /// Shadows are told whom the original is for.
    #[error("shadows, and no identity that the peer must prove: say whom the object is for")]
    Anybody,
    /// A signature without an identity.
    #[error("no certificate that is valid now: there is nothing to sign the object with")]
    NoIdentity,
    /// IPv4 with `ipv6_only` set.
    #[error("ipv6_only is set, which refuses the IPv4 address {0}; use the peer's IPv6 address")]
    Ipv4Refused(std::net::SocketAddr),
}

/// Objects of an engine. What happens to them is among the events of
/// [`ApiPort::poll_events`](crate::ApiPort::poll_events).
#[derive(Clone)]
pub struct ObjectPort {
    pub(crate) shared: Arc<Shared>,
}

impl Engine {
    /// The objects of this engine.
    #[must_use]
    pub fn objects(&self) -> ObjectPort {
        ObjectPort {
            shared: Arc::clone(&self.api().shared),
        }
    }
}

impl ObjectPort {
    /// Takes objects from peers from now on, or no longer. At first they are denied.
    pub fn accept(&self, accepting: bool) {
        self.shared.objects.accept(accepting);
    }

    /// Takes no objects from now on but those whose manifest this identity has signed; none: all.
    /// What is asked for goes by what [`ask`](Self::ask) says.
    pub fn require_signer(&self, signer: Option<SpiffeId>) {
        self.shared.objects.require_signer(signer);
    }

    /// Takes copies that these identities send for a shadow, beside objects that are meant for
    /// this endpoint: empty for everyone's, none for nobody's, which is so at first.
    pub fn expect_mirrors(&self, from: Option<Vec<SpiffeId>>) {
        self.shared.objects.expect_mirrors(from);
    }

    /// Keeps objects that come whole from now on, the latest, up to `most` bytes, and lets these
    /// identities ask for their shards: empty for every member of the mesh. At first none is kept.
    pub fn hold(&self, most: usize, askers: Vec<SpiffeId>) {
        self.shared.objects.hold(most, askers);
    }

    /// Asks a peer that holds it for an object, or for what is missing of one that is on its way.
    /// `Object` or `Failed` follows under the token. `signer` must have signed its manifest, if it is
    /// said; parts of an object that is signed may come of several peers.
    ///
    /// # Errors
    /// [`ObjectError::Ipv4Refused`].
    pub fn ask(
        &self,
        transfer: TransferId,
        remote: SocketAddr,
        expect: Option<SpiffeId>,
        signer: Option<SpiffeId>,
    ) -> Result<StreamToken, ObjectError> {
        if self.shared.settings.ipv6_only && remote.ip().to_canonical().is_ipv4() {
            return Err(ObjectError::Ipv4Refused(remote));
        }
        let peer = PeerKey {
            address: remote,
            expect,
            shadow: false,
            lane: 0,
        };
        let worker = peer.owner(self.shared.mailboxes.len());
        let token = self.shared.api.token();
        let asked = Asked {
            token,
            peer,
            transfer,
            signer,
        };
        self.post(worker, ObjectRequest::Ask(asked));
        Ok(token)
    }

    /// The object that an event has announced; once.
    #[must_use]
    pub fn fetch(&self, token: StreamToken) -> Option<ReceivedObject> {
        let (object, room) = self.shared.objects.fetch(token)?;
        if room {
            for mailbox in &self.shared.mailboxes {
                mailbox.post(Command::Objects(ObjectRequest::Changed));
            }
        }
        Some(object)
    }

    /// Sends an object, which stays in memory until then. `ObjectSent` or `Failed` follows under
    /// the token. Hashes it twice before it returns, at some 1.5 GB/s, and signs it in some 0.3 ms.
    ///
    /// # Errors
    /// [`ObjectError`] for what cannot be sent to anybody.
    pub fn send(
        &self,
        object: impl Into<Bytes>,
        target: ObjectTarget,
    ) -> Result<StreamToken, ObjectError> {
        let object = object.into();
        let ObjectTarget {
            remote,
            expect,
            shard_size,
            lanes,
            sign,
            shadows,
        } = target;
        let addresses = shadows.iter().map(|shadow| shadow.remote);
        for address in addresses.chain([remote]) {
            if self.shared.settings.ipv6_only && address.ip().to_canonical().is_ipv4() {
                return Err(ObjectError::Ipv4Refused(address));
            }
        }
        if lanes == 0 || lanes > MAX_LANES {
            return Err(ObjectError::Lanes(lanes));
        }
        shadows::check(&shadows, expect.as_ref())?;
        let refused = |reason| ObjectError::Shards {
            size: object.len(),
            shard_size,
            reason,
        };
        let mut id = [0; 16];
        OsRng.fill_bytes(&mut id);
        let transfer = TransferId(id);
        let body = ShardBody::Manifest(manifest(&object, shard_size).map_err(refused)?);
        let shard = Shard { transfer, body };
        let proof = match sign {
            true => self.proof(&shard, refused)?,
            false => Bytes::new(),
        };
        let mut encoded = Vec::new();
        Frame::Shard(shard).encode(&mut encoded).map_err(refused)?;
        let encoded = Bytes::from(encoded);
        let copied = Copied {
            transfer,
            object: &object,
            proof: &proof,
            manifest: &encoded,
            shard_size,
            primary: expect.as_ref(),
        };
        let mirrors: Vec<_> = shadows::mirrors(shadows, &copied).collect();
        let peer = PeerKey {
            address: remote,
            expect,
            shadow: false,
            lane: 0,
        };
        let worker = peer.owner(self.shared.mailboxes.len());
        let token = self.shared.api.token();
        let outgoing = Outgoing {
            token,
            peer,
            transfer,
            object,
            shard_size,
            proof,
            manifest: encoded,
            // A lane is never held back: what QUIC takes is what is in flight.
            shards: Lanes::new(MAX_SHARDS as usize),
            lanes,
        };
        self.post(worker, ObjectRequest::Send(Box::new(outgoing)));
        for mirror in mirrors {
            let worker = mirror.peer.owner(self.shared.mailboxes.len());
            self.post(worker, ObjectRequest::Mirror(Box::new(mirror)));
        }
        Ok(token)
    }

    /// The frames by which we sign a manifest.
    fn proof(
        &self,
        manifest: &Shard,
        refused: impl Fn(FrameError) -> ObjectError,
    ) -> Result<Bytes, ObjectError> {
        let made = signatures::sign(&self.shared.tls, manifest);
        made.map_err(refused)?.ok_or(ObjectError::NoIdentity)
    }

    /// Gives up on an object that is sent; no event follows. Harmless when it is over.
    pub fn cancel(&self, token: StreamToken) {
        for worker in 0..self.shared.mailboxes.len() {
            self.post(worker, ObjectRequest::Cancel(token));
        }
    }

    fn post(&self, worker: usize, request: ObjectRequest) {
        self.shared.mailboxes[worker].post(Command::Objects(request));
    }
}
