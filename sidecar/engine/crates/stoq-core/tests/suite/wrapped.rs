//! Sessions whose 1-RTT packet keys are wrapped, as frames in packets will
//! need it: to pin what quinn-proto does with such keys.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::BytesMut;
use quinn_proto::crypto::{
    ClientConfig, CryptoError, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey,
    ServerConfig, Session, UnsupportedVersion,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectError, ConnectionId, Side, TransportError};

/// Bytes every 1-RTT packet reserves.
pub(crate) const RESERVE: usize = 48;

/// What fills them.
const FILL: u8 = 0xa5;

/// What the wrapped keys of one end saw, and what they shall do.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) sealed: AtomicUsize,
    pub(crate) opened: AtomicUsize,
    pub(crate) key_sets: AtomicUsize,
    pub(crate) refuse: AtomicBool,
}

struct Key {
    inner: Box<dyn PacketKey>,
    meter: Arc<Meter>,
}

impl PacketKey for Key {
    fn encrypt(&self, packet: u64, buffer: &mut [u8], header_len: usize) {
        let tag = buffer.len() - self.inner.tag_len();
        buffer[tag - RESERVE..tag].fill(FILL);
        self.meter.sealed.fetch_add(1, Ordering::Relaxed);
        self.inner.encrypt(packet, buffer, header_len);
    }

    fn decrypt(
        &self,
        packet: u64,
        header: &[u8],
        payload: &mut BytesMut,
    ) -> Result<(), CryptoError> {
        self.inner.decrypt(packet, header, payload)?;
        self.meter.opened.fetch_add(1, Ordering::Relaxed);
        if self.meter.refuse.load(Ordering::Relaxed) {
            return Err(CryptoError);
        }
        let end = payload.len() - RESERVE;
        assert!(payload[end..].iter().all(|byte| *byte == FILL));
        payload.truncate(end);
        Ok(())
    }

    fn tag_len(&self) -> usize {
        self.inner.tag_len() + RESERVE
    }

    fn confidentiality_limit(&self) -> u64 {
        self.inner.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.inner.integrity_limit()
    }
}

struct Wrapped {
    inner: Box<dyn Session>,
    meter: Arc<Meter>,
    /// Key sets that `write_handshake` gave out: the second is 1-RTT's.
    given: usize,
}

impl Wrapped {
    fn wrap(&self, keys: KeyPair<Box<dyn PacketKey>>) -> KeyPair<Box<dyn PacketKey>> {
        self.meter.key_sets.fetch_add(1, Ordering::Relaxed);
        let key = |inner| {
            Box::new(Key {
                inner,
                meter: self.meter.clone(),
            })
        };
        KeyPair {
            local: key(keys.local),
            remote: key(keys.remote),
        }
    }
}

impl Session for Wrapped {
    fn write_handshake(&mut self, out: &mut Vec<u8>) -> Option<Keys> {
        let mut keys = self.inner.write_handshake(out)?;
        self.given += 1;
        if self.given == 2 {
            keys.packet = self.wrap(keys.packet);
        }
        Some(keys)
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let keys = self.inner.next_1rtt_keys()?;
        Some(self.wrap(keys))
    }

    fn initial_keys(&self, cid: &ConnectionId, side: Side) -> Keys {
        self.inner.initial_keys(cid, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.inner.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.inner.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.inner.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.inner.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.inner.is_handshaking()
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        self.inner.read_handshake(bytes)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.inner.transport_parameters()
    }

    fn is_valid_retry(&self, original: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.inner.is_valid_retry(original, header, payload)
    }

    fn export_keying_material(
        &self,
        out: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.inner.export_keying_material(out, label, context)
    }
}

pub(crate) struct WrappedClient(pub(crate) Arc<dyn ClientConfig>, pub(crate) Arc<Meter>);

impl ClientConfig for WrappedClient {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        parameters: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let inner = self.0.clone();
        Ok(Box::new(Wrapped {
            inner: inner.start_session(version, server_name, parameters)?,
            meter: self.1.clone(),
            given: 0,
        }))
    }
}

pub(crate) struct WrappedServer(pub(crate) Arc<dyn ServerConfig>, pub(crate) Arc<Meter>);

impl ServerConfig for WrappedServer {
    fn initial_keys(&self, version: u32, cid: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.0.initial_keys(version, cid)
    }

    fn retry_tag(&self, version: u32, original: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.0.retry_tag(version, original, packet)
    }

    fn start_session(
        self: Arc<Self>,
        version: u32,
        parameters: &TransportParameters,
    ) -> Box<dyn Session> {
        Box::new(Wrapped {
            inner: self.0.clone().start_session(version, parameters),
            meter: self.1.clone(),
            given: 0,
        })
    }
}
