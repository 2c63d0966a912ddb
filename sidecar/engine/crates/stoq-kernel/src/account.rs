//! Accounts by pod and peer.

use pyo3::prelude::*;
use stoq_bpf::Attached;

use crate::mistakes::raised;
use crate::pins::{self, Pins};
use crate::words::word;

/// The accounts, in the kernel.
#[pyclass(module = "stoq_node._kernel")]
pub(crate) struct Account(stoq_bpf::Account);

/// Interface, peer, direction, class, packets, bytes of payload.
type Entry = (u32, String, String, String, u64, u64);

#[pymethods]
impl Account {
    #[new]
    #[pyo3(signature = (pins = None))]
    fn new(py: Python<'_>, pins: Option<&Bound<'_, Pins>>) -> PyResult<Self> {
        let pins = pins::of(pins);
        py.detach(|| stoq_bpf::Account::load(pins.as_ref()))
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

    fn read(&self) -> PyResult<Vec<Entry>> {
        let accounts = self.0.read().map_err(raised)?;
        let told = |(key, sum): (stoq_bpf::AccountKey, stoq_bpf::Accounted)| {
            let (direction, class) = (word(key.direction.name()), word(key.class.name()));
            let peer = key.peer.to_string();
            (
                key.ifindex,
                peer,
                direction,
                class,
                sum.packets,
                sum.payload_bytes,
            )
        };
        Ok(accounts.into_iter().map(told).collect())
    }
}
