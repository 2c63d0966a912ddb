//! What outlives the connection that brings it and is no frame: what the registry says, signed by
//! FALCON (`docs/wire-format.md`, section 16, subject 3).

use std::time::Instant;

use stoq_core::authorise::Refusal;
use stoq_core::spiffe::SpiffeId;
use stoq_core::tls::{TlsContext, Vouched};
use stoq_frames::signed::{Keys, SignatureRefusal, Signed};
use stoq_wire::frame::Frame;
use stoq_wire::frame::signature::Subject;

/// Why a statement is nobody's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Bytes that are no FALCON_SIGNATURE of subject 3, or one over something else.
    #[error("{0} bytes are no signature over this")]
    NoSignature(usize),
    /// The certificate of who signed is not let in.
    #[error("the signer's certificate: {0}")]
    Certificate(#[from] Refusal),
    /// A rule of signatures.
    #[error(transparent)]
    Refused(#[from] SignatureRefusal),
}

/// A statement that we signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Our certificate, DER.
    pub leaf: Vec<u8>,
    /// The FALCON_SIGNATURE frame.
    pub signature: Vec<u8>,
}

/// Signs a digest, in some 0.3 ms, until `until` (Unix seconds), and no longer than our certificate
/// lasts; `None` without one that is valid now.
#[must_use]
pub fn sign(tls: &TlsContext, digest: [u8; 32], until: u64) -> Option<Statement> {
    let life = until.saturating_sub(tls.unix());
    let (leaf, signature) = tls.sign_frame(Subject::Snapshot, digest, life)?;
    let mut encoded = Vec::new();
    Frame::Signature(signature).encode(&mut encoded).ok()?;
    Some(Statement {
        leaf,
        signature: encoded,
    })
}

/// Whose signature over a digest this is, by a certificate that the gate lets in now.
///
/// # Errors
/// [`StatementError`] of the first rule that is broken.
pub fn verify(
    tls: &TlsContext,
    leaf: &[u8],
    encoded: &[u8],
    digest: [u8; 32],
) -> Result<SpiffeId, StatementError> {
    let signature = match Frame::decode(encoded) {
        Ok(Some((Frame::Signature(signature), used)))
            if used == encoded.len()
                && (signature.subject, signature.digest) == (Subject::Snapshot, digest) =>
        {
            signature
        }
        _ => return Err(StatementError::NoSignature(encoded.len())),
    };
    let Vouched { peer, falcon } = tls.vouched(leaf)?;
    let name = peer.spiffe.as_str();
    let mut keys = Keys::default();
    keys.pin(name, falcon.as_bytes(), peer.not_after + 1)?;
    let verify = |_: &[u8], content: &[u8], made: &[u8]| falcon.verify(content, made);
    let now = (Instant::now(), tls.unix());
    Signed::new(1).take(name, name, &signature, &keys, &verify, now)?;
    Ok(peer.spiffe)
}
