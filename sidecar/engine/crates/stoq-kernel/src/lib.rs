//! Python bindings of `stoq-bpf`: the module `stoq_node._kernel`.
//!
//! Conversions only, and a module of its own: building it takes clang, and a sidecar never loads it.
//! Enumerations are words in Python, the header's names in small letters (`plain_tcp`).

mod account;
mod guard;
mod mistakes;
mod permission;
mod pins;
mod redirect;
mod splice;
mod strict;
mod words;

use pyo3::prelude::*;

/// Kernel programs of STOQ: load, pin, attach, exchange, read.
#[pymodule]
mod _kernel {
    #[pymodule_export]
    use crate::account::Account;
    #[pymodule_export]
    use crate::guard::Guard;
    #[pymodule_export]
    use crate::mistakes::{KernelError, NoInterface};
    #[pymodule_export]
    use crate::permission::Permission;
    #[pymodule_export]
    use crate::pins::Pins;
    #[pymodule_export]
    use crate::redirect::{Lent, lend};
    #[pymodule_export]
    use crate::splice::Splice;
    #[pymodule_export]
    use crate::strict::Strict;
}
