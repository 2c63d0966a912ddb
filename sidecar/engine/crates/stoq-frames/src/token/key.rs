//! The keys of a connection, and what a tag is over.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use stoq_wire::control::Role;
use stoq_wire::frame::token::{
    EXPORTER_LEN, LABEL, PACKET_TAG_LEN, PacketToken, TAG_LEN, TokenForm,
};

/// The keys of both directions, by who they are used by.
#[derive(Debug, Clone)]
pub struct TokenKeys {
    /// Of what this endpoint sends.
    pub send: TokenKey,
    /// Of what the peer sends.
    pub receive: TokenKey,
}

impl TokenKeys {
    /// From the connection's exporter value; `role` is this endpoint's.
    #[must_use]
    pub fn new(exporter: &[u8; EXPORTER_LEN], role: Role) -> Self {
        let (client, server) = exporter.split_at(EXPORTER_LEN / 2);
        let (send, receive) = match role {
            Role::Client => (client, server),
            Role::Server => (server, client),
        };
        Self {
            send: TokenKey::new(send),
            receive: TokenKey::new(receive),
        }
    }
}

/// The key of one direction.
#[derive(Clone)]
pub struct TokenKey(Hmac<Sha256>);

impl fmt::Debug for TokenKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("TokenKey")
    }
}

/// A tag that is being made.
pub(super) struct Tagging(Hmac<Sha256>);

impl TokenKey {
    fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    /// Begins a tag over `length` bytes, which [`Tagging::add`] brings.
    pub(super) fn begin(
        &self,
        form: TokenForm,
        stream: u64,
        sequence: u64,
        length: u64,
    ) -> Tagging {
        let mut head = [0; LABEL.len() + 25];
        let (label, rest) = head.split_at_mut(LABEL.len());
        label.copy_from_slice(LABEL);
        rest[0] = form.as_u8();
        rest[1..9].copy_from_slice(&stream.to_be_bytes());
        rest[9..17].copy_from_slice(&sequence.to_be_bytes());
        rest[17..].copy_from_slice(&length.to_be_bytes());
        let mut mac = self.0.clone();
        mac.update(&head);
        Tagging(mac)
    }

    /// The tag over `data`; `stream` is 0 in a packet.
    #[must_use]
    pub fn tag(&self, form: TokenForm, stream: u64, sequence: u64, data: &[u8]) -> [u8; TAG_LEN] {
        let mut tagging = self.begin(form, stream, sequence, data.len() as u64);
        tagging.add(data);
        tagging.finish()
    }

    /// The token of a packet whose payload before the reserve is `payload`.
    pub(super) fn packet(&self, packet: u64, payload: &[u8]) -> PacketToken {
        let mut tag = [0; PACKET_TAG_LEN];
        let whole = self.tag(TokenForm::Packet, 0, packet, payload);
        tag.copy_from_slice(&whole[..PACKET_TAG_LEN]);
        PacketToken { tag }
    }

    /// Whether a token is that of this packet, in constant time (T1).
    pub(super) fn is_of(&self, packet: u64, payload: &[u8], token: &PacketToken) -> bool {
        let mut tagging = self.begin(TokenForm::Packet, 0, packet, payload.len() as u64);
        tagging.add(payload);
        tagging.0.verify_truncated_left(&token.tag).is_ok()
    }
}

impl Tagging {
    pub(super) fn add(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    pub(super) fn finish(self) -> [u8; TAG_LEN] {
        self.0.finalize().into_bytes().into()
    }

    /// Whether the tag is this one, in constant time (T1).
    pub(super) fn is(self, tag: &[u8; TAG_LEN]) -> bool {
        self.0.verify_slice(tag).is_ok()
    }
}
