//! What can go wrong between the engine and the kernel, in words for who runs the node.

use std::io;
use std::path::PathBuf;

use crate::object::Object;

/// Why something was not loaded, attached or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object was compiled from another header than this crate knows.
    #[error("{object}: {what}: the program and the engine were not built from the same source")]
    Layout {
        /// The object.
        object: Object,
        /// The structure and what differs.
        what: String,
    },
    /// A pinned map is not the one that the program needs.
    #[error(
        "{path}: the pinned map is {found}, the program needs {wanted}: remove it to start anew"
    )]
    StalePin {
        /// Where it is pinned.
        path: PathBuf,
        /// What lies there.
        found: String,
        /// What must.
        wanted: String,
    },
    /// The verifier refused the program.
    #[error("the kernel refuses program {program}: {reason}\n{log}")]
    Rejected {
        /// The program's name.
        program: String,
        /// The kernel's error.
        reason: io::Error,
        /// What the verifier wrote, as far as it was kept.
        log: String,
    },
    /// The kernel gives no link that could be pinned.
    #[error(
        "program {program} cannot stay attached without this process: the kernel has no BPF links for \
         it (Linux 5.9 for XDP, 6.6 for tc)"
    )]
    NoLink {
        /// The program's name.
        program: String,
    },
    /// There is no interface of this index.
    #[error("no network interface has index {0}")]
    NoInterface(u32),
    /// A value that the maps cannot hold.
    #[error("{0}")]
    Value(String),
    /// The folder of the pins cannot be used.
    #[error("{path}: {error}: is a bpffs mounted there?")]
    Pins {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The datagrams of an interface cannot be lent.
    #[error("{interface}: no AF_XDP: {step}: {error}{}", lend_advice(.error))]
    Lend {
        /// The interface's name.
        interface: String,
        /// What failed.
        step: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// A map has no room for another entry.
    #[error("map {map} is full")]
    Full {
        /// The map's name.
        map: &'static str,
    },
    /// Reading or changing a map failed.
    #[error("map {map}: {}", chain(.error))]
    Map {
        /// The map's name.
        map: &'static str,
        /// What aya or the kernel said.
        error: aya::maps::MapError,
    },
    /// The object could not be loaded.
    #[error("{object}: {}", chain(.error))]
    Object {
        /// The object.
        object: Object,
        /// What aya or the kernel said.
        error: aya::EbpfError,
    },
    /// A call on a program failed.
    #[error("program {program}: {}", chain(.error))]
    Program {
        /// The program's name.
        program: String,
        /// What aya or the kernel said.
        error: aya::programs::ProgramError,
    },
    /// A call on a link failed.
    #[error("link of {program}: {}", chain(.error))]
    Link {
        /// The program's name.
        program: String,
        /// What aya or the kernel said.
        error: aya::programs::links::LinkError,
    },
}

/// What is usually behind it.
fn lend_advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "; it takes CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW and CAP_IPC_LOCK"
        }
        Some(libc::EBUSY | libc::EEXIST) => {
            "; another XDP program or socket has the interface, as the guard in mode native or generic"
        }
        Some(libc::ENOBUFS) => "; it takes CAP_IPC_LOCK, or more locked memory (ulimit -l)",
        Some(libc::EOPNOTSUPP | libc::EAFNOSUPPORT) => {
            "; the driver or the kernel cannot: Linux 6.4 with CONFIG_XDP_SOCKETS is needed"
        }
        _ => "",
    }
}

/// An error with its causes: aya says which call failed, and the cause why.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let why = error.to_string();
        if !text.contains(&why) {
            text = format!("{text}: {why}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_own_reason_is_in_the_text() {
        let reason = io::Error::from_raw_os_error(libc::EPERM);
        let call = aya::sys::SyscallError {
            call: "bpf_map_update_elem",
            io_error: reason,
        };
        let error = Error::Map {
            map: "strict_pods",
            error: call.into(),
        };
        let text = error.to_string();
        assert!(text.starts_with("map strict_pods: "), "{text}");
        assert!(text.contains("not permitted"), "{text}");
    }
}
