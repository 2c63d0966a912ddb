//! Who began a route: what comes before its `open`, and what a gateway makes of it (G10 to G12).

use std::time::Instant;

use bytes::Bytes;
use stoq_core::authorise::{Expect, Peer};
use stoq_core::tls::TlsContext;
use stoq_frames::hop::{ROUTE_LIFE, route_digest};
use stoq_wire::code::StreamCode;
use stoq_wire::frame::hop::{Hop as HopFrame, Route};
use stoq_wire::frame::signature::{Signature, Subject};
use stoq_wire::frame::{Frame, FrameError};

use super::super::observe::Outcome;
use super::super::{Flow, Worker};
use super::admitted::Refused;

/// Certificate and signature of who began a route, as they came, or as they go on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proof {
    leaf: Option<Bytes>,
    signature: Option<Signature>,
}

impl Proof {
    /// Ours; nothing without an identity.
    pub(super) fn of(tls: &TlsContext, route: &Route) -> Result<Self, FrameError> {
        let digest = route_digest(route)?;
        let signed = tls.sign_frame(Subject::Route, digest, ROUTE_LIFE);
        Ok(signed.map_or_else(Self::default, |(leaf, signature)| Self {
            leaf: Some(leaf.into()),
            signature: Some(signature),
        }))
    }

    /// Keeps a frame that belongs to it: the certificate first, then the signature.
    pub(in super::super) fn takes(&mut self, frame: &Frame) -> bool {
        match frame {
            Frame::Hop(HopFrame::Origin(leaf)) if self.leaf.is_none() => {
                self.leaf = Some(leaf.clone());
            }
            Frame::Signature(signature) if self.leaf.is_some() && self.signature.is_none() => {
                self.signature = Some(signature.clone());
            }
            _ => return false,
        }
        true
    }

    /// What is sent before the route; nothing where nobody has signed.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let leaf = self
            .leaf
            .clone()
            .map(|leaf| Frame::Hop(HopFrame::Origin(leaf)));
        let signature = self.signature.clone().map(Frame::Signature);
        let mut frames = leaf.into_iter().chain(signature);
        frames.try_for_each(|frame| frame.encode(out))
    }
}

impl Worker {
    /// Who began a route that `from` asks for, if that is proven; none: it is not signed.
    pub(super) fn origin_of(
        &self,
        from: &str,
        route: &Route,
        proof: &Proof,
        now: Instant,
    ) -> Result<Option<Peer>, Refused> {
        let Some(leaf) = &proof.leaf else {
            return Ok(None);
        };
        let (Some(signature), Some(forwarder)) = (&proof.signature, &self.shared.forwarder) else {
            let why = "an origin is named, and no signature of it follows".to_owned();
            return Err((StreamCode::BadSignature, why));
        };
        let proven = forwarder.origin(&self.shared.tls, from, route, (leaf, signature), now);
        proven.map(Some).map_err(|why| {
            let text = format!("{from} asks, and its origin is not proven: {why}");
            (why.code(), text)
        })
    }

    /// Trust has changed: ends the routes of origins that would not be let in any more. That their
    /// certificates end does not matter: a signature says for how long it opens a route.
    pub(in super::super) fn recheck_origins(&mut self, now: Instant) {
        let ended = |(key, slot): (usize, &super::super::Slot)| {
            let Flow::Hop(hop) = &slot.flow else {
                return None;
            };
            let refusal = self
                .shared
                .tls
                .reauthorise(hop.origin.as_ref()?, &Expect::AnyInMesh);
            let refusal = refusal.err()?;
            (!refusal.is_of_time()).then(|| (key, refusal.to_string()))
        };
        let ended: Vec<_> = self.flows.iter().filter_map(ended).collect();
        for (key, why) in ended {
            self.counters().stream_refused(StreamCode::BadSignature);
            self.end_flow(key, StreamCode::BadSignature, Outcome::Refused(why), now);
        }
    }
}
