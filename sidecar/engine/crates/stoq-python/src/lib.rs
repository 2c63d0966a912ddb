//! Python bindings of the STOQ engine: the module `stoq._engine`.
//!
//! Conversions only. What is decided lies in `stoq-core`, what moves bytes in
//! `stoq-io`; the typed face of this module is the Python package
//! `stoq.engine`. No worker thread ever calls into Python, and whatever takes
//! longer than a few microseconds runs without the interpreter's lock.

mod authority;
mod certificate;
mod dialled;
mod engine;
mod falcon;
mod key;
mod mistakes;
mod objects;
mod streams;
mod tls;

use mimalloc::MiMalloc;
use pyo3::prelude::*;

/// Workers allocate and free all day across threads; glibc's arenas would keep
/// what a burst has touched.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The STOQ engine: FALCON, certificates, TLS and the data plane.
#[pymodule]
mod _engine {
    #[pymodule_export]
    use crate::authority::CertificateAuthority;
    #[pymodule_export]
    use crate::certificate::{Certificate, parse_certificate};
    #[pymodule_export]
    use crate::engine::Engine;
    #[pymodule_export]
    use crate::falcon::{FalconSigningKey, FalconVerifyingKey};
    #[pymodule_export]
    use crate::key::HybridKey;
    #[pymodule_export]
    use crate::mistakes::StreamClosed;
    #[pymodule_export]
    use crate::objects::Objects;
    #[pymodule_export]
    use crate::streams::{ApiStreams, StreamPeer};
    #[pymodule_export]
    use crate::tls::TlsContext;
}
