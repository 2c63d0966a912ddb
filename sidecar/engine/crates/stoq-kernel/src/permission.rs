//! What strict mode lets pass in the clear.

use std::net::IpAddr;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::mistakes::raised;
use crate::words;

/// Plaintext that may open connections.
#[pyclass(frozen, eq, hash, module = "stoq_node._kernel")]
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Permission(pub(crate) stoq_bpf::Permission);

#[pymethods]
impl Permission {
    #[staticmethod]
    fn network(network: &str, direction: &str) -> PyResult<Self> {
        Ok(Self(stoq_bpf::Permission::Network {
            network: network.parse().map_err(raised)?,
            direction: words::direction(direction)?,
        }))
    }

    #[staticmethod]
    fn service(address: &str, port: u16, protocol: &str, reason: &str) -> PyResult<Self> {
        let address: IpAddr = address.parse().map_err(|error| {
            PyValueError::new_err(format!("address: {address:?} is no IP address: {error}"))
        })?;
        Ok(Self(stoq_bpf::Permission::Service {
            // As the maps say it, so that what is read back is the same.
            address: address.to_canonical(),
            port,
            protocol: words::protocol(protocol)?,
            reason: words::reason(reason)?,
        }))
    }

    #[staticmethod]
    fn port(port: u16, protocol: &str, direction: &str) -> PyResult<Self> {
        Ok(Self(stoq_bpf::Permission::Port {
            port,
            protocol: words::protocol(protocol)?,
            direction: words::direction(direction)?,
        }))
    }

    #[staticmethod]
    fn probe(port: u16) -> Self {
        Self(stoq_bpf::Permission::Probe { port })
    }

    fn __repr__(&self) -> String {
        format!("<Permission {:?}>", self.0)
    }
}
