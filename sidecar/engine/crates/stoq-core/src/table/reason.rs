//! Why a flow is refused.

use std::fmt;

/// Why a flow is refused. Also the label of a counter, so the set is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The destination is outside the mesh and `outbound` is `meshOnly`.
    NotInMesh,
    /// The service has no such port.
    NoSuchPort,
    /// The service has no endpoint that takes connections.
    NoEndpoint,
    /// The service has endpoints, but none whose identity may serve it.
    NoAuthorisedEndpoint,
    /// The destination port is one of the mesh's own.
    ForbiddenPort,
    /// The destination is no address of this workload.
    NotMine,
    /// Plaintext arrived and `inbound` is `strict`.
    PlaintextStrict,
    /// Plaintext arrived from a workload of the mesh, which speaks STOQ.
    PlaintextFromMesh,
    /// An access policy refuses plaintext from there.
    AccessDenied,
    /// The address is IPv4 and only IPv6 may be used.
    Ipv4Refused,
    /// The destination is one of our own listeners: the flow would come back here.
    Loop,
    /// As many connections are relayed as the limit allows.
    TooManyRelays,
    /// The destination could not be dialled at all.
    ConnectFailed,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 13] = [
        Self::NotInMesh,
        Self::NoSuchPort,
        Self::NoEndpoint,
        Self::NoAuthorisedEndpoint,
        Self::ForbiddenPort,
        Self::NotMine,
        Self::PlaintextStrict,
        Self::PlaintextFromMesh,
        Self::AccessDenied,
        Self::Ipv4Refused,
        Self::Loop,
        Self::TooManyRelays,
        Self::ConnectFailed,
    ];

    /// The name used in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotInMesh => "not_in_mesh",
            Self::NoSuchPort => "no_such_port",
            Self::NoEndpoint => "no_endpoint",
            Self::NoAuthorisedEndpoint => "no_authorised_endpoint",
            Self::ForbiddenPort => "forbidden_port",
            Self::NotMine => "not_mine",
            Self::PlaintextStrict => "plaintext_strict",
            Self::PlaintextFromMesh => "plaintext_from_mesh",
            Self::AccessDenied => "access_denied",
            Self::Ipv4Refused => "ipv4_refused",
            Self::Loop => "loop",
            Self::TooManyRelays => "too_many_relays",
            Self::ConnectFailed => "connect_failed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotInMesh => "the destination is outside the mesh and outbound is meshOnly",
            Self::NoSuchPort => "the service has no such port",
            Self::NoEndpoint => "the service has no endpoint that takes connections",
            Self::NoAuthorisedEndpoint => {
                "no endpoint of the service has one of the SPIFFE ids that may serve it"
            }
            Self::ForbiddenPort => "the destination port belongs to the mesh itself",
            Self::NotMine => "the destination is no address of this workload",
            Self::PlaintextStrict => "plaintext arrived and inbound is strict",
            Self::PlaintextFromMesh => "plaintext arrived from a workload that speaks STOQ",
            Self::AccessDenied => "an access policy refuses plaintext from there",
            Self::Ipv4Refused => "the address is IPv4 and ipv6_only allows IPv6 alone",
            Self::Loop => "the destination leads back to this sidecar's own listener",
            Self::TooManyRelays => "limits.relays connections are relayed already",
            Self::ConnectFailed => "the destination could not be dialled",
        })
    }
}
