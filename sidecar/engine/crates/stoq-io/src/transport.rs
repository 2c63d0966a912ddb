//! quinn-proto's configuration, from our settings.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::crypto::HmacKey;
use quinn_proto::{
    AckFrequencyConfig, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt,
    congestion,
};
use rand_core::{OsRng, RngCore};
use stoq_adapt::{AdaptiveConfig, Congestion, Mode};
use stoq_wire::payload::LEAST_PAYLOAD;

use crate::cid::StoqConnectionIds;
use crate::settings::{EngineSettings, TransportSettings};
use crate::worker::Mark;

/// Largest first datagram. A jumbo Initial would hold the whole ClientHello: then
/// the server has received one datagram instead of two, and its amplification
/// credit (RFC 9000, 8.1) no longer covers a post-quantum certificate.
pub(crate) const MAX_INITIAL_PAYLOAD: u16 = 1452;

/// Bytes of out-of-order TLS data held per connection. Our longest flight is below
/// 7 KB; twice that lets it arrive in any order, and an attacker gets no more.
const CRYPTO_BUFFER: usize = 16 * 1024;

/// Bytes of QUIC DATAGRAM frames that wait to be sent.
const DATAGRAM_BUFFER: usize = 64 * 1024;

/// The same, of those that have come. They are taken once a turn, all of them, after whatever the
/// sockets had: quinn-proto would drop the oldest of them, and nobody would count it.
pub(crate) const DATAGRAMS_RECEIVED: usize = 1 << 20;

/// Assumed round trip before the first sample. RFC 9002 says 333 ms for the
/// internet; inside a cluster a lost first datagram must not cost a second.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// Bytes in flight at the start: ten datagrams are what the internet agreed on
/// (RFC 6928); between pods of a cluster it would take a millisecond per doubling.
const INITIAL_WINDOW: u64 = 256 * 1024;

/// Streams a peer may open before it has shown that it needs more. quinn-proto
/// allocates two map entries for each in advance.
pub(crate) const FIRST_STREAMS: u32 = 128;

/// How long a peer may withhold an ACK when ACK frequency is asked for.
const MAX_ACK_DELAY: Duration = Duration::from_millis(2);

/// Interval between stateless resets of one endpoint: bounds what a flood of
/// unknown packets can make us send.
const RESET_INTERVAL: Duration = Duration::from_millis(5);

/// Makes the congestion controllers of a worker's connections.
pub(crate) type Controllers = Arc<dyn congestion::ControllerFactory + Send + Sync>;

/// The controllers that the settings ask for: CUBIC, which adaptation may exchange.
pub(crate) fn controllers(settings: &EngineSettings) -> Controllers {
    if settings.adapt.mode == Mode::Off {
        let mut cubic = congestion::CubicConfig::default();
        cubic.initial_window(INITIAL_WINDOW);
        return Arc::new(cubic);
    }
    let seed = OsRng.next_u64();
    Arc::new(AdaptiveConfig::new(Congestion::Cubic, INITIAL_WINDOW, seed))
}

/// Parameters of every connection, dialled and accepted.
pub(crate) fn transport_config(
    settings: &TransportSettings,
    controllers: Controllers,
) -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .stream_receive_window(VarInt::from_u32(settings.stream_window))
        .receive_window(VarInt::from_u32(settings.connection_window))
        .send_window(settings.send_window.into())
        .max_concurrent_bidi_streams(VarInt::from_u32(settings.max_streams.min(FIRST_STREAMS)))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(
            settings.idle_timeout_ms,
        ))))
        .keep_alive_interval(millis(settings.keep_alive_ms))
        .initial_rtt(INITIAL_RTT)
        .initial_mtu(settings.max_payload().min(MAX_INITIAL_PAYLOAD))
        .mtu_discovery_config(Some(mtu_discovery(settings)))
        .crypto_buffer_size(CRYPTO_BUFFER)
        .datagram_receive_buffer_size(Some(DATAGRAMS_RECEIVED))
        .datagram_send_buffer_size(DATAGRAM_BUFFER)
        .congestion_controller_factory(controllers);
    if settings.ack_threshold > 0 {
        let mut frequency = AckFrequencyConfig::default();
        frequency
            .ack_eliciting_threshold(VarInt::from_u32(settings.ack_threshold))
            .max_ack_delay(Some(MAX_ACK_DELAY));
        config.ack_frequency_config(Some(frequency));
    }
    config
}

/// Bytes of a tunnel around an inner packet, in a packet of the outer connection: 1 of flags, 20 of
/// connection ID at most, 4 of packet number, 16 of tag, 9 of a DATAGRAM frame and 19 of a HOP frame.
/// quinn-proto counts on the longest form of each, too.
const TUNNEL: u16 = 69;

/// Bytes of an inner connection's packets, where the outer ones have `reserve` bytes at their end.
/// What the outer connection finds about its path later is not counted on: every gateway on the way
/// has another path, and the inner connection hears of none.
pub(crate) fn inner_payload(settings: &TransportSettings, reserve: u16) -> u16 {
    let outer = settings.max_payload().min(MAX_INITIAL_PAYLOAD);
    outer
        .saturating_sub(TUNNEL.saturating_add(reserve))
        .max(LEAST_PAYLOAD)
}

/// As [`transport_config`], for a connection inside another one, whose packets have at most `payload`
/// bytes. It does not look for more: what a datagram cannot take goes by the stream of the tunnel, so
/// every size would seem to fit.
pub(crate) fn inner_transport_config(
    settings: &TransportSettings,
    controllers: Controllers,
    payload: u16,
) -> TransportConfig {
    let mut config = transport_config(settings, controllers);
    config.initial_mtu(payload).mtu_discovery_config(None);
    config
}

/// Parameters of a worker's endpoint.
pub(crate) fn endpoint_config(
    settings: &TransportSettings,
    reset_key: Arc<dyn HmacKey>,
    (worker, generation, mark): (u8, u8, Mark),
) -> EndpointConfig {
    let mut config = EndpointConfig::new(reset_key);
    config
        .cid_generator(move || Box::new(StoqConnectionIds::new(worker, generation, mark)))
        .min_reset_interval(RESET_INTERVAL);
    // Checked settings stay within the range of this call (1200 to 65,527).
    let _ = config.max_udp_payload_size(settings.max_payload());
    config
}

fn mtu_discovery(settings: &TransportSettings) -> MtuDiscoveryConfig {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(settings.max_payload());
    discovery
}

fn millis(value: u32) -> Option<Duration> {
    (value > 0).then(|| Duration::from_millis(value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(mtu: u16, reserve: u16) -> u16 {
        let settings = TransportSettings {
            mtu,
            ..TransportSettings::default()
        };
        inner_payload(&settings, reserve)
    }

    #[test]
    fn an_inner_packet_has_what_a_tunnel_leaves_and_never_less_than_quic_needs() {
        assert_eq!(payload(1500, 0), 1383);
        assert_eq!(payload(1500, 64), 1319);
        assert_eq!(payload(1400, 0), 1283);
        for (mtu, reserve) in [(1280, 0), (1248, 256), (1500, 256)] {
            assert_eq!(payload(mtu, reserve), 1200);
        }
        assert_eq!(
            payload(9000, 0),
            1383,
            "no more than the outer connection begins with"
        );
    }
}
