//! What is at the end of each 1-RTT packet: the reserve, and a token in it
//! (`docs/wire-format.md`, E3 and section 12).
//!
//! quinn-proto knows nothing of it. Its [`PacketKey`] is the only place that sees a packet before
//! it is sealed and after it is opened, and an error there makes it drop the packet in silence: a
//! fault is kept here, and who drives the connection asks for it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::{BufMut, BytesMut};
use quinn_proto::crypto::{CryptoError, KeyPair, PacketKey};
use stoq_frames::token::{PacketReader, PacketWriter, TokenFault, TokenKeys};
use stoq_wire::control::Role;
use stoq_wire::extension::Negotiated;
use stoq_wire::packet::reserve;

/// QUIC's frame that asks for an acknowledgement and says nothing (RFC 9000, 19.2).
const PING: u8 = 0x01;

/// What all packet keys of a connection share.
#[derive(Debug)]
pub struct Packets {
    agreed: Negotiated,
    /// Set once the handshake is over, where packets have tokens: before that a server has no
    /// exporter value, and takes no packets.
    tokens: OnceLock<Tokens>,
    fault: OnceLock<TokenFault>,
}

#[derive(Debug)]
struct Tokens {
    writer: PacketWriter,
    reader: Mutex<PacketReader>,
}

impl Packets {
    /// None where nothing is reserved: packets are ordinary ones then.
    pub(super) fn new(agreed: Negotiated) -> Option<Arc<Self>> {
        let packets = Self {
            agreed,
            tokens: OnceLock::new(),
            fault: OnceLock::new(),
        };
        (agreed.reserve > 0).then(|| Arc::new(packets))
    }

    /// Whether packets have tokens.
    pub(super) const fn has_tokens(&self) -> bool {
        self.agreed.packet_tokens()
    }

    /// Has packets checked from now on, and tokens in those that are sent; `peer` is its role.
    pub(super) fn begin(&self, keys: TokenKeys, peer: Role) {
        let _first = self.tokens.set(Tokens {
            writer: PacketWriter::new(keys.send),
            reader: Mutex::new(PacketReader::new(keys.receive, peer)),
        });
    }

    /// What is wrong with a packet of the peer, of the first that was: the connection is to be
    /// closed with its code (T8). Costs one load.
    #[must_use]
    pub fn fault(&self) -> Option<&TokenFault> {
        self.fault.get()
    }

    /// Fills the reserve at the end of a payload that is about to be sealed.
    fn write(&self, packet: u64, plain: &mut [u8]) {
        let (payload, reserved) = plain.split_at_mut(plain.len() - self.agreed.reserve);
        let tokens = self.tokens.get();
        let token = tokens.map(|tokens| tokens.writer.token(packet, payload));
        reserve::write(token.as_ref(), reserved).expect("tokens are made only where one fits");
    }

    /// Takes the reserve off a payload that was just opened.
    fn read(&self, packet: u64, plain: &mut BytesMut) {
        match self.check(packet, plain) {
            Ok(length) => plain.truncate(length),
            Err(fault) => {
                let _first = self.fault.set(fault);
                plain.clear();
                plain.put_u8(PING);
            }
        }
    }

    /// How many bytes of a payload are QUIC's.
    fn check(&self, packet: u64, plain: &[u8]) -> Result<usize, TokenFault> {
        let (length, token) = reserve::read(plain, &self.agreed)?;
        if let Some(tokens) = self.tokens.get() {
            let mut reader = tokens.reader.lock().unwrap_or_else(PoisonError::into_inner);
            // A repetition is quinn-proto's to drop.
            reader.check(packet, &plain[..length], token.as_ref())?;
        }
        Ok(length)
    }
}

/// The same packets: every connection has its own.
impl PartialEq for Packets {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Packets {}

/// A packet key over another, with the reserve inside what the other seals.
struct ReservedKey {
    inner: Box<dyn PacketKey>,
    packets: Arc<Packets>,
}

/// The keys of a set, with the reserve if there is one.
pub(super) fn reserved(
    keys: KeyPair<Box<dyn PacketKey>>,
    packets: Option<&Arc<Packets>>,
) -> KeyPair<Box<dyn PacketKey>> {
    let Some(packets) = packets else {
        return keys;
    };
    let key = |inner| -> Box<dyn PacketKey> {
        Box::new(ReservedKey {
            inner,
            packets: packets.clone(),
        })
    };
    KeyPair {
        local: key(keys.local),
        remote: key(keys.remote),
    }
}

impl PacketKey for ReservedKey {
    fn encrypt(&self, packet: u64, buffer: &mut [u8], header_len: usize) {
        let tag = buffer.len() - self.inner.tag_len();
        self.packets.write(packet, &mut buffer[header_len..tag]);
        self.inner.encrypt(packet, buffer, header_len);
    }

