//! A handshake and packet protection without cryptography: the transport is under test, and a TLS
//! library would take longer to build than all the runs. Transport parameters are exchanged and
//! all three packet number spaces used, as in TLS.

use std::any::Any;
use std::sync::Arc;

use bytes::BytesMut;
use quinn_proto::crypto::{
    self, AeadKey, CryptoError, ExportKeyingMaterialError, HandshakeTokenKey, HeaderKey, HmacKey,
    KeyPair, Keys, PacketKey, Session, UnsupportedVersion,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectError, ConnectionId, Side, TransportError};

/// Bytes of a tag, as every cipher of TLS 1.3 has them.
const TAG: usize = 16;

pub(crate) struct Plain;

struct PlainSession {
    side: Side,
    ours: Vec<u8>,
    theirs: Option<TransportParameters>,
    /// Messages written and read so far.
    written: u8,
    read: u8,
}

impl PlainSession {
    fn new(side: Side, params: &TransportParameters) -> Self {
        let mut ours = Vec::new();
        params.write(&mut ours);
        Self {
            side,
            ours,
            theirs: None,
            written: 0,
            read: 0,
        }
    }
}

impl Session for PlainSession {
    fn initial_keys(&self, _: &ConnectionId, _: Side) -> Keys {
        keys()
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        None
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        None
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        None
    }

    fn early_data_accepted(&self) -> Option<bool> {
        None
    }

    fn is_handshaking(&self) -> bool {
        self.read < 2
    }

    /// Client: hello, parameters. Server: parameters, finish.
    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        self.read += 1;
        let expected = if self.side.is_client() { 2 } else { 1 };
        if self.read == expected {
            let params = TransportParameters::read(self.side, &mut &*buf)?;
            self.theirs = Some(params);
        }
        Ok(false)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        Ok(self.theirs)
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        let step = (self.side, self.written, self.read);
        match step {
            (Side::Client, 0, _) => buf.extend_from_slice(&self.ours),
            (Side::Client, 1, 1..) | (Side::Server, 1, _) => {
                if self.side.is_server() {
                    buf.extend_from_slice(&self.ours);
                }
            }
            (Side::Client, 2, 2..) => buf.extend_from_slice(b"finish"),
            (Side::Server, 0, 1..) => buf.extend_from_slice(b"hello"),
            _ => return None,
        }
        self.written += 1;
        (step.0.is_server() || step.1 > 0).then(keys)
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        Some(pair(|| Box::new(Plain) as Box<dyn PacketKey>))
    }

    fn is_valid_retry(&self, _: &ConnectionId, _: &[u8], _: &[u8]) -> bool {
        false
    }

    fn export_keying_material(
        &self,
        _: &mut [u8],
        _: &[u8],
        _: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        Err(ExportKeyingMaterialError)
    }
}

impl crypto::ClientConfig for Plain {
    fn start_session(
        self: Arc<Self>,
        _: u32,
        _: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        Ok(Box::new(PlainSession::new(Side::Client, params)))
    }
}

impl crypto::ServerConfig for Plain {
    fn initial_keys(&self, _: u32, _: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        Ok(keys())
    }

    fn retry_tag(&self, _: u32, _: &ConnectionId, _: &[u8]) -> [u8; 16] {
        [0; 16]
    }

    fn start_session(self: Arc<Self>, _: u32, params: &TransportParameters) -> Box<dyn Session> {
        Box::new(PlainSession::new(Side::Server, params))
    }
}

impl PacketKey for Plain {
    fn encrypt(&self, _: u64, _: &mut [u8], _: usize) {}

    fn decrypt(&self, _: u64, _: &[u8], payload: &mut BytesMut) -> Result<(), CryptoError> {
        let plain = payload.len().checked_sub(TAG).ok_or(CryptoError)?;
        payload.truncate(plain);
        Ok(())
    }

    fn tag_len(&self) -> usize {
        TAG
    }

    fn confidentiality_limit(&self) -> u64 {
        u64::MAX
    }

    fn integrity_limit(&self) -> u64 {
        u64::MAX
    }
}

impl HeaderKey for Plain {
    fn decrypt(&self, _: usize, _: &mut [u8]) {}

    fn encrypt(&self, _: usize, _: &mut [u8]) {}

    fn sample_size(&self) -> usize {
        TAG
    }
}

impl HmacKey for Plain {
    fn sign(&self, data: &[u8], out: &mut [u8]) {
        for (index, byte) in data.iter().enumerate() {
            let at = index % out.len();
            out[at] = out[at].rotate_left(3) ^ byte ^ 0x5a;
        }
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, _: &[u8], _: &[u8]) -> Result<(), CryptoError> {
        Err(CryptoError)
    }
}

impl HandshakeTokenKey for Plain {
    fn aead_from_hkdf(&self, _: &[u8]) -> Box<dyn AeadKey> {
        Box::new(Plain)
    }
}

impl AeadKey for Plain {
    fn seal(&self, _: &mut Vec<u8>, _: &[u8]) -> Result<(), CryptoError> {
        Ok(())
    }

    fn open<'a>(&self, data: &'a mut [u8], _: &[u8]) -> Result<&'a mut [u8], CryptoError> {
        Ok(data)
    }
}

fn pair<T>(make: impl Fn() -> T) -> KeyPair<T> {
    KeyPair {
        local: make(),
        remote: make(),
    }
}

fn keys() -> Keys {
    Keys {
        header: pair(|| Box::new(Plain) as Box<dyn HeaderKey>),
        packet: pair(|| Box::new(Plain) as Box<dyn PacketKey>),
    }
}
