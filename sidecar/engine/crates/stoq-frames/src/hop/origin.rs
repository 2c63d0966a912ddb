//! Who began a route, proven by a signature over it (G10 to G12).
//!
//! Whose key it is says the certificate that comes with the route, which the caller has held against
//! its trust before.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use stoq_wire::code::StreamCode;
use stoq_wire::frame::hop::{Hop, Route};
use stoq_wire::frame::signature::{Signature, Subject};
use stoq_wire::frame::{Frame, FrameError};

use super::used::Used;
use crate::budget::{Budget, Rate};
use crate::sha256;
use crate::signed::{Keys, SignatureRefusal, Verify};

/// How long the signature of a route that begins now is valid, in seconds: time for a handshake at
/// each gateway, and for clocks that differ.
pub const ROUTE_LIFE: u64 = 300;

/// How far ahead the signature of a route may end, in seconds (G11).
const MAX_AHEAD: u64 = 600;

/// What a peer may have verified in vain, and an origin of its own routes: many may begin at once.
const RATE: Rate = Rate {
    burst: 64,
    interval: Duration::from_millis(50),
};

/// Peers whose rate is known; those that have used none of it are forgotten first.
const MOST_PEERS: usize = 1024;

/// Why the origin of a route is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OriginRefusal {
    /// The signature itself.
    #[error(transparent)]
    Signature(#[from] SignatureRefusal),
    /// It is not of this route.
    #[error("the signature is not over this route")]
    OtherRoute,
    /// Nobody is before this gateway but the peer, and it is by somebody else.
    #[error("the route begins with the peer, and is signed by somebody else")]
    OtherPeer,
    /// It is valid for longer than that of a route may be.
    #[error("the signature ends at {0}, more than {MAX_AHEAD} seconds ahead")]
    Ahead(u64),
    /// The route has been begun with it before.
    #[error("the route was begun before: its signature is used up")]
    Used,
    /// The origin has begun so many since that it is not known any more.
    #[error(
        "the origin has begun too many routes since to tell whether this is one of them: its signatures \
         that end by {0} are not taken any more"
    )]
    Late(u64),
    /// More origins of its trust domain have begun routes than are remembered.
    #[error("too many others of the origin's trust domain have begun routes in the last minutes")]
    Origins,
    /// The peer, or the origin, has had too much verified.
    #[error("the peer, or the origin, asks for too many signed routes at once")]
    TooMany,
}

impl OriginRefusal {
    /// What the stream is reset with.
    #[must_use]
    pub const fn code(&self) -> StreamCode {
        match self {
            Self::Late(_) | Self::Origins | Self::TooMany => StreamCode::Refused,
            _ => StreamCode::BadSignature,
        }
    }
}

/// SHA-256 of what the signature of a route is over: its frame as it begins (section 16).
///
/// # Errors
/// [`FrameError`] for a route that no frame can have.
pub fn route_digest(route: &Route) -> Result<[u8; 32], FrameError> {
    let first = Route {
        position: 0,
        ..route.clone()
    };
    let mut encoded = Vec::new();
    Frame::Hop(Hop::Open(first)).encode(&mut encoded)?;
    Ok(sha256(&encoded))
}

/// The signed routes that a gateway has seen, until their signatures end. Bounded.
#[derive(Debug, Default)]
pub struct Origins {
    used: Used,
    budgets: HashMap<String, Budget>,
}

impl Origins {
    /// Whether a peer may have another origin verified, certificate and all. Ask once for each.
    ///
    /// # Errors
    /// [`OriginRefusal::TooMany`].
    pub fn may_ask(&mut self, peer: &str, now: Instant) -> Result<(), OriginRefusal> {
        match self.budget(peer, now).take(now) {
            true => Ok(()),
            false => Err(OriginRefusal::TooMany),
        }
    }

    /// Has `origin` pay for what `peer` [asked for](Self::may_ask), once `proven` has found that the route
    /// is its own. A gateway asks for the routes of many, and one of them shall not use up what it may ask
    /// for; and who names somebody else shall not use up what they may. At the `first` gateway of a route
    /// the two are the same: a signature that was seen further on begins no route there.
    ///
    /// # Errors
    /// [`OriginRefusal::TooMany`] when the origin has had too much, which costs the peer nothing;
    /// [`OriginRefusal::OtherPeer`], and what `proven` says, at the peer's cost.
    pub fn paid_by_origin(
        &mut self,
        (peer, origin): (&str, &str),
        first: bool,
        now: Instant,
        proven: impl FnOnce(&mut Self) -> Result<(), OriginRefusal>,
    ) -> Result<(), OriginRefusal> {
        if peer == origin {
            return proven(self);
        }
        if first {
            return Err(OriginRefusal::OtherPeer);
        }
        let more = self.budget(origin, now).has(now);
        if more {
            proven(self)?;
            self.budget(origin, now).take(now);
        }
        self.budget(peer, now).give_back();
        more.then_some(()).ok_or(OriginRefusal::TooMany)
    }

    fn budget(&mut self, whose: &str, now: Instant) -> &mut Budget {
        if self.budgets.len() >= MOST_PEERS && !self.budgets.contains_key(whose) {
            self.budgets.retain(|_, budget| !budget.is_whole(now));
        }
        let budget = self.budgets.entry(whose.to_owned());
        budget.or_insert_with(|| Budget::of(RATE, now))
    }

    /// Takes the signature of a route by the key of `origin`, once. `unix` are Unix seconds.
    ///
    /// # Errors
    /// [`OriginRefusal`] of the first rule that is broken.
    pub fn take(
        &mut self,
        (origin, key): (&str, &[u8]),
        route: &Route,
        signature: &Signature,
        verify: Verify<'_>,
        unix: u64,
    ) -> Result<(), OriginRefusal> {
        let digest = route_digest(route).map_err(|_| OriginRefusal::OtherRoute)?;
        if signature.subject != Subject::Route || signature.digest != digest {
            return Err(OriginRefusal::OtherRoute);
        }
        if signature.until > unix.saturating_add(MAX_AHEAD) {
            return Err(OriginRefusal::Ahead(signature.until));
        }
        self.used.admits(origin, &route.id, signature.until, unix)?;
        let mut keys = Keys::default();
        // The caller has looked at the certificate, now.
        keys.pin(origin, key, u64::MAX)?;
        keys.verify(origin, signature, verify, unix)?;
        self.used.remember(origin, route.id, signature.until);
        Ok(())
    }
}
