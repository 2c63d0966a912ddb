//! The one URI name of a certificate.

use der::Decode;
use x509_cert::ext::pkix::name::{GeneralName, GeneralNames};

use super::CertificateError;

/// The URI of a SubjectAltName extension's value. "An X.509 SVID MUST contain
/// exactly one URI SAN" (SPIFFE X.509-SVID, section 2); names of other kinds
/// are passed over.
pub(super) fn only_uri(value: &[u8]) -> Result<String, CertificateError> {
    let names = GeneralNames::from_der(value)?;
    let uris: Vec<&str> = names
        .iter()
        .filter_map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
            _ => None,
        })
        .collect();
    match uris[..] {
        // IA5String allows NUL. What prints like a valid id must not pass for it.
        [uri] if uri.contains('\0') => Err(CertificateError::Nul),
        [uri] => Ok(uri.to_owned()),
        _ => Err(CertificateError::UriNames(uris.len())),
    }
}
