//! The peer's side of CertificateVerify, for both roles.
//!
//! rustls calls these in full handshakes only. They run the gate early, so that
//! a refused peer costs no more work, and check the composite signature. The
//! session runs the gate again when the handshake is over, resumed ones
//! included: that one decides.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerMisbehaved,
    SignatureScheme,
};

use super::{Shared, composite};
use crate::authorise::{Expect, Refusal};
use crate::key::verify_ed25519;

/// Verifies peers. One object for all of a role's connections: rustls compares
/// it by address before it resumes.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) shared: Arc<Shared>,
    /// Whether a client must have a certificate.
    pub(super) mandatory: bool,
}

impl Verifier {
    /// Roots are configured and sign leaves themselves, so certificates beside
    /// the leaf mean nothing and are not looked at.
    fn certificate(&self, leaf: &[u8]) -> Result<(), Error> {
        self.shared
            .authorise(Some(leaf), &Expect::AnyInMesh)
            .map(drop)
            .map_err(refused)
    }

    /// Both halves must verify under the keys of the leaf, and the scheme must
    /// be the one for the leaf's FALCON degree.
    fn signature(
        &self,
        content: &[u8],
        leaf: &[u8],
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let leaf = self.shared.verified(leaf).map_err(refused)?;
        if !self.shared.schemes().contains(&signed.scheme) {
            return Err(Error::PeerMisbehaved(
                PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme,
            ));
        }
        let valid = match signed.scheme {
            SignatureScheme::ED25519 => verify_ed25519(&leaf.ed25519, content, signed.signature()),
            composite => {
                composite == composite::scheme_of(leaf.peer.falcon_degree)
                    && composite::verify(&leaf.ed25519, &leaf.falcon, content, signed.signature())
            }
        };
        if valid {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::BadSignature))
        }
    }
}

/// A refusal as rustls carries it; the session takes it out again.
fn refused(refusal: Refusal) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
}

fn no_tls12() -> Error {
    Error::General("TLS 1.2 is not spoken here".into())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.certificate(leaf)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _content: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        content: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(content, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.shared.schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // No hints: they would only lengthen the server's first flight.
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.certificate(leaf)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _content: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        content: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(content, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.shared.schemes()
    }
}
