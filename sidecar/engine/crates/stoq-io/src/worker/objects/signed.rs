//! Keys and signatures on streams: what they cover follows (`docs/wire-format.md`, section 16).

use std::sync::Arc;
use std::time::Instant;

use stoq_core::authorise::Peer;
use stoq_wire::frame::Frame;
use stoq_wire::frame::key::Key;

use super::super::{Flow, Worker};
use super::received::Step;
use crate::objects::{NotSigned, Proof};

/// What a stream says about signatures.
#[derive(Debug, Default)]
pub(super) struct SignedStream {
    /// Who signs what follows, by the last certificate; none: the peer.
    signer: Option<Arc<Peer>>,
    /// The last signature, until the manifest that it covers was taken.
    pub(super) proof: Option<Arc<Proof>>,
}

/// What a connection has brought.
#[derive(Debug, Clone, Default)]
pub(crate) struct LinkSignatures {
    /// Signatures that verified.
    pub(crate) verified: u64,
    /// Keys and signatures that were refused.
    pub(crate) refused: u64,
    /// The last that verified.
    pub(crate) last: Option<Arc<Proof>>,
}

impl Worker {
    /// Takes a key or a signature; none when the next frame may come.
    pub(super) fn take_vouching(
        &mut self,
        key: usize,
        index: usize,
        frame: Frame,
        now: Instant,
    ) -> Option<Step> {
        let evidence = self.links[index].as_ref()?.evidence.clone()?;
        let peer = evidence.peer.as_ref()?;
        let (tls, signatures) = (&self.shared.tls, &self.shared.signatures);
        let Flow::Frames(frames) = &mut self.flows[key].flow else {
            return None;
        };
        let taken = match frame {
            Frame::Key(Key::Certificate { leaf }) => {
                let asked = frames.asks.is_some();
                let found = signatures.certificate(tls, peer, &leaf, asked, now);
                found.map(|signer| {
                    frames.signed.signer = Some(Arc::new(signer));
                    frames.signed.proof = None;
                })
            }
            Frame::Key(said) => {
                let announced = evidence.stoq.as_ref().and_then(|said| said.falcon_key_id);
                signatures.key(tls, peer, announced, &said, now)
            }
            Frame::Signature(signature) => {
                let known = frames.signed.signer.clone();
                let signer = known.unwrap_or_else(|| Arc::new(peer.clone()));
                let taken = signatures.signature(tls, peer, &signer, &signature, now);
                if taken.is_ok() {
                    let proof = Arc::new(Proof { signer, signature });
                    frames.signed.proof = Some(Arc::clone(&proof));
                    if let Some(link) = self.links[index].as_mut() {
                        link.signatures.verified += 1;
                        link.signatures.last = Some(proof);
                    }
                    self.counters().signature_verified();
                }
                taken
            }
            // The caller has no others.
            _ => return None,
        };
        taken.err().map(|refused| self.not_signed(index, &refused))
    }

    /// A key or a signature is refused: of the stream alone, unless there are too many.
    pub(super) fn not_signed(&mut self, index: usize, refused: &NotSigned) -> Step {
        self.counters().signature_refused();
        if let Some(link) = self.links[index].as_mut() {
            link.signatures.refused += 1;
        }
        let why = refused.to_string();
        match refused.connection_code() {
            Some(code) => Step::Wrong(code, why),
            None => Step::Refused(refused.code(), why),
        }
    }
}
