//! The labels of a flow: ztunnel's names and values, and the negotiated suite.

use std::sync::Arc;

use serde::Serialize;

/// The text of a label that is not known; ztunnel never leaves one empty.
pub(crate) const UNKNOWN: &str = "unknown";

/// Which side of the flow counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reporter {
    /// The client's sidecar.
    Source,
    /// The server's sidecar.
    Destination,
}

/// How the flow was protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecurityPolicy {
    /// STOQ, both sides authenticated.
    MutualTls,
    /// Relayed as the application sent it.
    Unknown,
}

/// One end of a flow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Party {
    /// Name of the workload.
    pub workload: Option<Arc<str>>,
    /// Its namespace.
    pub namespace: Option<Arc<str>>,
    /// Its SPIFFE id, as its certificate proved it.
    pub principal: Option<Arc<str>>,
}

/// What a handshake negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Suite {
    /// Such as `X25519MLKEM768`.
    pub key_exchange: &'static str,
    /// The peer's signature, such as `Ed25519+FALCON-1024`.
    pub signature: &'static str,
    /// Such as `AES-256-GCM`.
    pub cipher: &'static str,
}

/// The labels of a flow's counters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FlowLabels {
    /// Which side counts.
    pub reporter: Reporter,
    /// Who dialled.
    pub source: Party,
    /// Who was dialled.
    pub destination: Party,
    /// Name and namespace of the service that was dialled, if it was one.
    pub service: Option<(Arc<str>, Arc<str>)>,
    /// How the flow was protected.
    pub policy: SecurityPolicy,
    /// What was negotiated; none for plaintext.
    pub suite: Option<Suite>,
}

impl FlowLabels {
    /// The labels of flows beyond [`MAX_FLOW_LABELS`](super::MAX_FLOW_LABELS).
    pub(super) fn overflow(reporter: Reporter, policy: SecurityPolicy) -> Self {
        Self {
            reporter,
            source: Party::default(),
            destination: Party::default(),
            service: None,
            policy,
            suite: None,
        }
    }
}

/// Why a flow failed, in ztunnel's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResponseFlag {
    /// A policy or the routing table refused it.
    Deny,
    /// The destination could not be connected.
    Connect,
    /// The handshake with the peer failed.
    TlsFailure,
    /// The peer did not answer: maybe a NetworkPolicy drops UDP 14008.
    NetworkPolicy,
    /// The peer is not who the registry says it is.
    IdentityError,
    /// The peer's certificate is revoked.
    CertRevoked,
    /// Policy requires another crypto profile than one side proves itself with.
    CryptoProfile,
    /// It was open and broke: reset by an application or lost with its connection.
    Reset,
}

impl ResponseFlag {
    /// Every flag.
    pub const ALL: [Self; 8] = [
        Self::Deny,
        Self::Connect,
        Self::TlsFailure,
        Self::NetworkPolicy,
        Self::IdentityError,
        Self::CertRevoked,
        Self::CryptoProfile,
        Self::Reset,
    ];

    /// The value of the label `response_flags`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deny => "DENY",
            Self::Connect => "CONNECT",
            Self::TlsFailure => "TLS_FAILURE",
            Self::NetworkPolicy => "NETWORK_POLICY",
            Self::IdentityError => "IDENTITY_ERROR",
            Self::CertRevoked => "CERT_REVOKED",
            Self::CryptoProfile => "CRYPTO_PROFILE",
            Self::Reset => "RESET",
        }
    }
}
