//! What outlives a connection: signed by our FALCON key, or by that of somebody who is not the peer
//! (`docs/wire-format.md`, section 16).

use quinn_proto::Side;
use stoq_wire::frame::signature::{Signature, Subject};

use super::context::TlsContext;
use crate::authorise::{Expect, Peer, Refusal};
use crate::falcon::VerifyingKey;

/// Somebody whom a certificate names, without any proof that it is they who speak.
#[derive(Debug, Clone)]
pub struct Vouched {
    /// Who it is.
    pub peer: Peer,
    /// What verifies their signatures.
    pub falcon: VerifyingKey,
}

impl TlsContext {
    /// Signs what has this digest, valid for `life` seconds from now: our certificate (DER), and the
    /// signature. `None` without an identity. Costs a FALCON signature, 0.3 ms.
    #[must_use]
    pub fn sign_frame(
        &self,
        subject: Subject,
        digest: [u8; 32],
        life: u64,
    ) -> Option<(Vec<u8>, Signature)> {
        let identity = self.shared.identity(Side::Client)?;
        let mut signature = Signature {
            subject,
            key_id: identity.falcon_key_id(),
            until: self.shared.clock.now() + life,
            digest,
            signature: Vec::new(),
        };
        signature.signature = identity.sign_falcon(&signature.signed_content()).ok()?;
        Some((identity.leaf().to_vec(), signature))
    }

    /// Whom a certificate names, if they would be let in now.
    ///
    /// # Errors
    /// The [`Refusal`] of the gate.
    pub fn vouched(&self, leaf: &[u8]) -> Result<Vouched, Refusal> {
        let peer = self.shared.authorise(Some(leaf), &Expect::AnyInMesh)?;
        let peer = peer.ok_or(Refusal::NoCertificate)?;
        let falcon = self.shared.verified(leaf)?.falcon.clone();
        Ok(Vouched { peer, falcon })
    }

    /// The time that certificates and signatures are held against, Unix seconds.
    #[must_use]
    pub fn unix(&self) -> u64 {
        self.shared.clock.now()
    }
}
