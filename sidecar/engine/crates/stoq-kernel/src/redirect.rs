//! An interface's datagrams, lent to an engine.

use std::os::fd::{IntoRawFd, RawFd};

use pyo3::prelude::*;
use stoq_bpf::Redirect;

use crate::mistakes::raised;

/// What was lent: descriptors that belong to the caller.
#[pyclass(frozen, get_all, module = "stoq_node._kernel")]
pub(crate) struct Lent {
    ring: u32,
    chunk: u32,
    scattered: bool,
    left: String,
    native: bool,
    zero_copy: bool,
    program: RawFd,
    taken: RawFd,
    queues: Vec<(RawFd, RawFd)>,
}

/// Lends an interface of the calling thread's network namespace.
#[pyfunction]
pub(crate) fn lend(py: Python<'_>, interface: &str, zero_copy: bool) -> PyResult<Lent> {
    let lent = py
        .detach(|| Redirect::load()?.lend(interface, zero_copy))
        .map_err(raised)?;
    let queues = lent.queues.into_iter();
    Ok(Lent {
        ring: lent.ring,
        chunk: lent.chunk,
        scattered: lent.scattered,
        left: lent.left.unwrap_or_default(),
        native: lent.native,
        zero_copy: lent.zero_copy,
        program: lent.program.into_raw_fd(),
        taken: lent.taken.into_raw_fd(),
        queues: queues
            .map(|queue| (queue.socket.into_raw_fd(), queue.memory.into_raw_fd()))
            .collect(),
    })
}
