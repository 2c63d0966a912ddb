//! Python bindings of the STOQ engine: the module `stoq._engine`.
//!
//! Conversions only. What is decided lies in `stoq-core`, what moves bytes in
//! `stoq-io`; the typed face of this module is the Python package
//! `stoq.engine`.

use pyo3::prelude::*;

/// The STOQ engine.
#[pymodule]
mod _engine {}
