//! Tokens: on streams, and faults of those in packets (`docs/wire-format.md`, section 12).

use std::time::Instant;

use quinn_proto::{Side, StreamId};
use stoq_frames::token::{TokenFault, TokenKeys};
use stoq_wire::control::Role;
use stoq_wire::frame::token::{EXPORTER_LABEL, EXPORTER_LEN};

use super::{Link, Phase, Worker};
use crate::relay::tokens::Tokens;

impl Worker {
    /// Closes a connection of which a packet was wrong (T8). Costs next to nothing where none was.
    pub(super) fn check_packets(&mut self, index: usize, now: Instant) {
        let link = self.links.get(index).and_then(Option::as_ref);
        let Some(link) = link.filter(|link| link.phase != Phase::Gone) else {
            return;
        };
        if let Some(fault) = link.packets.as_ref().and_then(|packets| packets.fault()) {
            let fault = *fault;
            self.counters().packet_refused();
            self.close_for_token(index, &fault, now);
        }
    }

    /// Closes the connection of a flow whose tokens do not verify; the flow ends with it.
    pub(super) fn token_refused(&mut self, key: usize, fault: &TokenFault, now: Instant) {
        if let Some(index) = self.flows.get(key).and_then(|slot| slot.connection) {
            self.counters().stream_token_refused();
            self.close_for_token(index, fault, now);
        }
    }

    fn close_for_token(&mut self, index: usize, fault: &TokenFault, now: Instant) {
        let why = fault.to_string();
        if let Some(link) = self.links[index].as_ref() {
            let remote = link.quic.remote_address();
            self.shared
                .log
                .warn(format_args!("closing the connection with {remote}: {why}"));
        }
        self.close(index, fault.code(), &why, now);
    }
}

impl Link {
    /// Whether streams of this connection may have tokens.
    pub(super) fn has_stream_tokens(&self) -> bool {
        let evidence = self.evidence.as_ref();
        evidence.is_some_and(|evidence| evidence.agreed.stream_tokens())
    }

    /// The tokens of a new stream, if the connection has any.
    pub(super) fn stream_tokens(&mut self, stream: StreamId) -> Option<Tokens> {
        if !self.has_stream_tokens() {
            return None;
        }
        if self.token_keys.is_none() {
            let mut exporter = [0; EXPORTER_LEN];
            let session = self.quic.crypto_session();
            session
                .export_keying_material(&mut exporter, EXPORTER_LABEL, &[])
                .ok()?;
            let role = match self.quic.side() {
                Side::Client => Role::Client,
                Side::Server => Role::Server,
            };
            self.token_keys = Some(TokenKeys::new(&exporter, role));
        }
        self.token_keys
            .as_ref()
            .map(|keys| Tokens::new(keys, stream))
    }
}
