//! Byte streams whose other side is the caller instead of a TCP connection.
//!
//! The control plane speaks over them: rarely and little, so a mutex per stream is
//! fine here, and only here. Buffers are bounded in both directions; a full one
//! holds the other side back.

mod buffers;
mod hub;
mod port;

pub(crate) use buffers::{Buffers, Link};
pub(crate) use hub::ApiHub;
pub use port::{ApiError, ApiPort};

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};

use stoq_core::session::Evidence;
use stoq_wire::code::StreamCode;

use crate::worker::PeerKey;

/// Names an API stream of one engine; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamToken(pub u64);

/// Something happened to an API stream.
#[derive(Debug, Clone)]
pub enum ApiEvent {
    /// The stream that was asked for is open.
    Opened(StreamToken),
    /// A peer opened a stream.
    Accepted {
        /// The new stream.
        token: StreamToken,
        /// Who opened it.
        peer: Arc<ApiPeer>,
    },
    /// Bytes have arrived.
    Readable(StreamToken),
    /// A stream that would not take all bytes takes some again.
    Writable(StreamToken),
    /// The peer has finished its direction; what arrived before can still be read.
    Finished(StreamToken),
    /// A peer has sent an object, which waits under this token.
    Object(StreamToken),
    /// The peer has all of the object that was sent under this token.
    ObjectSent(StreamToken),
    /// The stream is of no use any more, or the object will not arrive.
    Failed {
        /// The stream.
        token: StreamToken,
        /// What happened, for a person.
        reason: Arc<str>,
        /// The code, if the peer reset the stream.
        code: Option<StreamCode>,
    },
}

/// The other end of an API stream.
#[derive(Debug, Clone)]
pub struct ApiPeer {
    /// Its address.
    pub remote: SocketAddr,
    /// What the handshake proved; none for a connection of which nothing is known.
    pub evidence: Option<Arc<Evidence>>,
}

/// What a worker is asked about API streams.
#[derive(Debug)]
pub(crate) enum Request {
    /// Open a stream to this peer.
    Open { link: Arc<Link>, peer: PeerKey },
    /// The caller has sent, received or given up.
    Changed(StreamToken),
    /// Keying material of the stream's connection (RFC 8446, 7.5).
    Export {
        token: StreamToken,
        label: String,
        context: Vec<u8>,
        reply: mpsc::Sender<[u8; 32]>,
    },
}
