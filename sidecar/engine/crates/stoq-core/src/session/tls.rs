//! One connection's session.

use std::any::Any;
use std::io::Cursor;
use std::sync::Arc;

use quinn_proto::crypto::{
    ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, Session,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectionId, Side, TransportError};
use rustls::quic::{ClientConnection, Connection, KeyChange, Secrets, ServerConnection, Suite};
use rustls::{CipherSuite, HandshakeKind, NamedGroup, SupportedCipherSuite};
use stoq_frames::token::TokenKeys;
use stoq_wire::control::Role;
use stoq_wire::frame::token::{EXPORTER_LABEL, EXPORTER_LEN};
use stoq_wire::parameters::StoqParameters;

use super::evidence::{profile_of, signature_name, weaker};
use super::exporter::Exporter;
use super::packets::{Packets, reserved};
use super::{Evidence, keys, refuse};
use crate::authorise::{Expect, Peer, Refusal};
use crate::profile::CryptoProfile;
use crate::tickets::TicketScope;
use crate::tls::Shared;

/// A TLS handshake, its outcome, and the keys that follow from it.
pub(super) struct TlsSession {
    tls: Tls,
    side: Side,
    shared: Arc<Shared>,
    initial: Suite,
    expect: Expect,
    /// Where a client's ticket will be kept.
    scope: Option<TicketScope>,
    /// Where a server's exporter secret is.
    exporter: Option<Arc<Exporter>>,
    /// The profile of the SVID that we had to show when the handshake began, if any.
    shown: Option<CryptoProfile>,
    next_secrets: Option<Secrets>,
    /// Set with the first 1-RTT keys, where packets have a reserve.
    packets: Option<Arc<Packets>>,
    /// Set when the gate has let the peer in.
    established: Option<Arc<Evidence>>,
}

/// rustls, as long as it has something to do.
enum Tls {
    Busy(Box<Connection>),
    /// A server's handshake is over and its tickets are on their way: no client has a message to send
    /// after that, and what rustls still has, certificates among it, are kilobytes
    /// (`docs/decisions/0047-a-server-lets-go-of-tls.md`).
    Over(SupportedCipherSuite),
}

impl TlsSession {
    pub(super) fn client(
        tls: ClientConnection,
        shared: Arc<Shared>,
        initial: Suite,
        expect: Expect,
        scope: TicketScope,
    ) -> Self {
        Self {
            scope: Some(scope),
            ..Self::new(tls.into(), Side::Client, shared, initial, expect)
        }
    }

    /// `exporter` is the key log of the connection, and of no other.
    pub(super) fn server(
        tls: ServerConnection,
        shared: Arc<Shared>,
        initial: Suite,
        expect: Expect,
        exporter: Arc<Exporter>,
    ) -> Self {
        Self {
            exporter: Some(exporter),
            ..Self::new(tls.into(), Side::Server, shared, initial, expect)
        }
    }

    fn new(
        tls: Connection,
        side: Side,
        shared: Arc<Shared>,
        initial: Suite,
        expect: Expect,
    ) -> Self {
        Self {
            tls: Tls::Busy(Box::new(tls)),
            side,
            shown: shared.identity(side).map(|identity| identity.profile),
            shared,
            initial,
            expect,
            scope: None,
            exporter: None,
            next_secrets: None,
            packets: None,
            established: None,
        }
    }

