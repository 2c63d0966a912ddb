//! Whom a caller wants to reach.

use std::net::SocketAddr;

use pyo3::PyResult;
use stoq_core::spiffe::SpiffeId;

use crate::mistakes;

/// Address and port from `remote`, and the identity that has to be there, if one is expected; a
/// `ValueError` names the argument that is neither.
pub(crate) fn endpoint(
    remote: &str,
    expect: Option<&str>,
) -> PyResult<(SocketAddr, Option<SpiffeId>)> {
    let address = remote.parse().map_err(|_| {
        let text = format!("{remote:?} is no address and port, such as [fd00::1]:14008");
        mistakes::argument("remote", text)
    })?;
    let expect = expect
        .map(SpiffeId::parse)
        .transpose()
        .map_err(|error| mistakes::argument("expect", error))?;
    Ok((address, expect))
}
