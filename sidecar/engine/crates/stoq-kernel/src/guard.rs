//! The guard of an uplink.

use pyo3::prelude::*;
use stoq_bpf::{Attached, Limits, Listing, Rate};

use crate::mistakes::raised;
use crate::pins::{self, Pins};
use crate::words::{self, word};

/// The guard, in the kernel.
#[pyclass(module = "stoq_node._kernel")]
pub(crate) struct Guard(stoq_bpf::Guard);

/// Initials a second and at once; `None`: no limit.
type Limit = Option<(u32, u32)>;

#[pymethods]
impl Guard {
    #[new]
    #[pyo3(signature = (stage, pins = None))]
    fn new(py: Python<'_>, stage: &str, pins: Option<&Bound<'_, Pins>>) -> PyResult<Self> {
        let (stage, pins) = (words::stage(stage)?, pins::of(pins));
        py.detach(|| stoq_bpf::Guard::load(stage, pins.as_ref()))
            .map(Self)
            .map_err(raised)
    }

    fn attach(&mut self, ifindex: u32, mode: &str) -> PyResult<bool> {
        let mode = words::guard_mode(mode)?;
        let attached = self.0.attach(ifindex, mode).map_err(raised)?;
        Ok(attached == Attached::New)
    }

    fn detach(&self, ifindex: u32) -> PyResult<bool> {
        self.0.detach(ifindex).map_err(raised)
    }

    fn sweep(&self) -> PyResult<()> {
        self.0.sweep().map_err(raised)
    }

    #[pyo3(signature = (*, source, ceiling))]
    fn configure(&mut self, source: Limit, ceiling: Limit) -> PyResult<()> {
        let limits = Limits {
            source: rate(source),
            ceiling: rate(ceiling),
            ..Limits::default()
        };
        self.0.configure(&limits).map_err(raised)
    }

    fn allow(&mut self, network: &str) -> PyResult<()> {
        let network = network.parse().map_err(raised)?;
        self.0.list(network, Listing::Allow).map_err(raised)
    }

    fn deny(&mut self, network: &str) -> PyResult<()> {
        let network = network.parse().map_err(raised)?;
        self.0.list(network, Listing::Deny).map_err(raised)
    }

    fn listed(&self) -> PyResult<Vec<String>> {
        let listed = self.0.listed().map_err(raised)?;
        Ok(listed
            .iter()
            .map(|(network, _)| network.to_string())
            .collect())
    }

    fn unlist(&mut self, network: &str) -> PyResult<bool> {
        let network = network.parse().map_err(raised)?;
        self.0.unlist(network).map_err(raised)
    }

    fn counts(&self) -> PyResult<Vec<(String, u64, u64)>> {
        let counts = self.0.counts().map_err(raised)?;
        let told = counts
            .into_iter()
            .map(|(verdict, count)| (word(verdict.name()), count.packets, count.bytes));
        Ok(told.collect())
    }
}

fn rate(limit: Limit) -> Option<Rate> {
    limit.map(|(per_second, burst)| Rate { per_second, burst })
}
