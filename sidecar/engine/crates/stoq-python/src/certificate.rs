//! Certificates, taken apart for display, renewal and revocation.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use stoq_core::cert::{Leaf, RootCertificate};
use stoq_core::falcon::VerifyingKey;

use crate::mistakes;

/// What a certificate says. Nothing about it is verified but its form.
#[pyclass(frozen, get_all, module = "stoq._engine")]
pub(crate) struct Certificate {
    kind: &'static str,
    spiffe_id: String,
    serial: String,
    not_before: u64,
    not_after: u64,
    falcon: &'static str,
    falcon_key_id: Py<PyBytes>,
}

/// `bytes` in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a text of hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let pair = |at| u8::from_str_radix(&text[at..at + 2], 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}

/// Reads a leaf or a root.
#[pyfunction]
pub(crate) fn parse_certificate(py: Python<'_>, der: &[u8]) -> PyResult<Certificate> {
    let leaf = match py.detach(|| Leaf::parse(der)) {
        Ok(leaf) => leaf,
        // Not a leaf: then it is a root, or the leaf's fault is what to tell.
        Err(fault) => {
            return match RootCertificate::parse(der) {
                Ok(root) => Ok(root_certificate(py, &root)),
                Err(_) => Err(mistakes::argument("certificate", fault)),
            };
        }
    };
    Ok(Certificate {
        kind: "leaf",
        spiffe_id: leaf.spiffe.as_str().to_owned(),
        serial: hex(&leaf.serial),
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        falcon: leaf.falcon.degree().name(),
        falcon_key_id: key_id(py, &leaf.falcon),
    })
}

pub(crate) fn root_certificate(py: Python<'_>, root: &RootCertificate) -> Certificate {
    Certificate {
        kind: "root",
        spiffe_id: root.trust_domain.uri(),
        serial: hex(root.serial()),
        not_before: root.not_before,
        not_after: root.not_after,
        falcon: root.falcon.degree().name(),
        falcon_key_id: key_id(py, &root.falcon),
    }
}

fn key_id(py: Python<'_>, key: &VerifyingKey) -> Py<PyBytes> {
    PyBytes::new(py, &key.key_id().0).unbind()
}

#[pymethods]
impl Certificate {
    fn __repr__(&self) -> String {
        let Self {
            kind,
            spiffe_id,
            serial,
            not_after,
            ..
        } = self;
        format!("Certificate({kind}, {spiffe_id}, serial {serial}, not after {not_after})")
    }
}
