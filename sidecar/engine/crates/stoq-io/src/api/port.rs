//! The caller's side of API streams. No call here waits for the network.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use stoq_core::spiffe::SpiffeId;
use stoq_wire::code::StreamCode;

use super::{ApiEvent, ApiPeer, Link, Request, StreamToken};
use crate::mailbox::Command;
use crate::shared::Shared;
use crate::worker::PeerKey;

/// How long [`ApiPort::exporter`] waits for the worker, which answers within a turn
/// of its loop.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a call on an API stream did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// As many API streams are open as `limits.api_streams` allows.
    #[error("too many API streams are open; close some or raise limits.api_streams")]
    TooMany,
    /// IPv4 with `ipv6_only` set.
    #[error("ipv6_only is set, which refuses the IPv4 address {0}; use the peer's IPv6 address")]
    Ipv4Refused(SocketAddr),
    /// No stream has this token, or it was closed.
    #[error("no open API stream has token {}", .0.0)]
    Unknown(StreamToken),
    /// The stream failed; an event said why.
    #[error("API stream {} has failed", .0.0)]
    Failed(StreamToken),
    /// The peer wants no more bytes; its own can still be read.
    #[error("the peer takes no more bytes on API stream {}", .0.0)]
    Stopped(StreamToken),
    /// The connection cannot export keying material now.
    #[error("no keying material for API stream {}: its handshake is not complete", .0.0)]
    NoKeys(StreamToken),
}

/// API streams of an engine.
#[derive(Clone)]
pub struct ApiPort {
    pub(crate) shared: Arc<Shared>,
}

impl ApiPort {
    /// A descriptor that is readable while [`ApiPort::poll_events`] has something. It
    /// stays the engine's.
    #[must_use]
    pub fn event_fd(&self) -> RawFd {
        self.shared.api.event_fd()
    }

    /// What happened since the last call.
    #[must_use]
    pub fn poll_events(&self) -> Vec<ApiEvent> {
        self.shared.api.poll()
    }

    /// Opens a stream to `remote`, which must prove to be `expect` (any member of the
    /// mesh if `None`). `Opened` or `Failed` follows; the dial takes at most
    /// `transport.dial_timeout_ms`. Bytes may be sent at once.
    ///
    /// # Errors
    /// [`ApiError::TooMany`] and [`ApiError::Ipv4Refused`].
    pub fn open(
        &self,
        remote: SocketAddr,
        expect: Option<SpiffeId>,
    ) -> Result<StreamToken, ApiError> {
        if self.shared.settings.ipv6_only && remote.ip().to_canonical().is_ipv4() {
            return Err(ApiError::Ipv4Refused(remote));
        }
        let peer = PeerKey {
            address: remote,
            expect,
            shadow: false,
            lane: 0,
        };
        let worker = peer.owner(self.shared.mailboxes.len());
        let link = self.shared.api.register(worker).ok_or(ApiError::TooMany)?;
        let token = link.token;
        self.post(worker, Request::Open { link, peer });
        Ok(token)
    }

    /// Queues bytes, and the end of our direction if `end`; returns how many were
    /// taken. Fewer than given: `Writable` follows when more are. The end is noted
    /// only when all bytes were taken.
    ///
    /// # Errors
    /// [`ApiError::Unknown`], [`ApiError::Failed`] and [`ApiError::Stopped`].
    pub fn send(&self, token: StreamToken, data: &[u8], end: bool) -> Result<usize, ApiError> {
        let link = self.link(token)?;
        let mut buffers = link.lock();
        if buffers.failed {
            return Err(ApiError::Failed(token));
        }
        if buffers.stopped {
            return Err(ApiError::Stopped(token));
        }
        let taken = buffers.accept(data);
        if end && taken == data.len() {
            buffers.finished = true;
        }
        drop(buffers);
        self.post(link.worker, Request::Changed(token));
        Ok(taken)
    }

    /// Up to `most` bytes that have arrived; `None` when there are none now.
    ///
    /// # Errors
    /// [`ApiError::Unknown`].
    pub fn recv(&self, token: StreamToken, most: usize) -> Result<Option<Bytes>, ApiError> {
        let link = self.link(token)?;
        let (piece, wake) = link.lock().fetch(most);
        if wake {
            self.post(link.worker, Request::Changed(token));
        }
        Ok(piece)
    }

    /// Abandons both directions. Harmless on a stream that is gone.
    pub fn reset(&self, token: StreamToken, code: StreamCode) {
        if let Ok(link) = self.link(token) {
            link.lock().reset = Some(code);
            self.post(link.worker, Request::Changed(token));
        }
    }

    /// Forgets a stream; what was queued and its end are still sent. Idempotent.
    pub fn close(&self, token: StreamToken) {
        if let Some(link) = self.shared.api.forget(token) {
            let mut buffers = link.lock();
            buffers.closed = true;
            buffers.finished = true;
            drop(buffers);
            self.post(link.worker, Request::Changed(token));
        }
    }

    /// 32 bytes of keying material of the stream's connection (RFC 8446, 7.5).
    ///
    /// # Errors
    /// [`ApiError::Unknown`] and [`ApiError::NoKeys`].
    pub fn exporter(
        &self,
        token: StreamToken,
        label: &str,
        context: &[u8],
    ) -> Result<[u8; 32], ApiError> {
        let link = self.link(token)?;
        let (reply, answer) = mpsc::channel();
        let (label, context) = (label.to_owned(), context.to_vec());
        self.post(
            link.worker,
            Request::Export {
                token,
                label,
                context,
                reply,
            },
        );
        answer
            .recv_timeout(EXPORT_TIMEOUT)
            .map_err(|_| ApiError::NoKeys(token))
    }

    /// The other end, once the handshake is complete.
    #[must_use]
    pub fn peer(&self, token: StreamToken) -> Option<Arc<ApiPeer>> {
        self.shared.api.link(token)?.peer.get().cloned()
    }

    fn link(&self, token: StreamToken) -> Result<Arc<Link>, ApiError> {
        self.shared.api.link(token).ok_or(ApiError::Unknown(token))
    }

    fn post(&self, worker: usize, request: Request) {
        self.shared.mailboxes[worker].post(Command::Api(request));
    }
}
