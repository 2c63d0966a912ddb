//! The one gate: may this peer talk to us, now?
//!
//! [`authorise`] is pure and runs after *every* handshake, full or resumed
//! (resumption skips TLS's own certificate checks), and again on live
//! connections when trust changes. Whoever it refuses gets no application byte.

mod refusal;
mod required;
mod trust;

pub use refusal::{CRYPTO_PROFILE_ALERT, Refusal};
pub use required::Required;
pub use trust::Trust;

use std::sync::Arc;

use crate::cert::{Leaf, RootCertificate};
use crate::falcon::{Degree, KeyId};
use crate::spiffe::SpiffeId;

/// Whom we expect at the other end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Expect {
    /// Exactly this workload: what a dialler requires of the address it dials.
    Id(SpiffeId),
    /// Any workload with a certificate that the trust covers: what a mesh
    /// listener requires.
    AnyInMesh,
    /// As [`Expect::AnyInMesh`], but a client may also have no certificate
    /// yet: the bootstrap listener, and no other.
    Bootstrap,
}

/// An authorised peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Whom its certificate names.
    pub spiffe: SpiffeId,
    /// The certificate's serial number, big-endian, without leading zeros.
    pub serial: Vec<u8>,
    /// The first second its certificate is valid in, as Unix time.
    pub not_before: u64,
    /// The last second its certificate is valid in, as Unix time.
    pub not_after: u64,
    /// The key identifier of the root that issued it.
    pub issuer: Vec<u8>,
    /// The parameter set of its FALCON key.
    pub falcon_degree: Degree,
    /// SHA-256 of its FALCON public key.
    pub falcon_key_id: KeyId,
    /// Its certificate. Empty for a connection with the bootstrap listener, of which an engine may
    /// have thousands: nobody is shown it there.
    pub leaf_der: Arc<[u8]>,
}

/// Decides whether the holder of `leaf` is whom we expect and trusted at `now`
/// (Unix time). `None` is returned only for [`Expect::Bootstrap`] without a
/// certificate.
///
/// Possession of the leaf's keys is not checked here: the handshake's
/// CertificateVerify, or the resumed session's secret, proves it.
///
/// # Errors
/// [`Refusal`] naming the first rule that is broken.
pub fn authorise(
    leaf: Option<&[u8]>,
    now: u64,
    trust: &Trust,
    expect: &Expect,
) -> Result<Option<Peer>, Refusal> {
    let Some(der) = leaf else {
        return without_certificate(expect).map(|()| None);
    };
    let peer = vouched(&parsed(der)?, trust)?;
    reauthorise(&peer, now, trust, expect)?;
    Ok(Some(peer))
}

/// Decides again on a peer that [`authorise`] let in, after the trust changed
/// or time passed. The signatures need no second look: the same two keys of
/// the same root still made them.
///
/// # Errors
/// [`Refusal`] naming the first rule that is broken.
pub fn reauthorise(peer: &Peer, now: u64, trust: &Trust, expect: &Expect) -> Result<(), Refusal> {
    let root = root(&peer.spiffe, trust, |root| root.key_id() == peer.issuer)?;
    standing(peer, root, now, trust, expect)
}

/// Whether one may come without a certificate.
pub(crate) fn without_certificate(expect: &Expect) -> Result<(), Refusal> {
    match expect {
        Expect::Bootstrap => Ok(()),
        Expect::Id(_) | Expect::AnyInMesh => Err(Refusal::NoCertificate),
    }
}

/// The part of the decision that no clock changes: the leaf is well-formed.
pub(crate) fn parsed(der: &[u8]) -> Result<Leaf, Refusal> {
    Leaf::parse(der).map_err(Refusal::Certificate)
}

/// The part of the decision that no clock changes: a root we trust signed the
/// leaf with both keys.
pub(crate) fn vouched(leaf: &Leaf, trust: &Trust) -> Result<Peer, Refusal> {
    let root = root(&leaf.spiffe, trust, |root| leaf.names_issuer(root))?;
    leaf.verify(root).map_err(Refusal::Certificate)?;
    Ok(Peer {
        falcon_key_id: leaf.falcon.key_id(),
        falcon_degree: leaf.falcon.degree(),
        spiffe: leaf.spiffe.clone(),
        serial: leaf.serial.clone(),
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        issuer: root.key_id().to_vec(),
        leaf_der: leaf.der().into(),
    })
}

/// The root of the id's own trust domain that issued its certificate.
fn root<'a>(
    id: &SpiffeId,
    trust: &'a Trust,
    issued: impl Fn(&RootCertificate) -> bool,
) -> Result<&'a RootCertificate, Refusal> {
    let domain = id.trust_domain();
    let roots = trust.roots_of(domain).ok_or_else(|| Refusal::TrustDomain {
        id: id.clone(),
        ours: trust.trust_domain.clone(),
    })?;
    roots
        .iter()
        .find(|root| root.trust_domain == *domain && issued(root))
        .ok_or_else(|| Refusal::UnknownRoot(id.clone()))
}

/// What can change while a certificate stays the same.
fn standing(
    peer: &Peer,
    root: &RootCertificate,
    now: u64,
    trust: &Trust,
    expect: &Expect,
) -> Result<(), Refusal> {
    let id = || peer.spiffe.clone();
    if now < root.not_before || now > root.not_after {
        return Err(Refusal::RootExpired {
            trust_domain: root.trust_domain.clone(),
            not_before: root.not_before,
            not_after: root.not_after,
            now,
        });
    }
    if trust.is_revoked(&peer.serial) {
        return Err(Refusal::Revoked {
            id: id(),
            serial: peer.serial.clone(),
        });
    }
    if let Some(before) = trust.identity_revoked(&peer.spiffe, peer.not_before) {
        return Err(Refusal::IdentityRevoked { id: id(), before });
    }
    if now > peer.not_after {
        return Err(Refusal::Expired {
            id: id(),
            not_after: peer.not_after,
            now,
        });
    }
    if now < peer.not_before {
        return Err(Refusal::NotYetValid {
            id: id(),
            not_before: peer.not_before,
            now,
        });
    }
    match expect {
        Expect::Id(expected) if *expected != peer.spiffe => Err(Refusal::OtherId {
            expected: expected.clone(),
            found: id(),
        }),
        _ => Ok(()),
    }
}
