//! Objects: whole byte strings that travel in shards (`docs/wire-format.md`, section 13).
//!
//! [`ObjectHub`] is what the workers of an engine share: shards of an object may come over
//! connections of each of them. It is locked for each shard, and hashes what it is given while it
//! is: objects are rare beside what is relayed, which never comes here.

mod held;
mod hub;
mod inbox;
mod port;
mod shadows;
mod signatures;

pub(crate) use held::Answer;
pub(crate) use hub::{From, NotTaken, ObjectHub, Progress, Taken, Terms};
pub use port::{ObjectError, ObjectPort};
pub(crate) use shadows::ObjectMirror;
pub use shadows::{MAX_SHADOWS, ObjectShadow};
pub(crate) use signatures::{NotSigned, Proof, Signatures};

use std::net::SocketAddr;

use bytes::Bytes;
use stoq_core::spiffe::SpiffeId;
use stoq_frames::shard::Lanes;
use stoq_wire::frame::shard::TransferId;

use crate::api::StreamToken;
use crate::worker::PeerKey;

/// An object that a peer has sent, whole and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedObject {
    /// Its transfer.
    pub transfer: TransferId,
    /// Who sent it, as the handshake proved.
    pub sender: SpiffeId,
    /// Who signed its manifest, as that verified; none: nobody did.
    pub signer: Option<SpiffeId>,
    /// Its bytes, in order.
    pub data: Vec<Bytes>,
    /// Of a copy for a shadow: whom the original is for, as the sender says.
    pub copy_of: Option<String>,
}

/// Whom an object is for, and how it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectTarget {
    /// Where the peer receives STOQ between workloads.
    pub remote: SocketAddr,
    /// Whom it must prove to be; none: any member of the mesh.
    pub expect: Option<SpiffeId>,
    /// Bytes of each shard, 1 to 1048576, and at most what the peer takes.
    pub shard_size: u64,
    /// Streams that share the shards out, each on a connection of its own as far as
    /// `pool.connections_per_peer` allows; 1 to [`MAX_LANES`].
    pub lanes: u8,
    /// Whether we sign its manifest, so that whoever gets it of others knows that it is ours.
    pub sign: bool,
    /// Who gets copies; nobody waits for them. Not without `expect`, which they are told.
    pub shadows: Vec<ObjectShadow>,
}

/// Most lanes of an object.
pub const MAX_LANES: u8 = 16;

/// An object on its way to a peer.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) token: StreamToken,
    pub(crate) peer: PeerKey,
    pub(crate) transfer: TransferId,
    pub(crate) object: Bytes,
    pub(crate) shard_size: u64,
    /// Who signs the manifest, and that; empty: nobody.
    pub(crate) proof: Bytes,
    /// The manifest's frame, as it goes first on each lane.
    pub(crate) manifest: Bytes,
    /// Shards by index.
    pub(crate) shards: Lanes<u64>,
    pub(crate) lanes: u8,
}

/// An object that a peer is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) token: StreamToken,
    pub(crate) peer: PeerKey,
    pub(crate) transfer: TransferId,
    /// Who must have signed its manifest; none: nobody has to.
    pub(crate) signer: Option<SpiffeId>,
}

/// What a worker is asked about objects.
#[derive(Debug)]
pub(crate) enum ObjectRequest {
    /// Send one.
    Send(Box<Outgoing>),
    /// Nobody waits for this one any more.
    Cancel(StreamToken),
    /// Ask a peer for one.
    Ask(Asked),
    /// Send a shadow its copy of one.
    Mirror(Box<ObjectMirror>),
    /// An object to this peer is over: the next that waits for its turn may begin.
    Next(PeerKey),
    /// What transfers wait for, or have become, may have changed.
    Changed,
}
