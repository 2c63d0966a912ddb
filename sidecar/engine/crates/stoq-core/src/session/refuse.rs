//! Turning refusals and TLS errors into what closes the connection.

use quinn_proto::{TransportError, TransportErrorCode};
use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};
use stoq_wire::parameters::ParameterError;

use crate::authorise::Refusal;

/// CRYPTO_ERROR with the refusal's alert (RFC 9001, section 4.8).
pub(super) fn by_gate(refusal: &Refusal) -> TransportError {
    crypto(refusal.alert(), refusal.to_string())
}

/// A TLS error; `alert` is the one that rustls would have sent.
pub(super) fn by_tls(error: &Error, alert: Option<AlertDescription>) -> TransportError {
    if let Some(refusal) = refusal_in(error) {
        return by_gate(&refusal);
    }
    let reason = explain(error).map_or_else(|| format!("TLS: {error}"), str::to_owned);
    match alert {
        Some(alert) => crypto(alert, reason),
        None => transport(TransportErrorCode::PROTOCOL_VIOLATION, reason),
    }
}

/// As rustls refuses what a client sends once the handshake is over (RFC 8446, section 4.6; RFC 9001,
/// section 6, of a KeyUpdate).
pub(super) fn after_the_handshake() -> TransportError {
    let reason = "TLS: a message came after the handshake, where a client has none to send";
    crypto(AlertDescription::UnexpectedMessage, reason.to_owned())
}

/// TRANSPORT_PARAMETER_ERROR (RFC 9000, section 7.4).
pub(super) fn by_parameters(error: ParameterError) -> TransportError {
    transport(
        TransportErrorCode::TRANSPORT_PARAMETER_ERROR,
        error.to_string(),
    )
}

fn crypto(alert: AlertDescription, reason: String) -> TransportError {
    transport(TransportErrorCode::crypto(alert.into()), reason)
}

fn transport(code: TransportErrorCode, reason: String) -> TransportError {
    TransportError {
        code,
        frame: None,
        reason,
    }
}

/// The refusal that our verifier wrapped, or what rustls says for one of ours.
fn refusal_in(error: &Error) -> Option<Refusal> {
    match error {
        Error::NoCertificatesPresented => Some(Refusal::NoCertificate),
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            other.0.downcast_ref::<Refusal>().cloned()
        }
        _ => None,
    }
}

/// Words for the operator where rustls' name the mechanism only.
fn explain(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            "the peer's CertificateVerify does not verify: it does not hold both keys of its certificate"
        }
        Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon) => {
            "the peer offers no key exchange of our crypto profile: X25519MLKEM768 is required"
        }
        Error::PeerIncompatible(PeerIncompatible::NoSignatureSchemesInCommon) => {
            "the peer accepts no signature of our crypto profile: Ed25519 with FALCON is required"
        }
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) => {
            "the peer offers no packet cipher of ours: see the AEAD of both sides' crypto profile"
        }
        Error::NoApplicationProtocol => "the peer does not speak stoq/1 (ALPN)",
        _ => return None,
    })
}
