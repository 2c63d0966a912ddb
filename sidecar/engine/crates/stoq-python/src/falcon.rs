//! FALCON key pairs.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rand_core::OsRng;
use stoq_core::falcon::{Degree, SigningKey, VerifyingKey};

use crate::mistakes;

/// A FALCON private key with its public key.
#[pyclass(frozen, module = "stoq._engine")]
pub(crate) struct FalconSigningKey(SigningKey);

/// A FALCON public key.
#[pyclass(frozen, eq, hash, module = "stoq._engine")]
#[derive(Clone)]
pub(crate) struct FalconVerifyingKey(VerifyingKey);

impl PartialEq for FalconVerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes() == other.0.as_bytes()
    }
}

impl std::hash::Hash for FalconVerifyingKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.as_bytes().hash(state);
    }
}

fn degree(number: u32) -> PyResult<Degree> {
    match number {
        512 => Ok(Degree::Falcon512),
        1024 => Ok(Degree::Falcon1024),
        other => Err(mistakes::argument(
            "degree",
            format!("{other} is neither 512 nor 1024"),
        )),
    }
}

fn number(degree: Degree) -> u32 {
    match degree {
        Degree::Falcon512 => 512,
        Degree::Falcon1024 => 1024,
    }
}

#[pymethods]
impl FalconSigningKey {
    #[staticmethod]
    #[pyo3(signature = (degree = 1024))]
    fn generate(py: Python<'_>, degree: u32) -> PyResult<Self> {
        let degree = self::degree(degree)?;
        Ok(Self(py.detach(|| SigningKey::generate(degree, &mut OsRng))))
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, encoded: &[u8]) -> PyResult<Self> {
        py.detach(|| SigningKey::from_bytes(encoded))
            .map(Self)
            .map_err(mistakes::value)
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.to_bytes())
    }

    #[getter]
    fn degree(&self) -> u32 {
        number(self.0.degree())
    }

    #[getter]
    fn verifying_key(&self) -> FalconVerifyingKey {
        FalconVerifyingKey(self.0.verifying_key().clone())
    }

    fn sign<'py>(&self, py: Python<'py>, message: &[u8]) -> Bound<'py, PyBytes> {
        let signature = py.detach(|| self.0.sign(&mut OsRng, message));
        PyBytes::new(py, &signature)
    }

    fn __repr__(&self) -> String {
        format!("FalconSigningKey({:?})", self.0.verifying_key())
    }
}

#[pymethods]
impl FalconVerifyingKey {
    #[staticmethod]
    fn from_bytes(encoded: &[u8]) -> PyResult<Self> {
        VerifyingKey::from_bytes(encoded)
            .map(Self)
            .map_err(mistakes::value)
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.as_bytes())
    }

    #[getter]
    fn degree(&self) -> u32 {
        number(self.0.degree())
    }

    #[getter]
    fn key_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.key_id().0)
    }

    fn verify(&self, py: Python<'_>, message: &[u8], signature: &[u8]) -> bool {
        py.detach(|| self.0.verify(message, signature))
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }
}
