//! Re-authentication: a renewed certificate on a connection that goes on
//! (`docs/wire-format.md`, section 8).
//!
//! The signature covers the connection's exporter value, so it proves the new
//! keys on this connection and no other; the gate decides on the certificate as
//! it does after a handshake, and the identity may not change.

use aws_lc_rs::digest::{SHA256, digest};
use quinn_proto::Side;
use rustls::SignatureScheme;
use stoq_wire::code::ConnectionCode;
use stoq_wire::control::{EXPORTER_LEN, Reauthentication, Role, signed_content};

use super::composite::{scheme_of, verify_bare};
use super::context::TlsContext;
use crate::authorise::{Expect, Peer, Refusal};
use crate::key::verify_ed25519;
use crate::session::Evidence;

/// Why a re-authentication is refused. The connection is closed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReauthenticationError {
    /// The gate refuses the new certificate, or it names somebody else.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The connection's peer has no certificate that could be renewed.
    #[error("a peer without a certificate cannot re-authenticate")]
    Anonymous,
    /// The counter has been used.
    #[error("re-authentication {counter} after {last}: each must have a higher counter")]
    Replayed {
        /// The message's counter.
        counter: u64,
        /// The highest so far.
        last: u64,
    },
    /// The certificate was issued before the one it is to replace.
    #[error(
        "the certificate to re-authenticate with is valid from {not_before}, the present one from {present} (Unix time): it must not be older"
    )]
    Older {
        /// The new one's first valid second.
        not_before: u64,
        /// The present one's.
        present: u64,
    },
    /// The scheme is not one we accept, or not that of the certificate's key.
    #[error("re-authentication with signature scheme {0:#06x}, which the crypto profile refuses")]
    Scheme(u16),
    /// One of the signature's halves does not verify.
    #[error("the signature of a re-authentication does not verify on this connection")]
    Signature,
}

impl ReauthenticationError {
    /// The code to close the connection with.
    #[must_use]
    pub fn connection_code(&self) -> ConnectionCode {
        match self {
            Self::Refused(refusal) => refusal.connection_code(),
            Self::Replayed { .. } => ConnectionCode::Protocol,
            Self::Anonymous | Self::Older { .. } | Self::Scheme(_) | Self::Signature => {
                ConnectionCode::Unauthorised
            }
        }
    }
}

/// What binds a message to its connection and place.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// The end that sends the message.
    pub sender: Side,
    /// The connection's exporter value for
    /// [`EXPORTER_LABEL`](stoq_wire::control::EXPORTER_LABEL).
    pub exporter: &'a [u8; EXPORTER_LEN],
}

impl Binding<'_> {
    fn content(&self, counter: u64, leaf: &[u8]) -> Vec<u8> {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, leaf).as_ref());
        let role = match self.sender {
            Side::Client => Role::Client,
            Side::Server => Role::Server,
        };
        signed_content(role, counter, self.exporter, &hash)
    }
}

impl TlsContext {
    /// A message that proves our present identity; `None` without one. Costs a
    /// FALCON signature, 0.3 ms.
    #[must_use]
    pub fn prove(&self, binding: &Binding<'_>, counter: u64) -> Option<Reauthentication> {
        let identity = self.shared.identity(binding.sender)?;
        let content = binding.content(counter, identity.leaf());
        let (scheme, signature) = identity.sign_bare(&content).ok()?;
        Some(Reauthentication {
            counter,
            scheme: scheme.into(),
            leaf: identity.leaf().to_vec(),
            signature,
        })
    }

    /// Decides on a peer's message. `present` is what the connection is known
    /// by, `last` the counter of the peer's message before (0: none). Returns
    /// what it is known by from now on.
    ///
    /// # Errors
    /// [`ReauthenticationError`] to close the connection with.
    pub fn reauthenticate(
        &self,
        present: &Evidence,
        last: u64,
        binding: &Binding<'_>,
        message: &Reauthentication,
    ) -> Result<Evidence, ReauthenticationError> {
        let Some(peer) = &present.peer else {
            return Err(ReauthenticationError::Anonymous);
        };
        let counter = message.counter;
        if counter <= last {
            return Err(ReauthenticationError::Replayed { counter, last });
        }
        let expect = Expect::Id(peer.spiffe.clone());
        let renewed = self.shared.authorise(Some(&message.leaf), &expect)?;
        let renewed = renewed.ok_or(ReauthenticationError::Anonymous)?;
        if renewed.not_before < peer.not_before {
            return Err(ReauthenticationError::Older {
                not_before: renewed.not_before,
                present: peer.not_before,
            });
        }
        self.holds_keys(&renewed, binding, message)?;
        self.shared.conforms(&renewed, &expect)?;
        Ok(present.renewed(renewed))
    }

    fn holds_keys(
        &self,
        peer: &Peer,
        binding: &Binding<'_>,
        message: &Reauthentication,
    ) -> Result<(), ReauthenticationError> {
        let leaf = self.shared.verified(&message.leaf)?;
        let content = binding.content(message.counter, &message.leaf);
        let scheme = SignatureScheme::from(message.scheme);
        if !self.shared.schemes().contains(&scheme) {
            return Err(ReauthenticationError::Scheme(message.scheme));
        }
        let valid = match scheme {
            SignatureScheme::ED25519 => verify_ed25519(&leaf.ed25519, &content, &message.signature),
            composite if composite != scheme_of(peer.falcon_degree) => {
                return Err(ReauthenticationError::Scheme(message.scheme));
            }
            _ => verify_bare(&leaf.ed25519, &leaf.falcon, &content, &message.signature),
        };
        match valid {
            true => Ok(()),
            false => Err(ReauthenticationError::Signature),
        }
    }
}
