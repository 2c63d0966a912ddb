//! Hybrid X.509 certificates: one Ed25519 and one FALCON key, two signatures.
//!
//! The FALCON parts are the alternative-signature extensions of ITU-T X.509
//! (10/2019), section 9.8, so ordinary tools read and verify the Ed25519 half:
//!
//! | extension | OID | value |
//! |---|---|---|
//! | SubjectAltPublicKeyInfo | 2.5.29.72 | the subject's FALCON key |
//! | AltSignatureAlgorithm | 2.5.29.73 | how the issuer's FALCON key signed |
//! | AltSignatureValue | 2.5.29.74 | its signature over the PreTBSCertificate |
//!
//! A root signs leaves directly: there are no intermediates, and a peer sends
//! its leaf only (docs/decisions/0004-hybrid-certificates.md).

mod authority;
mod build;
pub mod csr;
mod error;
mod extensions;
mod leaf;
pub mod oid;
mod parse;
mod pretbs;
mod root;
mod san;

pub use authority::{CertificateAuthority, IssueError, Validity};
pub use csr::Csr;
pub use error::CertificateError;
pub use leaf::Leaf;
pub use root::RootCertificate;

use rand_core::{CryptoRng, RngCore};

/// The largest certificate or request that is read, in bytes. A FALCON-1024
/// leaf has about 3.6 KB, a root 3.6 KB, a request 3.3 KB.
pub const MAX_DER_LEN: usize = 8192;

/// Bytes of a random serial number.
pub const SERIAL_LEN: usize = 16;

/// A random positive serial number of 16 bytes, without leading zeros (RFC
/// 5280, section 4.1.2.2, asks for at most 20).
pub fn random_serial<R: CryptoRng + RngCore>(rng: &mut R) -> [u8; SERIAL_LEN] {
    let mut serial = [0; SERIAL_LEN];
    rng.fill_bytes(&mut serial);
    serial[0] = serial[0] & 0x3f | 0x40;
    serial
}

/// A serial number as certificates are compared by: its magnitude, big-endian,
/// without leading zeros.
#[must_use]
pub fn plain_serial(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    &serial[zeros..]
}
