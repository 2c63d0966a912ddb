//! What a gateway forwards at most.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stoq_frames::hop::Limits;
use stoq_wire::frame::hop::MAX_GATEWAYS;

use super::within;
use crate::error::EngineError;

/// The bounds of a gateway, all workers together unless something else is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewaySettings {
    /// Routes at once, each with a socket of its own where it ends here.
    pub routes: u32,
    /// Of those, routes of one identity.
    pub routes_per_peer: u32,
    /// Gateways of a route.
    pub gateways: u8,
    /// Bytes of a route that wait until they can be sent, in each direction.
    pub queue_bytes: u32,
    /// A route that forwards nothing for so long is ended.
    pub idle_ms: u32,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            routes: 1024,
            routes_per_peer: 64,
            gateways: 4,
            queue_bytes: 256 << 10,
            idle_ms: 60_000,
        }
    }
}

impl GatewaySettings {
    pub(super) fn check(&self) -> Result<(), EngineError> {
        within("gateway.routes", self.routes, 1, 1 << 20)?;
        within("gateway.routes_per_peer", self.routes_per_peer, 1, 1 << 20)?;
        within("gateway.gateways", self.gateways, 1, MAX_GATEWAYS as u8)?;
        // Less than a flight of a handshake would have to be sent again and again.
        within("gateway.queue_bytes", self.queue_bytes, 16 << 10, 64 << 20)?;
        within("gateway.idle_ms", self.idle_ms, 1000, 86_400_000)
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            gateways: self.gateways.into(),
            routes: self.routes as usize,
            routes_each: self.routes_per_peer as usize,
            bytes: self.queue_bytes as usize,
            idle: Duration::from_millis(self.idle_ms.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::EngineSettings;

    #[test]
    fn an_empty_group_is_a_gateway_with_the_usual_bounds() {
        let settings = EngineSettings::from_json(r#"{"gateway": {}}"#).unwrap();
        assert_eq!(settings.gateway, Some(GatewaySettings::default()));
        assert_eq!(settings.gateway.unwrap().limits(), Limits::default());
        assert_eq!(EngineSettings::from_json("{}").unwrap().gateway, None);
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        for (field, value) in [
            ("routes", 0),
            ("routes_per_peer", 0),
            ("gateways", 9),
            ("queue_bytes", 1000),
            ("idle_ms", 10),
        ] {
            let text = format!(r#"{{"gateway": {{"{field}": {value}}}}}"#);
            let error = EngineSettings::from_json(&text).unwrap_err().to_string();
            let named = format!("gateway.{field}");
            assert!(
                error.contains(&named) && error.contains(&value.to_string()),
                "{error}"
            );
        }
    }
}
