//! The node-local splice.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use stoq_bpf::{Attached, End, Pair};

use crate::mistakes::raised;
use crate::pins::{self, Pins};

/// The splice, in the kernel.
#[pyclass(module = "stoq_node._kernel")]
pub(crate) struct Splice(stoq_bpf::Splice);

/// Link and address of the client, of the server, and its port.
type Joined = (u32, String, u32, String, u16);

#[pymethods]
impl Splice {
    #[new]
    #[pyo3(signature = (pins = None))]
    fn new(py: Python<'_>, pins: Option<&Bound<'_, Pins>>) -> PyResult<Self> {
        let pins = pins::of(pins);
        py.detach(|| stoq_bpf::Splice::load(pins.as_ref()))
            .map(Self)
            .map_err(raised)
    }

    fn attach(&mut self, ifindex: u32) -> PyResult<bool> {
        let attached = self.0.attach(ifindex).map_err(raised)?;
        Ok(attached == Attached::New)
    }

    fn detach(&self, ifindex: u32) -> PyResult<bool> {
        self.0.detach(ifindex).map_err(raised)
    }

    fn sweep(&self) -> PyResult<()> {
        self.0.sweep().map_err(raised)
    }

    #[allow(
        clippy::needless_pass_by_value,
        reason = "PyO3 takes tuples out of Python's"
    )]
    fn join(&mut self, pair: Joined, until_ns: u64) -> PyResult<()> {
        self.0.join(read(&pair)?, until_ns).map_err(raised)
    }

    #[allow(
        clippy::needless_pass_by_value,
        reason = "PyO3 takes tuples out of Python's"
    )]
    fn part(&mut self, pair: Joined) -> PyResult<bool> {
        self.0.part(read(&pair)?).map_err(raised)
    }

    fn pairs(&self) -> PyResult<Vec<(Joined, u64)>> {
        let told = |(pair, until_ns): (Pair, u64)| {
            let (client, server) = (pair.client, pair.server);
            let joined = (
                client.ifindex,
                client.address.to_string(),
                server.ifindex,
                server.address.to_string(),
                pair.port,
            );
            (joined, until_ns)
        };
        Ok(self
            .0
            .pairs()
            .map_err(raised)?
            .into_iter()
            .map(told)
            .collect())
    }

    fn counts(&self) -> PyResult<Vec<(u32, u64, u64)>> {
        let counts = self.0.counts().map_err(raised)?;
        let told = |(ifindex, count): (u32, stoq_bpf::Count)| (ifindex, count.packets, count.bytes);
        Ok(counts.into_iter().map(told).collect())
    }

    fn forget(&mut self, ifindex: u32) -> PyResult<bool> {
        self.0.forget(ifindex).map_err(raised)
    }
}

fn read((client, from, server, to, port): &Joined) -> PyResult<Pair> {
    Ok(Pair {
        client: end(*client, from)?,
        server: end(*server, to)?,
        port: *port,
    })
}

fn end(ifindex: u32, address: &str) -> PyResult<End> {
    let parsed = address
        .parse()
        .map_err(|_| PyValueError::new_err(format!("address: {address:?} is none")))?;
    Ok(End {
        ifindex,
        address: parsed,
    })
}
