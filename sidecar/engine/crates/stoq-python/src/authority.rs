//! The certificate authority.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rand_core::OsRng;
use stoq_core::cert::csr::Csr;
use stoq_core::cert::{Validity, random_serial};
use stoq_core::spiffe::{SpiffeId, TrustDomain};

use crate::certificate::{Certificate, root_certificate};
use crate::key::{HybridKey, profile};
use crate::mistakes;

/// A dual root: an Ed25519 and a FALCON key that both sign every certificate.
#[pyclass(frozen, module = "stoq._engine")]
pub(crate) struct CertificateAuthority(stoq_core::cert::CertificateAuthority);

#[pymethods]
impl CertificateAuthority {
    #[staticmethod]
    #[pyo3(signature = (trust_domain, not_before, not_after, profile = "hybrid-1024"))]
    fn create(
        py: Python<'_>,
        trust_domain: &str,
        not_before: u64,
        not_after: u64,
        profile: &str,
    ) -> PyResult<Self> {
        let profile = self::profile(profile)?;
        let domain = TrustDomain::parse(trust_domain)
            .map_err(|error| mistakes::argument("trust_domain", error))?;
        let validity = Validity {
            not_before,
            not_after,
        };
        py.detach(|| {
            let serial = random_serial(&mut OsRng);
            stoq_core::cert::CertificateAuthority::create(
                &domain, profile, validity, &serial, &mut OsRng,
            )
        })
        .map(Self)
        .map_err(mistakes::value)
    }

    #[staticmethod]
    fn from_parts(py: Python<'_>, key: &HybridKey, root: &[u8]) -> PyResult<Self> {
        let key = key.0.clone();
        py.detach(|| stoq_core::cert::CertificateAuthority::from_parts(key, root))
            .map(Self)
            .map_err(|error| mistakes::argument("root", error))
    }

    #[getter]
    fn key(&self) -> HybridKey {
        HybridKey(self.0.key().clone())
    }

    #[getter]
    fn root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.root().der())
    }

    #[getter]
    fn certificate(&self, py: Python<'_>) -> Certificate {
        root_certificate(py, self.0.root())
    }

    fn issue<'py>(
        &self,
        py: Python<'py>,
        csr: &[u8],
        spiffe_id: &str,
        not_before: u64,
        not_after: u64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let id = SpiffeId::parse(spiffe_id).map_err(|e| mistakes::argument("spiffe_id", e))?;
        let validity = Validity {
            not_before,
            not_after,
        };
        let leaf = py.detach(|| {
            let request =
                Csr::parse_and_verify(csr).map_err(|error| mistakes::argument("csr", error))?;
            let serial = random_serial(&mut OsRng);
            self.0
                .issue(&request, &id, validity, &serial, &mut OsRng)
                .map_err(mistakes::value)
        })?;
        Ok(PyBytes::new(py, &leaf))
    }

    fn __repr__(&self) -> String {
        format!(
            "CertificateAuthority({})",
            self.0.root().trust_domain.as_str()
        )
    }
}
