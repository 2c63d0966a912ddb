//! Connections that are recorded (`qlog`): the only ones with parameters of their own.

use std::sync::Arc;
use std::time::Instant;

use quinn_proto::{
    ClientConfig, ConnectionId, ConnectionIdGenerator, RandomConnectionIdGenerator, ServerConfig,
    TransportConfig,
};

use super::Worker;
use crate::qlog::{Recording, Role};
use crate::transport::{inner_transport_config, transport_config};

/// Bytes of the destination connection ID that a client makes up: the longest there is
/// (RFC 9000, 17.2), as quinn-proto chooses it too.
const FIRST_ID: usize = 20;

impl Worker {
    /// Gives a dial, of a connection inside another one or not, its parameters, and chooses its
    /// connection ID when the name of a file needs it; the file, if there is one.
    pub(super) fn record_dialled(
        &self,
        config: &mut ClientConfig,
        inner: bool,
        now: Instant,
    ) -> Option<Recording> {
        let usual = match inner {
            true => &self.inner_transport,
            false => &self.transport,
        };
        if self.shared.qlog.is_none() {
            config.transport_config(Arc::clone(usual));
            return None;
        }
        let id = RandomConnectionIdGenerator::new(FIRST_ID).generate_cid();
        config.initial_dst_cid_provider(Arc::new(move || id));
        let (transport, recording) = self.recorded(Role::Client, &id, inner, now).unzip();
        config.transport_config(transport.unwrap_or_else(|| Arc::clone(usual)));
        recording
    }

    /// The parameters of an accepted connection, and its file, if there is one.
    pub(super) fn recording(
        &self,
        config: Arc<ServerConfig>,
        id: &ConnectionId,
        now: Instant,
    ) -> (Arc<ServerConfig>, Option<Recording>) {
        let Some((transport, recording)) = self.recorded(Role::Server, id, false, now) else {
            return (config, None);
        };
        let mut own = ServerConfig::clone(&config);
        own.transport_config(transport);
        (Arc::new(own), Some(recording))
    }

    fn recorded(
        &self,
        role: Role,
        id: &ConnectionId,
        inner: bool,
        now: Instant,
    ) -> Option<(Arc<TransportConfig>, Recording)> {
        let qlog = self.shared.qlog.as_ref()?;
        let (stream, recording) = qlog.stream(role, id, now, &self.shared.log)?;
        let controllers = Arc::clone(&self.controllers);
        let settings = &self.shared.settings.transport;
        let mut config = match inner {
            true => inner_transport_config(settings, controllers, self.inner_payload),
            false => transport_config(settings, controllers),
        };
        config.qlog_stream(Some(stream));
        Some((Arc::new(config), recording))
    }
}
