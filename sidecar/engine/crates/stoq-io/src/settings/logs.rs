//! What is written where.

use serde::{Deserialize, Serialize};

/// Shape of the access log on standard output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessLogFormat {
    /// One JSON object per line.
    Json,
    /// `key=value` pairs.
    Text,
    /// None.
    #[default]
    Off,
}

/// Severity, from most to least severe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Something is broken and stays broken.
    Error,
    /// Something failed that should not have.
    Warn,
    /// Connections coming and going.
    #[default]
    Info,
    /// Refused and failed flows one by one.
    Debug,
    /// Everything.
    Trace,
}
