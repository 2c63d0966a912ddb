//! The routes that an engine forwards, as all its workers see them.
//!
//! A route that comes round arrives at any worker, and its peer may have connections at all of them.
//! Locked when a route begins or ends and when the table changes, never for a packet.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use stoq_core::authorise::{Peer, Refusal};
use stoq_core::tls::TlsContext;
use stoq_frames::hop::{Gateway, Limits, Next, OriginRefusal, Origins, RouteRefusal, Rule};
use stoq_wire::code::StreamCode;
use stoq_wire::frame::hop::{Route, RouteId};
use stoq_wire::frame::signature::Signature;

use crate::settings::EngineSettings;

/// Why it is not known who began a route.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotProven {
    /// The certificate.
    #[error(transparent)]
    Certificate(#[from] Refusal),
    /// The signature.
    #[error(transparent)]
    Signature(#[from] OriginRefusal),
}

impl NotProven {
    /// What the stream is reset with.
    pub(crate) const fn code(&self) -> StreamCode {
        match self {
            Self::Certificate(_) => StreamCode::BadSignature,
            Self::Signature(refusal) => refusal.code(),
        }
    }
}

/// A gateway's routes.
#[derive(Debug)]
pub(crate) struct Forwarder {
    limits: Limits,
    gateway: Mutex<Gateway>,
    origins: Mutex<Origins>,
}

impl Forwarder {
    /// One without rules, which forwards nothing; none where the settings make no gateway.
    pub(crate) fn of(settings: &EngineSettings) -> Option<Self> {
        let limits = settings.gateway.as_ref()?.limits();
        Some(Self {
            limits,
            gateway: Mutex::new(Gateway::new(limits, Vec::new())),
            origins: Mutex::default(),
        })
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// As [`Gateway::set_rules`].
    pub(crate) fn set_rules(&self, rules: &[Rule]) {
        self.gateway().set_rules(rules.to_vec());
    }

    /// As [`Gateway::open`].
    pub(crate) fn open(
        &self,
        here: &str,
        from: &str,
        origin: Option<&str>,
        route: Route,
    ) -> Result<Next, RouteRefusal> {
        self.gateway().open(here, from, origin, route)
    }

    /// Who began a route that `from` asks for, by the certificate and the signature that came with
    /// it. Each signature is good for one route.
    pub(crate) fn origin(
        &self,
        tls: &TlsContext,
        from: &str,
        route: &Route,
        (leaf, signature): (&[u8], &Signature),
        now: Instant,
    ) -> Result<Peer, NotProven> {
        self.origins().may_ask(from, now)?;
        let vouched = tls.vouched(leaf)?;
        let verify =
            |_: &[u8], content: &[u8], signature: &[u8]| vouched.falcon.verify(content, signature);
        let origin = vouched.peer.spiffe.as_str();
        let by = (origin, vouched.falcon.as_bytes());
        let unix = tls.unix();
        let proven = |origins: &mut Origins| origins.take(by, route, signature, &verify, unix);
        let first = route.position == 0;
        self.origins()
            .paid_by_origin((from, origin), first, now, proven)?;
        Ok(vouched.peer)
    }

    /// As [`Gateway::admits`].
    pub(crate) fn admits(&self, id: &RouteId) -> bool {
        self.gateway().admits(id)
    }

    /// As [`Gateway::close`].
    pub(crate) fn close(&self, id: &RouteId) {
        self.gateway().close(id);
    }

    fn gateway(&self) -> MutexGuard<'_, Gateway> {
        self.gateway.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn origins(&self) -> MutexGuard<'_, Origins> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
