//! Why an engine could not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why [`Engine::start`](crate::Engine::start) failed. Every variant names the
/// setting to change.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The settings are followed by something that does not belong to them.
    #[error("engine settings: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A setting is unknown, missing, or not of its type.
    #[error("engine setting {field}: {reason}")]
    Field {
        /// Path of the field, as in the JSON document.
        field: String,
        /// What is wrong with it.
        reason: serde_json::Error,
    },
    /// A setting has a value outside its range.
    #[error("engine setting {field} = {value}: {reason}")]
    Setting {
        /// Path of the field, as in the JSON document.
        field: &'static str,
        /// The value that was given.
        value: String,
        /// What is expected instead.
        reason: &'static str,
    },
    /// What adaptation is told makes no sense.
    #[error("engine setting adapt.{0}")]
    Adapt(#[from] stoq_adapt::PolicyError),
    /// An IPv4 address where `ipv6_only` is set.
    #[error(
        "{field} = {address}: ipv6_only is set, which refuses IPv4; use an IPv6 address or clear ipv6_only"
    )]
    Ipv4Refused {
        /// Path of the field.
        field: &'static str,
        /// The refused address.
        address: SocketAddr,
    },
    /// A listening socket could not be opened.
    #[error("cannot listen on {address} ({field}): {source}")]
    Listen {
        /// Path of the field.
        field: &'static str,
        /// The address asked for.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// A socket handed in by the broker cannot be used.
    #[error("{field}: file descriptor {fd} cannot be used: {source}")]
    Adopt {
        /// Path of the field.
        field: &'static str,
        /// The descriptor.
        fd: i32,
        /// What the kernel said.
        source: io::Error,
    },
    /// The folder for qlog files cannot be written into.
    #[error(
        "qlog_dir = {}: cannot write there: {source}; name an existing folder that the engine's user may write into, or leave it out",
        folder.display()
    )]
    Qlog {
        /// The folder.
        folder: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused something every worker needs: threads, epoll, eventfd.
    #[error("cannot start a worker: {0}")]
    Worker(#[source] io::Error),
}