    /// The gate. rustls is done, but nothing has been sent or delivered with
    /// application keys yet: a client's certificate and Finished still wait in
    /// rustls, and quinn-proto takes no 1-RTT packet before this returns.
    fn establish(&mut self) -> Result<(), TransportError> {
        let stoq = self.stoq_parameters()?;
        let certificates = self.tls.busy().and_then(|tls| tls.peer_certificates());
        let leaf = certificates.and_then(<[_]>::first);
        let peer = self
            .shared
            .authorise(leaf.map(AsRef::as_ref), &self.expect)
            .and_then(|peer| announced(peer, stoq.as_ref()))
            .and_then(|peer| self.conforming(peer))
            .map_err(|refusal| refuse::by_gate(&refusal))?;
        let resumed = self.tls.busy().and_then(|tls| tls.handshake_kind());
        if self.side == Side::Server && resumed == Some(HandshakeKind::Resumed) && peer.is_none() {
            return Err(refuse::by_gate(&Refusal::NoCertificate));
        }
        // Who showed no certificate has nothing to resume, and a session is of no use once ours is over.
        let own = self
            .shared
            .identity(self.side)
            .filter(|_| self.shown.is_some());
        if let (Some(scope), Some(peer), Some(own)) = (&self.scope, &peer, own) {
            let until = peer.not_after.min(own.not_after);
            self.shared.client_tickets.expect(scope, until);
        }
        self.reserve(stoq.as_ref());
        let packets = self.packets.as_ref().filter(|packets| packets.has_tokens());
        if let (Some(packets), Some(tls)) = (packets, self.tls.busy()) {
            let (ours, theirs) = match self.side {
                Side::Client => (Role::Client, Role::Server),
                Side::Server => (Role::Server, Role::Client),
            };
            let exporter = [0; EXPORTER_LEN];
            let exporter = tls
                .export_keying_material(exporter, EXPORTER_LABEL, Some(&[]))
                .map_err(|error| refuse::by_tls(&error, None))?;
            packets.begin(TokenKeys::new(&exporter, ours), theirs);
        }
        self.established = self.evidence(peer, stoq).map(Arc::new);
        Ok(())
    }

    /// Whether policy lets the two prove themselves as they do.
    fn conforming(&self, peer: Option<Peer>) -> Result<Option<Peer>, Refusal> {
        if let Some(peer) = &peer {
            self.shared.conforms(peer, &self.expect)?;
            if let (Side::Client, Some(own)) = (self.side, self.shown) {
                self.shared.required().of_us(&peer.spiffe, own)?;
            }
        }
        Ok(peer)
    }

    /// Decides what 1-RTT packets have at their end, as soon as both sides' parameters are known: a
    /// server makes its keys before the handshake is over, a client after.
    fn reserve(&mut self, theirs: Option<&StoqParameters>) {
        if self.packets.is_none() {
            self.packets = Packets::new(self.shared.agreed(theirs));
        }
    }

    fn stoq_parameters(&self) -> Result<Option<StoqParameters>, TransportError> {
        let block = self
            .tls
            .busy()
            .and_then(|tls| tls.quic_transport_parameters());
        StoqParameters::find(block.unwrap_or_default()).map_err(refuse::by_parameters)
    }

    /// None before a cipher is chosen.
    fn evidence(&self, peer: Option<Peer>, stoq: Option<StoqParameters>) -> Option<Evidence> {
        let tls = self.tls.busy()?;
        let cipher = tls.negotiated_cipher_suite()?;
        let own = self.shown.unwrap_or_else(|| self.shared.profile());
        let theirs = peer.as_ref().map(|peer| profile_of(own, peer));
        Some(Evidence {
            key_exchange: tls
                .negotiated_key_exchange_group()
                .map_or("none", |group| group_name(group.name())),
            peer_signature: theirs.map_or("none", signature_name),
            local_signature: self.shown.map_or("none", signature_name),
            local_profile: own,
            cipher: cipher_name(cipher.suite()),
            profile: theirs.map_or(own, |theirs| weaker(own, theirs)),
            resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
            agreed: self.shared.agreed(stoq.as_ref()),
            packets: self.packets.clone(),
            peer,
            stoq,
        })
    }

    /// Once a server's handshake is over and rustls has given its last message out.
    fn let_go(&mut self) {
        let suite = self
            .tls
            .busy()
            .and_then(|tls| tls.negotiated_cipher_suite());
        if let (Side::Server, Some(_), Some(suite)) = (self.side, &self.established, suite) {
            self.tls = Tls::Over(suite);
        }
    }
}

