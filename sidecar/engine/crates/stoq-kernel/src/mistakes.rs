//! How errors of `stoq-bpf` become Python exceptions.

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use stoq_bpf::Error;

create_exception!(
    stoq_node._kernel,
    KernelError,
    PyException,
    "The kernel, or what is pinned, refuses. `program` names the program, if it was one; `log` is what \
     the verifier wrote, if it was the verifier."
);

create_exception!(
    stoq_node._kernel,
    NoInterface,
    KernelError,
    "There is no network interface of this index, or no more."
);

/// A `ValueError` for what the caller got wrong, a `NoInterface` or a `KernelError` for the rest.
pub(crate) fn raised(error: Error) -> PyErr {
    let text = error.to_string();
    let (program, log) = match error {
        Error::Value(_) => return PyValueError::new_err(text),
        Error::Rejected { program, log, .. } => (Some(program), log),
        Error::NoLink { program }
        | Error::Program { program, .. }
        | Error::Link { program, .. } => (Some(program), String::new()),
        Error::NoInterface(_) => return with(NoInterface::new_err(text), None, String::new()),
        Error::Layout { object, .. } | Error::Object { object, .. } => {
            (Some(object.to_string()), String::new())
        }
        Error::StalePin { .. }
        | Error::Pins { .. }
        | Error::Map { .. }
        | Error::Full { .. }
        | Error::Lend { .. } => (None, String::new()),
    };
    with(KernelError::new_err(text), program, log)
}

fn with(error: PyErr, program: Option<String>, log: String) -> PyErr {
    Python::attach(|py| {
        let value = error.value(py);
        let set = value
            .setattr("program", program)
            .and_then(|()| value.setattr("log", log));
        set.map_or_else(|failed| failed, |()| error.clone_ref(py))
    })
}
