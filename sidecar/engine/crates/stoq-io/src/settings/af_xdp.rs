//! An interface whose datagrams go past the kernel's stack.

use std::os::fd::RawFd;

use serde::{Deserialize, Serialize};

use super::within;
use crate::error::EngineError;

/// AF_XDP sockets that somebody with the capabilities for it has opened (`stoq_bpf::Redirect::lend`). The
/// engine owns all descriptors from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AfXdpSettings {
    /// The interface's name, where the engine is.
    pub interface: String,
    /// Entries of each ring of a queue, a power of two.
    pub ring: u32,
    /// Bytes of a chunk, 2048 or 4096; a queue's memory has twice as many chunks as a ring has entries.
    pub chunk: u32,
    /// Whether a frame may take several chunks: whether the sockets were bound so (`XDP_USE_SG`).
    #[serde(default)]
    pub scattered: bool,
    /// Keeps the program in the kernel attached.
    pub program: RawFd,
    /// The memory in which the program is told what to take.
    pub taken: RawFd,
    /// Sockets, bound to the queues from 0 on.
    pub sockets: Vec<RawFd>,
    /// The memory of each, sealed against shrinking.
    pub memories: Vec<RawFd>,
}

impl AfXdpSettings {
    pub(super) fn check(&self) -> Result<(), EngineError> {
        within("af_xdp.ring", self.ring, 64, 1 << 15)?;
        within("af_xdp.chunk", self.chunk, 2048, 4096)?;
        let wrong = |field, value: String, reason| {
            Err(EngineError::Setting {
                field,
                value,
                reason,
            })
        };
        for (field, size) in [("af_xdp.ring", self.ring), ("af_xdp.chunk", self.chunk)] {
            if !size.is_power_of_two() {
                return wrong(field, size.to_string(), "must be a power of two");
            }
        }
        let (sockets, memories) = (self.sockets.len(), self.memories.len());
        if sockets == 0 || sockets != memories {
            let found = format!("{sockets} sockets and {memories} memories");
            return wrong("af_xdp.sockets", found, "must be one, and as many memories");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::EngineSettings;

    fn check(field: &str, value: &str) -> Result<EngineSettings, String> {
        let mut fields = vec![
            ("interface", "\"eth0\""),
            ("ring", "2048"),
            ("chunk", "2048"),
            ("program", "3"),
            ("taken", "4"),
            ("sockets", "[5, 6]"),
            ("memories", "[7, 8]"),
        ];
        fields.retain(|(name, _)| *name != field);
        fields.push((field, value));
        let fields: Vec<_> = fields
            .iter()
            .map(|(n, v)| format!("\"{n}\": {v}"))
            .collect();
        let text = format!("{{\"af_xdp\": {{{}}}}}", fields.join(", "));
        EngineSettings::from_json(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_was_lent_is_taken_as_it_is() {
        let settings = check("ring", "1024").unwrap().af_xdp.unwrap();
        assert_eq!((settings.ring, settings.sockets.len()), (1024, 2));
        assert!(!settings.scattered, "unless it is said");
        assert!(
            check("scattered", "true")
                .unwrap()
                .af_xdp
                .unwrap()
                .scattered
        );
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (field, value) in [
            ("ring", "1000"),
            ("ring", "32"),
            ("chunk", "3000"),
            ("chunk", "8192"),
            ("sockets", "[]"),
            ("sockets", "[5]"),
        ] {
            let error = check(field, value).unwrap_err();
            assert!(error.contains(&format!("af_xdp.{field}")), "{error}");
        }
    }
}