impl Tls {
    fn busy(&self) -> Option<&Connection> {
        match self {
            Self::Busy(tls) => Some(tls),
            Self::Over(_) => None,
        }
    }
}

impl Session for TlsSession {
    fn initial_keys(&self, cid: &ConnectionId, side: Side) -> Keys {
        keys::initial(&self.initial, *cid, side)
    }

    /// An `Arc` of an [`Evidence`], once there is anything to tell.
    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        let established = self.established.clone();
        let evidence = established.or_else(|| self.evidence(None, None).map(Arc::new))?;
        Some(Box::new(evidence))
    }

    /// The [`Peer`], once it is authorised.
    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        let peer = self.established.as_ref()?.peer.clone()?;
        Some(Box::new(peer))
    }

    /// None: 0-RTT can be replayed and is off.
    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        None
    }

    fn early_data_accepted(&self) -> Option<bool> {
        (self.side == Side::Client).then_some(false)
    }

    fn is_handshaking(&self) -> bool {
        self.tls.busy().is_some_and(|tls| tls.is_handshaking())
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        let Tls::Busy(tls) = &mut self.tls else {
            return Err(refuse::after_the_handshake());
        };
        tls.read_hs(bytes)
            .map_err(|error| refuse::by_tls(&error, tls.alert()))?;
        if self.established.is_some() || tls.is_handshaking() {
            return Ok(false);
        }
        self.establish()?;
        Ok(true)
    }

    /// Asked for during the handshake only.
    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let block = self
            .tls
            .busy()
            .and_then(|tls| tls.quic_transport_parameters());
        let Some(block) = block else {
            return Ok(None);
        };
        self.stoq_parameters()?;
        let parameters = TransportParameters::read(self.side, &mut Cursor::new(block))?;
        Ok(Some(parameters))
    }

    fn write_handshake(&mut self, out: &mut Vec<u8>) -> Option<Keys> {
        let Tls::Busy(tls) = &mut self.tls else {
            return None;
        };
        let Some(change) = tls.write_hs(out) else {
            self.let_go();
            return None;
        };
        match change {
            KeyChange::Handshake { keys } => Some(keys::keys(keys)),
            KeyChange::OneRtt { keys, next } => {
                self.next_secrets = Some(next);
                // Parameters that break a rule have closed the connection before.
                let theirs = self.stoq_parameters().ok().flatten();
                self.reserve(theirs.as_ref());
                let mut keys = keys::keys(keys);
                keys.packet = reserved(keys.packet, self.packets.as_ref());
                Some(keys)
            }
        }
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let secrets = self.next_secrets.as_mut()?;
        let keys = keys::packets(secrets.next_packet_keys());
        Some(reserved(keys, self.packets.as_ref()))
    }

    fn is_valid_retry(&self, original: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        keys::is_valid_retry(original, header, payload)
    }

    fn export_keying_material(
        &self,
        out: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        let exported = match (&self.tls, &self.exporter) {
            (Tls::Busy(tls), _) => {
                let exported = tls.export_keying_material(out, label, Some(context));
                exported.ok().map(drop)
            }
            (Tls::Over(suite), Some(exporter)) => exporter.export(*suite, out, label, context),
            (Tls::Over(_), None) => None,
        };
        exported.ok_or(ExportKeyingMaterialError)
    }
}

/// A peer that announces a FALCON key must announce its certificate's.
fn announced(peer: Option<Peer>, stoq: Option<&StoqParameters>) -> Result<Option<Peer>, Refusal> {
    let announced = stoq.and_then(|stoq| stoq.falcon_key_id);
    match (&peer, announced) {
        (Some(peer), Some(id)) if peer.falcon_key_id.0 != id => {
            Err(Refusal::FalconKeyId(peer.spiffe.clone()))
        }
        _ => Ok(peer),
    }
}

fn group_name(group: NamedGroup) -> &'static str {
    group.as_str().unwrap_or("unknown")
}

fn cipher_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "AES-256-GCM",
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "AES-128-GCM",
        _ => "unknown",
    }
}
