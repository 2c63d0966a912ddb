//! A connection as the engine tells about it.

use std::time::Instant;

use stoq_core::falcon::KeyId;

use super::objects::LinkSignatures;
use super::{Link, Origin, Phase};
use crate::snapshot::{ConnectionInfo, ConnectionState, Initiator, SignatureInfo};

/// Describes one connection.
pub(super) fn describe(worker: usize, link: &Link, now: Instant) -> ConnectionInfo {
    let stats = link.quic.stats();
    let evidence = link.evidence.as_deref();
    let peer = evidence.and_then(|evidence| evidence.peer.as_ref());
    let agreed = evidence.map_or_else(Default::default, |evidence| evidence.agreed);
    let took = link.established.map(|at| (at - link.started).as_secs_f64());
    let rtt = link.first_rtt.as_secs_f64();
    ConnectionInfo {
        worker,
        initiator: match link.origin {
            Origin::Dialled(_) => Initiator::Dialled,
            Origin::Mesh | Origin::Bootstrap => Initiator::Accepted,
        },
        state: match link.phase {
            Phase::Handshake => ConnectionState::Handshake,
            Phase::Established => ConnectionState::Established,
            Phase::Gone => ConnectionState::Closing,
        },
        remote: link.quic.remote_address(),
        spiffe_id: peer.map(|peer| peer.spiffe.as_str().to_owned()),
        key_exchange: evidence.map(|evidence| evidence.key_exchange),
        signature: evidence.map(|evidence| evidence.peer_signature),
        local_signature: evidence.map(|evidence| evidence.local_signature),
        cipher: evidence.map(|evidence| evidence.cipher),
        profile: evidence.map(|evidence| evidence.profile.name()),
        packet_reserve: agreed.reserve,
        packet_tokens: agreed.packet_tokens(),
        stream_tokens: agreed.stream_tokens(),
        signatures: agreed
            .signatures()
            .then(|| SignatureInfo::of(&link.signatures)),
        resumed: evidence.is_some_and(|evidence| evidence.resumed),
        peer_expires: peer.map(|peer| peer.not_after),
        handshake_seconds: took,
        handshake_round_trips: took
            .filter(|_| rtt > 0.0)
            .map(|took| (took / rtt).round().max(1.0) as u32),
        age_seconds: now.duration_since(link.started).as_secs_f64(),
        streams: link.stream_count(),
        bytes_sent: stats.udp_tx.bytes,
        bytes_received: stats.udp_rx.bytes,
        rtt_seconds: stats.path.rtt.as_secs_f64(),
        congestion_window: link
            .path
            .as_ref()
            .map_or(stats.path.cwnd, |path| path.congestion_window()),
        mtu: stats.path.current_mtu,
        lost_packets: stats.path.lost_packets,
        congestion_events: stats.path.congestion_events,
        adaptation: link.path.as_ref().map(|path| path.describe(now)),
    }
}

impl SignatureInfo {
    fn of(found: &LinkSignatures) -> Self {
        let last = found.last.as_deref();
        let key_id = last.map(|proof| KeyId(proof.signature.key_id).to_string());
        Self {
            verified: found.verified,
            refused: found.refused,
            signer: last.map(|proof| proof.signer.spiffe.as_str().to_owned()),
            key_id,
        }
    }
}