    fn decrypt(
        &self,
        packet: u64,
        header: &[u8],
        payload: &mut BytesMut,
    ) -> Result<(), CryptoError> {
        self.inner.decrypt(packet, header, payload)?;
        self.packets.read(packet, payload);
        Ok(())
    }

    /// What quinn-proto leaves free after QUIC's frames.
    fn tag_len(&self) -> usize {
        self.inner.tag_len() + self.packets.agreed.reserve
    }

    fn confidentiality_limit(&self) -> u64 {
        self.inner.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.inner.integrity_limit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stoq_wire::code::ConnectionCode;
    use stoq_wire::extension::PACKET_TOKENS;

    const RESERVE: usize = 56;

    fn agreed(extensions: u64) -> Negotiated {
        Negotiated {
            extensions,
            reserve: RESERVE,
            ..Negotiated::default()
        }
    }

    /// The packets of a client and of its server.
    fn ends() -> [Arc<Packets>; 2] {
        [Role::Client, Role::Server].map(|role| {
            let packets = Packets::new(agreed(PACKET_TOKENS)).unwrap();
            let peer = match role {
                Role::Client => Role::Server,
                Role::Server => Role::Client,
            };
            let exporter = std::array::from_fn(|at| at as u8);
            packets.begin(TokenKeys::new(&exporter, role), peer);
            packets
        })
    }

    fn written(packets: &Packets, number: u64, payload: &[u8]) -> BytesMut {
        let mut plain = BytesMut::from(payload);
        plain.resize(payload.len() + RESERVE, 0xff);
        packets.write(number, &mut plain);
        plain
    }

    #[test]
    fn what_one_end_writes_the_other_reads() {
        let [client, server] = ends();
        for (from, to) in [(&client, &server), (&server, &client)] {
            let mut plain = written(from, 9, b"frames");
            to.read(9, &mut plain);
            assert_eq!(&plain[..], b"frames");
            // Once more: the network's doing, and quinn-proto's to drop.
            let mut again = written(from, 9, b"frames");
            to.read(9, &mut again);
            assert_eq!(&again[..], b"frames");
            assert_eq!(to.fault(), None);
        }
    }

    #[test]
    fn a_server_has_no_tokens_until_it_has_keys_and_checks_none() {
        let server = Packets::new(agreed(PACKET_TOKENS)).unwrap();
        let plain = written(&server, 0, b"early");
        assert!(plain.ends_with(&[0; RESERVE]));
        let [client, _] = ends();
        let mut forged = written(&client, 0, b"frames");
        forged[0] ^= 1;
        server.read(0, &mut forged);
        assert_eq!(server.fault(), None);
    }

    #[test]
    fn the_first_fault_is_kept_and_packets_with_faults_say_nothing() {
        let [client, server] = ends();
        let mut forged = written(&client, 3, b"frames");
        forged[2] ^= 1;
        server.read(3, &mut forged);
        assert_eq!(&forged[..], [PING]);
        let mut padded = written(&client, 4, b"frames");
        let last = padded.len() - 1;
        padded[last] = 1;
        server.read(4, &mut padded);
        assert_eq!(&padded[..], [PING]);
        assert_eq!(server.fault(), Some(&TokenFault::Forged(3)));
        let mut own = written(&client, 5, b"frames");
        client.read(5, &mut own);
        let fault = client.fault().unwrap();
        assert_eq!(fault.code(), ConnectionCode::BadToken, "reflected");
    }

    #[test]
    fn without_tokens_the_reserve_is_zeros_and_nothing_else() {
        let packets = Packets::new(agreed(0)).unwrap();
        let mut plain = written(&packets, 1, b"frames");
        packets.read(1, &mut plain);
        assert_eq!(&plain[..], b"frames");
        for wrong in [&b"short"[..], &[9; RESERVE + 1]] {
            let packets = Packets::new(agreed(0)).unwrap();
            packets.read(2, &mut BytesMut::from(wrong));
            let fault = packets.fault().unwrap();
            assert_eq!(fault.code(), ConnectionCode::Protocol, "{fault}");
        }
        assert!(Packets::new(Negotiated::default()).is_none());
    }
}
