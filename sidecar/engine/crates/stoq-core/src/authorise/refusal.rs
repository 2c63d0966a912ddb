//! Why a peer is refused, in words for whoever is on call.

use std::sync::Arc;

use crate::cert::CertificateError;
use crate::profile::CryptoProfile;
use crate::spiffe::{SpiffeId, TrustDomain};
use stoq_wire::code::ConnectionCode;

/// Why [`authorise`](super::authorise) refuses a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// We have no trust bundle yet.
    #[error("no trust bundle has arrived here yet: nobody can be trusted until it does")]
    NoTrust,
    /// No certificate where one is required.
    #[error("the peer has no certificate: it must obtain one from the CA (udp port 14012) first")]
    NoCertificate,
    /// The certificate breaks a rule, or a signature does not verify.
    #[error("the peer's certificate is refused: {0}")]
    Certificate(CertificateError),
    /// Neither our trust domain nor a federated one.
    #[error(
        "{id} is of a trust domain that is neither ours ({ours}) nor federated: see MeshConfig.spec.federation"
    )]
    TrustDomain {
        /// Whom the certificate names.
        id: SpiffeId,
        /// Our own domain.
        ours: TrustDomain,
    },
    /// Issued by a root that is not in the trust bundle.
    #[error("the certificate of {0} was issued by a root that is not in the trust bundle")]
    UnknownRoot(SpiffeId),
    /// The root itself is outside its validity.
    #[error(
        "the root of {trust_domain} is valid from {not_before} to {not_after} and it is {now} (Unix time): rotate the root or set the clock"
    )]
    RootExpired {
        /// Whose root.
        trust_domain: TrustDomain,
        /// Its first valid second.
        not_before: u64,
        /// Its last valid second.
        not_after: u64,
        /// The time here.
        now: u64,
    },
    /// The certificate is no longer valid.
    #[error(
        "the certificate of {id} expired at {not_after} and it is {now} (Unix time): its sidecar cannot renew it, or a clock is wrong"
    )]
    Expired {
        /// Whom the certificate names.
        id: SpiffeId,
        /// Its last valid second.
        not_after: u64,
        /// The time here.
        now: u64,
    },
    /// The certificate is not valid yet.
    #[error(
        "the certificate of {id} is valid from {not_before} and it is {now} (Unix time): a clock is wrong"
    )]
    NotYetValid {
        /// Whom the certificate names.
        id: SpiffeId,
        /// Its first valid second.
        not_before: u64,
        /// The time here.
        now: u64,
    },
    /// The certificate is revoked.
    #[error("the certificate of {id} with serial number {} is revoked", hex(.serial))]
    Revoked {
        /// Whom the certificate names.
        id: SpiffeId,
        /// Its serial number.
        serial: Vec<u8>,
    },
    /// The identity was revoked after the certificate was issued.
    #[error(
        "certificates of {id} from before {before} (Unix time) are revoked: its sidecar must obtain a new one"
    )]
    IdentityRevoked {
        /// Whom the certificate names.
        id: SpiffeId,
        /// Certificates whose validity begins earlier are revoked.
        before: u64,
    },
    /// The transport parameters name another FALCON key than the certificate.
    #[error("the peer {0} announces a FALCON key that is not its certificate's")]
    FalconKeyId(SpiffeId),
    /// A valid certificate, but of another workload.
    #[error("the peer is {found}, not {expected} as the registry says of its address")]
    OtherId {
        /// Who should have answered.
        expected: SpiffeId,
        /// Who did.
        found: SpiffeId,
    },
    /// It proves itself with another crypto profile than policy requires.
    #[error(
        "{id} proves itself with crypto profile {found}, and {required} is required: see spec.crypto of the MeshConfig and of both workloads' TransportPolicies"
    )]
    CryptoProfile {
        /// Who it is.
        id: SpiffeId,
        /// What it signed with.
        found: CryptoProfile,
        /// What policy names.
        required: Arc<str>,
    },
    /// We prove ourselves with another crypto profile than the destination requires.
    #[error(
        "{id} requires crypto profile {required}, and this workload proves itself with {own}: see spec.crypto of the MeshConfig and of both workloads' TransportPolicies"
    )]
    OwnCryptoProfile {
        /// Whom we have dialled.
        id: SpiffeId,
        /// What we sign with.
        own: CryptoProfile,
        /// What it requires.
        required: Arc<str>,
    },
}

/// The alert of a refusal for the crypto profile, and of no other (RFC 8446, section 6.2).
pub const CRYPTO_PROFILE_ALERT: rustls::AlertDescription =
    rustls::AlertDescription::InsufficientSecurity;

impl Refusal {
    /// The TLS alert that says so (RFC 8446, section 6.2).
    #[must_use]
    pub fn alert(&self) -> rustls::AlertDescription {
        use rustls::AlertDescription as Alert;
        match self {
            Self::NoCertificate => Alert::CertificateRequired,
            Self::Certificate(_) => Alert::BadCertificate,
            Self::FalconKeyId(_) => Alert::IllegalParameter,
            Self::NoTrust
            | Self::TrustDomain { .. }
            | Self::UnknownRoot(_)
            | Self::RootExpired { .. } => Alert::UnknownCA,
            Self::Expired { .. } | Self::NotYetValid { .. } => Alert::CertificateExpired,
            Self::Revoked { .. } | Self::IdentityRevoked { .. } => Alert::CertificateRevoked,
            Self::OtherId { .. } => Alert::AccessDenied,
            Self::CryptoProfile { .. } | Self::OwnCryptoProfile { .. } => CRYPTO_PROFILE_ALERT,
        }
    }

    /// The code to close a live connection with.
    #[must_use]
    pub fn connection_code(&self) -> ConnectionCode {
        match self {
            of_time if of_time.is_of_time() => ConnectionCode::Expired,
            Self::Revoked { .. } | Self::IdentityRevoked { .. } => ConnectionCode::Revoked,
            Self::CryptoProfile { .. } | Self::OwnCryptoProfile { .. } => {
                ConnectionCode::CryptoProfile
            }
            _ => ConnectionCode::Unauthorised,
        }
    }

    /// Whether time alone makes it one: nothing was taken back.
    #[must_use]
    pub fn is_of_time(&self) -> bool {
        matches!(
            self,
            Self::Expired { .. } | Self::NotYetValid { .. } | Self::RootExpired { .. }
        )
    }

    /// A short stable name for metrics and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoTrust => "no_trust_bundle",
            Self::NoCertificate => "no_certificate",
            Self::Certificate(_) => "bad_certificate",
            Self::TrustDomain { .. } => "other_trust_domain",
            Self::UnknownRoot(_) => "unknown_root",
            Self::RootExpired { .. } => "root_expired",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::Revoked { .. } => "revoked",
            Self::IdentityRevoked { .. } => "identity_revoked",
            Self::FalconKeyId(_) => "other_falcon_key",
            Self::OtherId { .. } => "other_id",
            Self::CryptoProfile { .. } => "crypto_profile",
            Self::OwnCryptoProfile { .. } => "own_crypto_profile",
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
