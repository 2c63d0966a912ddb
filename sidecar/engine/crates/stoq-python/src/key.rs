//! Hybrid key pairs. Python holds a handle; the secrets leave only on request.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rand_core::OsRng;
use stoq_core::cert::csr;
use stoq_core::profile::CryptoProfile;

use crate::mistakes;

/// An Ed25519 and a FALCON key pair together.
#[pyclass(frozen, module = "stoq._engine")]
pub(crate) struct HybridKey(pub(crate) stoq_core::key::HybridKey);

/// The profile of that name; keys of `classical` are hybrid ones, so it is
/// allowed here.
pub(crate) fn profile(name: &str) -> PyResult<CryptoProfile> {
    CryptoProfile::parse_allowing_classical(name).map_err(|e| mistakes::argument("profile", e))
}

#[pymethods]
impl HybridKey {
    #[staticmethod]
    #[pyo3(signature = (profile = "hybrid-1024"))]
    fn generate(py: Python<'_>, profile: &str) -> PyResult<Self> {
        let profile = self::profile(profile)?;
        Ok(Self(py.detach(|| {
            stoq_core::key::HybridKey::generate(profile, &mut OsRng)
        })))
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, encoded: &[u8]) -> PyResult<Self> {
        py.detach(|| stoq_core::key::HybridKey::from_bytes(encoded))
            .map(Self)
            .map_err(mistakes::value)
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.to_bytes())
    }

    #[getter]
    fn ed25519_public<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.ed25519_public())
    }

    #[getter]
    fn falcon_public<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.falcon_public().as_bytes())
    }

    fn csr<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let request = py.detach(|| csr::build(&self.0, &mut OsRng));
        PyBytes::new(py, &request)
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }
}
