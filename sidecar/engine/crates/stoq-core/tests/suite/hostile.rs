//! Peers that break a rule: plain rustls under quinn-proto's own session, with
//! a certificate, signatures and key exchange of the test's choice.

use std::sync::Arc;

use quinn_proto::crypto;
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rand_core::OsRng;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{DigitallySignedStruct, Error, SignatureAlgorithm, SignatureScheme};
use stoq_core::key::HybridKey;
use stoq_core::tls::{DOMAIN_LABEL, ED25519_FALCON_512, ED25519_FALCON_1024};

/// How it signs CertificateVerify.
#[derive(Debug, Clone)]
pub(crate) enum Signing {
    /// As it should.
    Composite,
    /// With Ed25519 alone, and says so.
    Ed25519,
    /// The right scheme, but the Ed25519 half only.
    Stripped,
    /// The FALCON half by another key.
    FalconOf(HybridKey),
    /// The Ed25519 half by another key.
    Ed25519Of(HybridKey),
    /// Both halves, over the content without the domain label.
    Unlabelled,
}

/// A peer that sends any leaf.
#[derive(Debug, Clone)]
pub(crate) struct Hostile {
    pub(crate) key: HybridKey,
    pub(crate) leaf: Vec<u8>,
    pub(crate) signing: Signing,
    pub(crate) group: &'static dyn SupportedKxGroup,
    pub(crate) alpn: &'static [u8],
    /// Signature schemes it accepts.
    pub(crate) accepts: Vec<SignatureScheme>,
}

impl Hostile {
    /// A peer that keeps every rule until a field is changed.
    pub(crate) fn new(key: HybridKey, leaf: Vec<u8>) -> Self {
        Self {
            key,
            leaf,
            signing: Signing::Composite,
            group: aws_lc_rs::kx_group::X25519MLKEM768,
            alpn: b"stoq/1",
            accepts: vec![ED25519_FALCON_1024, ED25519_FALCON_512],
        }
    }

    fn provider(&self) -> Arc<CryptoProvider> {
        Arc::new(CryptoProvider {
            kx_groups: vec![self.group],
            ..aws_lc_rs::default_provider()
        })
    }

    pub(crate) fn client(&self) -> Arc<dyn crypto::ClientConfig> {
        Arc::new(QuicClientConfig::try_from(self.tls_client()).unwrap())
    }

    pub(crate) fn tls_client(&self) -> Arc<rustls::ClientConfig> {
        let mut config = rustls::ClientConfig::builder_with_provider(self.provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Credulous(self.accepts.clone())))
            .with_client_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![self.alpn.to_vec()];
        Arc::new(config)
    }

    pub(crate) fn server(&self) -> Arc<dyn crypto::ServerConfig> {
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![self.alpn.to_vec()];
        Arc::new(QuicServerConfig::try_from(config).unwrap())
    }

    fn certified(&self) -> Option<Arc<CertifiedKey>> {
        Some(Arc::new(CertifiedKey::new(
            vec![CertificateDer::from(self.leaf.clone())],
            Arc::new(self.clone()),
        )))
    }
}

impl ResolvesClientCert for Hostile {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.certified()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Hostile {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certified()
    }
}

impl SigningKey for Hostile {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(self.clone()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for Hostile {
    fn sign(&self, content: &[u8]) -> Result<Vec<u8>, Error> {
        let message = [DOMAIN_LABEL, content].concat();
        let (mut first, mut second) = (&self.key, &self.key);
        match &self.signing {
            Signing::Composite => {}
            Signing::Ed25519 => return Ok(self.key.sign_ed25519(content).to_vec()),
            Signing::Stripped => return Ok(self.key.sign_ed25519(&message).to_vec()),
            Signing::FalconOf(other) => second = other,
            Signing::Ed25519Of(other) => first = other,
            Signing::Unlabelled => {
                let ed25519 = self.key.sign_ed25519(content);
                let falcon = self.key.sign_falcon(&mut OsRng, content);
                return Ok([&ed25519[..], &falcon].concat());
            }
        }
        let ed25519 = first.sign_ed25519(&message);
        let falcon = second.sign_falcon(&mut OsRng, &message);
        Ok([&ed25519[..], &falcon].concat())
    }

    fn scheme(&self) -> SignatureScheme {
        match (&self.signing, self.key.falcon_public().as_bytes().len()) {
            (Signing::Ed25519, _) => SignatureScheme::ED25519,
            (_, 897) => ED25519_FALCON_512,
            _ => ED25519_FALCON_1024,
        }
    }
}

/// Believes any server.
#[derive(Debug)]
struct Credulous(Vec<SignatureScheme>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
