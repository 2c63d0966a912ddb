//! What is said of a connection that has ended by its peer's doing, or nobody's.

use quinn_proto::{ConnectionError, TransportErrorCode};
use stoq_core::authorise::CRYPTO_PROFILE_ALERT;
use stoq_wire::code::ConnectionCode;

use super::{Link, Phase};
use crate::counters::ResponseFlag;

/// Says what a person can do about it.
pub(super) fn explain(link: &Link, reason: &ConnectionError) -> String {
    let remote = link.quic.remote_address();
    let hint = match &link.refused {
        Some(error) => format!("; the kernel refused a datagram: {error}"),
        None => String::new(),
    };
    match (link.phase, reason) {
        (Phase::Handshake, ConnectionError::TimedOut) => {
            let port = remote.port();
            format!(
                "no answer from {remote} on UDP {port}{hint}: maybe a firewall or \
                 NetworkPolicy blocks UDP {port}, or no sidecar runs there"
            )
        }
        (_, ConnectionError::ApplicationClosed(close)) => {
            let code = ConnectionCode::from_u64(close.error_code.into_inner());
            let name = code.map_or("unknown", ConnectionCode::name);
            let said = String::from_utf8_lossy(&close.reason);
            format!("{remote} closed the connection: {name} {said}")
        }
        (Phase::Handshake, other) => format!("handshake with {remote}: {other}{hint}"),
        (_, other) => format!("connection with {remote}: {other}{hint}"),
    }
}

/// What metrics call the loss of a connection.
pub(super) fn flag_of(link: &Link, reason: &ConnectionError) -> ResponseFlag {
    match (link.phase, reason) {
        _ if is_of_crypto(reason) => ResponseFlag::CryptoProfile,
        (Phase::Handshake, ConnectionError::TimedOut) => ResponseFlag::NetworkPolicy,
        (Phase::Handshake, _) => ResponseFlag::TlsFailure,
        _ => ResponseFlag::Reset,
    }
}

/// Whether a side's crypto profile ended it, whoever said so.
fn is_of_crypto(reason: &ConnectionError) -> bool {
    let alert = TransportErrorCode::crypto(CRYPTO_PROFILE_ALERT.into());
    match reason {
        ConnectionError::TransportError(error) => error.code == alert,
        ConnectionError::ConnectionClosed(close) => close.error_code == alert,
        ConnectionError::ApplicationClosed(close) => {
            close.error_code.into_inner() == ConnectionCode::CryptoProfile.as_u64()
        }
        _ => false,
    }
}
