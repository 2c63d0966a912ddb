//! Our own side of CertificateVerify: rustls' signing traits over a hybrid key.

use std::fmt;
use std::sync::Arc;

use quinn_proto::Side;
use rustls::client::ResolvesClientCert;
use rustls::crypto::SecureRandom;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::{Shared, composite, scheme_for};
use crate::falcon::KeyId;
use crate::key::HybridKey;
use crate::profile::CryptoProfile;
use crate::random::Random;
use crate::spiffe::SpiffeId;

/// Our SVID, as rustls wants it. Replaced as a whole on renewal.
#[derive(Debug)]
pub(crate) struct Identity {
    certified: Arc<CertifiedKey>,
    signing: Arc<HybridSigningKey>,
    falcon_key_id: KeyId,
    pub(super) spiffe: SpiffeId,
    /// What it proves itself with.
    pub(crate) profile: CryptoProfile,
    /// The last second the leaf is valid in, as Unix time.
    pub(crate) not_after: u64,
}

impl Identity {
    /// The key is of the degree of `profile`.
    pub(super) fn new(
        key: HybridKey,
        leaf: Vec<u8>,
        (spiffe, not_after): (SpiffeId, u64),
        profile: CryptoProfile,
        random: Source,
    ) -> Self {
        let falcon_key_id = key.falcon_public().key_id();
        let signing = Arc::new(HybridSigningKey {
            key,
            scheme: scheme_for(profile),
            random,
        });
        Self {
            profile,
            falcon_key_id,
            spiffe,
            not_after,
            certified: Arc::new(CertifiedKey::new(
                vec![CertificateDer::from(leaf)],
                signing.clone(),
            )),
            signing,
        }
    }

    /// Our certificate, DER.
    pub(super) fn leaf(&self) -> &[u8] {
        self.certified.cert.first().map_or(&[], AsRef::as_ref)
    }

    /// Signs a message that begins with a label of its own, with the profile's scheme.
    pub(super) fn sign_bare(
        &self,
        message: &[u8],
    ) -> Result<(SignatureScheme, Vec<u8>), rustls::Error> {
        let HybridSigningKey {
            key,
            scheme,
            random,
        } = &*self.signing;
        let signature = match *scheme {
            SignatureScheme::ED25519 => key.sign_ed25519(message).to_vec(),
            _ => composite::sign_bare(key, &mut Random::new(*random)?, message),
        };
        Ok((*scheme, signature))
    }

    /// Signs a message that begins with a label of its own, by FALCON alone.
    pub(super) fn sign_falcon(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let HybridSigningKey { key, random, .. } = &*self.signing;
        Ok(key.sign_falcon(&mut Random::new(*random)?, message))
    }

    /// SHA-256 of our FALCON public key.
    pub(super) fn falcon_key_id(&self) -> [u8; 32] {
        self.falcon_key_id.0
    }
}

type Source = &'static dyn SecureRandom;

#[derive(Clone)]
struct HybridSigningKey {
    key: HybridKey,
    scheme: SignatureScheme,
    random: Source,
}

impl SigningKey for HybridSigningKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&self.scheme)
            .then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        // rustls asks for TLS 1.2 only, which is not compiled in.
        SignatureAlgorithm::ED25519
    }
}

impl Signer for HybridSigningKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok(match self.scheme {
            SignatureScheme::ED25519 => self.key.sign_ed25519(message).to_vec(),
            _ => composite::sign(&self.key, &mut Random::new(self.random)?, message),
        })
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

impl fmt::Debug for HybridSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} for {:?}", self.key, self.scheme)
    }
}

/// Hands rustls the SVID of the moment, on both sides. One object for the life
/// of the context: rustls compares it by address before it resumes.
#[derive(Debug)]
pub(super) struct Resolver(pub(super) Arc<Shared>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let identity = self.0.identity(Side::Server)?;
        Some(identity.certified.clone())
    }
}

impl ResolvesClientCert for Resolver {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let identity = self.0.identity(Side::Client)?;
        Some(identity.certified.clone())
    }

    fn has_certs(&self) -> bool {
        self.0.identity(Side::Client).is_some()
    }
}
