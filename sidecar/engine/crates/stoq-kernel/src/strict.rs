//! Strict mode.

use pyo3::prelude::*;
use stoq_bpf::{Attached, Direction, Pod};

use crate::mistakes::raised;
use crate::permission::Permission;
use crate::pins::{self, Pins};
use crate::words::{self, word};

/// Strict mode, in the kernel.
#[pyclass(module = "stoq_node._kernel")]
pub(crate) struct Strict(stoq_bpf::Strict);

/// Direction, reason, whether strict mode drops it, packets, bytes.
type Seen = (String, String, bool, u64, u64);

#[pymethods]
impl Strict {
    #[new]
    #[pyo3(signature = (pins = None))]
    fn new(py: Python<'_>, pins: Option<&Bound<'_, Pins>>) -> PyResult<Self> {
        let pins = pins::of(pins);
        py.detach(|| stoq_bpf::Strict::load(pins.as_ref()))
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

    #[pyo3(signature = (ifindex, *, inbound, outbound, udp, echo))]
    fn enrol(
        &mut self,
        ifindex: u32,
        inbound: &str,
        outbound: &str,
        udp: bool,
        echo: bool,
    ) -> PyResult<()> {
        let pod = Pod {
            inbound: words::mode(inbound)?,
            outbound: words::mode(outbound)?,
            udp,
            echo,
        };
        self.0.enrol(ifindex, pod).map_err(raised)
    }

    fn withdraw(&mut self, ifindex: u32) -> PyResult<bool> {
        self.0.withdraw(ifindex).map_err(raised)
    }

    fn enrolled(&self) -> PyResult<Vec<u32>> {
        self.0.enrolled().map_err(raised)
    }

    fn permit(&mut self, ifindex: Option<u32>, permission: &Bound<'_, Permission>) -> PyResult<()> {
        self.0.permit(ifindex, permission.get().0).map_err(raised)
    }

    fn forbid(&mut self, ifindex: Option<u32>, permission: &Bound<'_, Permission>) -> PyResult<()> {
        self.0.forbid(ifindex, permission.get().0).map_err(raised)
    }

    fn permissions(&self, ifindex: Option<u32>) -> PyResult<Vec<Permission>> {
        let found = self.0.permissions(ifindex).map_err(raised)?;
        Ok(found.into_iter().map(Permission).collect())
    }

    fn counts(&self, ifindex: u32) -> PyResult<Option<Vec<Seen>>> {
        let counts = self.0.counts(ifindex).map_err(raised)?;
        let told = |seen: stoq_bpf::Seen| {
            let (direction, reason) = (word(seen.direction.name()), word(seen.reason.name()));
            let dropped = seen.reason.dropped();
            (
                direction,
                reason,
                dropped,
                seen.count.packets,
                seen.count.bytes,
            )
        };
        Ok(counts.map(|counts| counts.into_iter().map(told).collect()))
    }

    fn unenrolled(&self) -> PyResult<Vec<(String, u64, u64)>> {
        let read = |&direction: &Direction| {
            let count = self.0.unenrolled(direction).map_err(raised)?;
            Ok((word(direction.name()), count.packets, count.bytes))
        };
        Direction::ALL.iter().map(read).collect()
    }
}
