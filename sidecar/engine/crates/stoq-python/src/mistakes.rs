//! How errors of the engine become Python exceptions.
//!
//! What the caller got wrong is a `ValueError` whose text names the field and
//! the value; what the kernel refused is an `OSError` of the kernel's number; a
//! stream that is no use any more is a `StreamClosed`.

use std::fmt::Display;
use std::io;

use pyo3::exceptions::{PyException, PyOSError, PyValueError};
use pyo3::{PyErr, create_exception};
use stoq_io::{ApiError, EngineError};

create_exception!(
    stoq._engine,
    StreamClosed,
    PyException,
    "The API stream does not exist, has failed, or cannot be opened now; the text says which."
);

/// A `ValueError` with the error's text.
pub(crate) fn value(error: impl Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// A `ValueError` that names the argument at fault.
pub(crate) fn argument(name: &str, error: impl Display) -> PyErr {
    PyValueError::new_err(format!("{name}: {error}"))
}

/// What `Engine` raises.
pub(crate) fn engine(error: EngineError) -> PyErr {
    let text = error.to_string();
    match error {
        EngineError::Malformed(_)
        | EngineError::Field { .. }
        | EngineError::Setting { .. }
        | EngineError::Adapt(_)
        | EngineError::Ipv4Refused { .. } => PyValueError::new_err(text),
        EngineError::Listen { source, .. }
        | EngineError::Adopt { source, .. }
        | EngineError::Qlog { source, .. }
        | EngineError::Worker(source) => kernel(&source, text),
    }
}

/// What calls on API streams raise.
pub(crate) fn stream(error: ApiError) -> PyErr {
    match error {
        ApiError::Ipv4Refused(_) => value(error),
        ApiError::TooMany
        | ApiError::Unknown(_)
        | ApiError::Failed(_)
        | ApiError::Stopped(_)
        | ApiError::NoKeys(_) => StreamClosed::new_err(error.to_string()),
    }
}

/// EIO, for an error of the kernel that came without a number.
const EIO: i32 = 5;

fn kernel(source: &io::Error, text: String) -> PyErr {
    PyOSError::new_err((source.raw_os_error().unwrap_or(EIO), text))
}
