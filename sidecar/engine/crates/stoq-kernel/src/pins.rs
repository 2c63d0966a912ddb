//! The folder in which maps and links are pinned.

use pyo3::prelude::*;

use crate::mistakes::raised;

/// A folder of a bpffs that belongs to STOQ alone.
#[pyclass(frozen, module = "stoq_node._kernel")]
pub(crate) struct Pins(pub(crate) stoq_bpf::Pins);

#[pymethods]
impl Pins {
    #[new]
    fn new(root: &str) -> PyResult<Self> {
        stoq_bpf::Pins::open(root).map(Self).map_err(raised)
    }

    fn attached(&self, program: &str) -> PyResult<Vec<u32>> {
        self.0.attached(program).map_err(raised)
    }
}

/// What a load takes: the folder, or nothing.
pub(crate) fn of(pins: Option<&Bound<'_, Pins>>) -> Option<stoq_bpf::Pins> {
    pins.map(|pins| pins.get().0.clone())
}
