//! Where sessions begin: quinn-proto's client and server configurations.

use std::sync::Arc;

use quinn_proto::crypto::{self, Keys, Session, UnsupportedVersion};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectError, ConnectionId, Side};
use rustls::quic::{ClientConnection, ServerConnection, Suite, Version};
use rustls::server::ProducesTickets as _;
use stoq_wire::payload::with_max_payload;

use super::exporter::Exporter;
use super::keys;
use super::tls::TlsSession;
use crate::authorise::Expect;
use crate::tickets::{SealedTickets, TicketScope};
use crate::tls::Shared;

/// Begins sessions of one dial.
pub(crate) struct ClientSessions {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) initial: Suite,
    pub(crate) expect: Expect,
    pub(crate) scope: TicketScope,
    /// Bytes of UDP payload that we take, where they are fewer than the endpoint says.
    pub(crate) payload: Option<u16>,
}

impl crypto::ClientConfig for ClientSessions {
    /// The server name is not used: whom we dial is [`Expect`]'s to say.
    fn start_session(
        self: Arc<Self>,
        version: u32,
        _server_name: &str,
        parameters: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        supported(version)?;
        let connection = ClientConnection::new(
            self.tls.clone(),
            Version::V1,
            self.scope.name(),
            encode(&self.shared, Side::Client, parameters, self.payload, false),
        )
        .map_err(|error| ConnectError::InvalidServerName(format!("TLS: {error}")))?;
        Ok(Box::new(TlsSession::client(
            connection,
            self.shared.clone(),
            self.initial,
            self.expect.clone(),
            self.scope.clone(),
        )))
    }
}

/// Begins sessions of one listener.
pub(crate) struct ServerSessions {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tls: Arc<rustls::ServerConfig>,
    pub(crate) initial: Suite,
    pub(crate) expect: Expect,
    /// Where clients may resume sessions that another server began, with another certificate.
    pub(crate) tickets: Option<Arc<SealedTickets>>,
}

impl crypto::ServerConfig for ServerSessions {
    fn initial_keys(&self, version: u32, cid: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        supported(version)?;
        Ok(keys::initial(&self.initial, *cid, Side::Server))
    }

    fn retry_tag(&self, _version: u32, original: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        keys::retry_tag(original, &[packet])
    }

    fn start_session(
        self: Arc<Self>,
        _version: u32,
        parameters: &TransportParameters,
    ) -> Box<dyn Session> {
        let exporter = Arc::new(Exporter::default());
        // A key log is told by no connection but its own.
        let mut tls = rustls::ServerConfig::clone(&self.tls);
        tls.key_log = exporter.clone();
        // The key of our certificate is not that of a session's which another began.
        let sealed = self.tickets.as_ref();
        let anonymous = sealed.is_some_and(|tickets| tickets.enabled());
        let connection = ServerConnection::new(
            Arc::new(tls),
            Version::V1,
            encode(&self.shared, Side::Server, parameters, None, anonymous),
        )
        .expect("our configuration speaks TLS 1.3 over QUIC, without early data");
        Box::new(TlsSession::server(
            connection,
            self.shared.clone(),
            self.initial,
            self.expect.clone(),
            exporter,
        ))
    }
}

/// QUIC's transport parameters, then ours.
fn encode(
    shared: &Shared,
    side: Side,
    parameters: &TransportParameters,
    payload: Option<u16>,
    anonymous: bool,
) -> Vec<u8> {
    let mut block = Vec::new();
    parameters.write(&mut block);
    if let Some(payload) = payload {
        block = with_max_payload(&block, payload);
    }
    let mut ours = shared.parameters(side);
    if anonymous {
        ours.falcon_key_id = None;
    }
    ours.append_to(&mut block);
    block
}

fn supported(version: u32) -> Result<(), UnsupportedVersion> {
    if version == keys::QUIC_V1 {
        Ok(())
    } else {
        Err(UnsupportedVersion)
    }
}
