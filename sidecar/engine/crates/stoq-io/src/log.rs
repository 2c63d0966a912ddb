//! The engine's own log: a line on standard error per event that a person may want.
//!
//! Nothing on the path of a byte logs. The level can be changed while it runs.

use std::fmt::Arguments;
use std::io::Write;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::settings::LogLevel;

/// Writes what is severe enough.
#[derive(Debug)]
pub(crate) struct Log {
    level: AtomicU8,
}

impl Log {
    pub(crate) fn new(level: LogLevel) -> Self {
        Self {
            level: AtomicU8::new(level as u8),
        }
    }

    pub(crate) fn set_level(&self, level: LogLevel) {
        self.level.store(level as u8, Ordering::Relaxed);
    }

    pub(crate) fn error(&self, text: Arguments<'_>) {
        self.write(LogLevel::Error, "error", text);
    }

    pub(crate) fn warn(&self, text: Arguments<'_>) {
        self.write(LogLevel::Warn, "warn", text);
    }

    pub(crate) fn info(&self, text: Arguments<'_>) {
        self.write(LogLevel::Info, "info", text);
    }

    pub(crate) fn debug(&self, text: Arguments<'_>) {
        self.write(LogLevel::Debug, "debug", text);
    }

    fn write(&self, level: LogLevel, name: &str, text: Arguments<'_>) {
        if level as u8 <= self.level.load(Ordering::Relaxed) {
            // A closed standard error must not end the data plane.
            let _ = writeln!(std::io::stderr(), "stoq-engine {name} {text}");
        }
    }
}
