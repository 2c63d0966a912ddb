//! What an engine is told at start. Nothing else configures it: no environment
//! variable is read anywhere in this crate.

mod af_xdp;
mod gateway;
mod logs;
mod udp;

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stoq_adapt::PolicyDocument;

use crate::adaptation;
use crate::error::EngineError;

pub use af_xdp::AfXdpSettings;
pub use gateway::GatewaySettings;
pub use logs::{AccessLogFormat, LogLevel};
pub use udp::UdpSettings;

/// Most workers an engine starts: beyond it, one pod would take the node.
pub const MAX_WORKERS: u8 = 4;

/// Smallest interface MTU that can carry QUIC over IPv6 (RFC 9000, 14): 1200
/// bytes of UDP payload and 48 of headers.
pub const MIN_MTU: u16 = 1248;

/// Bytes of IPv6 and UDP headers in front of a datagram's payload.
const HEADERS: u16 = 48;

/// Everything an engine needs to know, in groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineSettings {
    /// Name of the workload this engine serves, for logs and metrics.
    pub name: String,
    /// Namespace of that workload.
    pub namespace: String,
    /// Worker threads; 0: one per CPU the process may use, at most [`MAX_WORKERS`].
    pub workers: u8,
    /// The listener for mutually authenticated STOQ; none: only dial.
    pub stoq: Option<ListenerSettings>,
    /// The listener that also accepts clients without a certificate (API streams only).
    pub bootstrap: Option<ListenerSettings>,
    /// Where captured outbound TCP arrives.
    pub outbound: Option<ListenerSettings>,
    /// Where captured inbound plaintext TCP arrives.
    pub inbound: Option<ListenerSettings>,
    /// 32 hexadecimal digits, answered to the capture probe.
    pub probe_nonce: Option<String>,
    /// A transparent IPv4 listener on loopback from the broker; the engine owns it from
    /// now on. None: [`set_transparent`](crate::Engine::set_transparent) takes CAP_NET_RAW for
    /// IPv4 clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transparent_fd: Option<RawFd>,
    /// Sockets for captured UDP; none: it is not captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp: Option<UdpSettings>,
    /// An interface whose datagrams go past the kernel's stack; none: all go by the sockets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub af_xdp: Option<AfXdpSettings>,
    /// Forward routes of others, as far as the table's rules let them pass; none: no gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewaySettings>,
    /// Refuse IPv4 everywhere.
    pub ipv6_only: bool,
    /// QUIC parameters.
    pub transport: TransportSettings,
    /// Adaptation of live connections to their paths.
    pub adapt: PolicyDocument,
    /// Bounds.
    pub limits: LimitSettings,
    /// The connection pool.
    pub pool: PoolSettings,
    /// One line per relayed connection.
    pub access_log: AccessLogFormat,
    /// Least severe level that is logged.
    pub log_level: LogLevel,
    /// Folder, which must exist, for one qlog file per connection; none: no qlog.
    pub qlog_dir: Option<PathBuf>,
}

/// One listening address, or sockets that somebody else bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerSettings {
    /// The address to bind; with `fds` it only documents what they are bound to.
    pub listen: SocketAddr,
    /// Bound sockets from the broker, one per worker; the engine owns them from now on.
    #[serde(default)]
    pub fds: Vec<RawFd>,
}

/// QUIC parameters of every connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TransportSettings {
    /// MTU of the pod's interface in bytes, headers included.
    pub mtu: u16,
    /// Bytes a peer may send on one stream before the application has read them.
    pub stream_window: u32,
    /// The same over all streams of a connection.
    pub connection_window: u32,
    /// Further bytes, over all connections of a worker, by which connection windows
    /// grow to make up for streams whose application has stalled.
    pub stalled_window: u32,
    /// Bytes accepted from applications and not yet acknowledged, per connection.
    pub send_window: u32,
    /// A connection that hears nothing for so long is dead.
    pub idle_timeout_ms: u32,
    /// An otherwise silent connection sends a ping this often; 0: never.
    pub keep_alive_ms: u32,
    /// A dial that is not answered within this time has failed.
    pub dial_timeout_ms: u32,
    /// Streams that a peer may have open on one connection.
    pub max_streams: u32,
    /// Ask peers for one ACK per so many packets (ACK frequency); 0: QUIC's every second.
    pub ack_threshold: u32,
    /// Datagrams per kernel send at most; the kernel takes up to 64.
    pub gso_segments: u16,
}

impl Default for TransportSettings {
    fn default() -> Self {
        Self {
            mtu: 1500,
            stream_window: 1_000_000,
            connection_window: 8_000_000,
            stalled_window: 128_000_000,
            send_window: 4_000_000,
            idle_timeout_ms: 15_000,
            keep_alive_ms: 5_000,
            dial_timeout_ms: 5_000,
            max_streams: 4096,
            ack_threshold: 0,
            gso_segments: 64,
        }
    }
}

/// Bounds on what peers and applications can make the engine hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// QUIC connections per worker; further ones are refused.
    pub connections: u32,
    /// Handshakes in flight per worker above which a client must first prove its
    /// address by Retry (RFC 9000, 8.1.2), before any public-key operation.
    pub handshakes_before_retry: u32,
    /// Handshakes in flight per worker above which Initials are dropped.
    pub handshakes: u32,
    /// Relayed TCP connections per worker; further ones are reset.
    pub relays: u32,
    /// API streams open at once; further ones are refused.
    pub api_streams: u32,
    /// Bytes of the largest object that is taken from a peer, 8 MiB at most.
    pub object_bytes: u32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            connections: 20_000,
            handshakes_before_retry: 64,
            handshakes: 1024,
            relays: 50_000,
            api_streams: 4096,
            object_bytes: 8 << 20,
        }
    }
}

impl LimitSettings {
    /// What transfers from peers may make the engine hold, all workers together.
    pub(crate) fn shards(&self) -> stoq_frames::shard::Limits {
        stoq_frames::shard::Limits {
            object: self.object_bytes.into(),
            ..Default::default()
        }
    }
}

/// How long connections to peers are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolSettings {
    /// A dialled connection without streams for so long is closed.
    pub idle_ms: u32,
    /// Streams on one connection above which new flows get a further one.
    pub streams_per_connection: u32,
    /// Connections to one peer at most.
    pub connections_per_peer: u32,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            idle_ms: 300_000,
            streams_per_connection: 2048,
            connections_per_peer: 4,
        }
    }
}

impl EngineSettings {
    /// Reads settings from their JSON document and checks every range.
    ///
    /// # Errors
    /// [`EngineError::Malformed`], [`EngineError::Field`], [`EngineError::Setting`] or
    /// [`EngineError::Ipv4Refused`].
    pub fn from_json(json: &str) -> Result<Self, EngineError> {
        let mut reader = serde_json::Deserializer::from_str(json);
        let settings: Self =
            serde_path_to_error::deserialize(&mut reader).map_err(|error| EngineError::Field {
                field: error.path().to_string(),
                reason: error.into_inner(),
            })?;
        reader.end()?;
        settings.check()?;
        Ok(settings)
    }

    /// Checks ranges and that the settings agree with each other.
    ///
    /// # Errors
    /// As [`EngineSettings::from_json`].
    pub fn check(&self) -> Result<(), EngineError> {
        within("workers", self.workers, 0, 64)?;
        let transport = &self.transport;
        within("transport.mtu", transport.mtu, MIN_MTU, 65_535)?;
        within(
            "transport.stream_window",
            transport.stream_window,
            16_384,
            1 << 30,
        )?;
        within(
            "transport.send_window",
            transport.send_window,
            16_384,
            1 << 30,
        )?;
        within("transport.max_streams", transport.max_streams, 1, 1 << 20)?;
        within("transport.gso_segments", transport.gso_segments, 1, 64)?;
        within(
            "transport.idle_timeout_ms",
            transport.idle_timeout_ms,
            100,
            86_400_000,
        )?;
        within(
            "transport.dial_timeout_ms",
            transport.dial_timeout_ms,
            10,
            600_000,
        )?;
        if transport.connection_window < transport.stream_window {
            return Err(EngineError::Setting {
                field: "transport.connection_window",
                value: transport.connection_window.to_string(),
                reason: "must be at least transport.stream_window, or one stream stalls all",
            });
        }
        within(
            "pool.connections_per_peer",
            self.pool.connections_per_peer,
            1,
            64,
        )?;
        within(
            "pool.streams_per_connection",
            self.pool.streams_per_connection,
            1,
            1 << 20,
        )?;
        within("limits.object_bytes", self.limits.object_bytes, 0, 8 << 20)?;
        if let Some(gateway) = &self.gateway {
            gateway.check()?;
        }
        if let Some(af_xdp) = &self.af_xdp {
            af_xdp.check()?;
        }
        self.nonce()?;
        adaptation::policy(&self.adapt, transport)?;
        self.check_family()
    }

    /// The bytes of `probe_nonce`.
    ///
    /// # Errors
    /// [`EngineError::Setting`] when it is not 32 hexadecimal digits.
    pub fn nonce(&self) -> Result<Option<[u8; 16]>, EngineError> {
        let Some(text) = &self.probe_nonce else {
            return Ok(None);
        };
        let wrong = || EngineError::Setting {
            field: "probe_nonce",
            value: text.clone(),
            reason: "must be 32 hexadecimal digits",
        };
        if text.len() != 32 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut nonce = [0; 16];
        for (index, byte) in nonce.iter_mut().enumerate() {
            let digits = &text[index * 2..index * 2 + 2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        Ok(Some(nonce))
    }

    fn check_family(&self) -> Result<(), EngineError> {
        if !self.ipv6_only {
            return Ok(());
        }
        let listeners = [
            ("stoq.listen", &self.stoq),
            ("bootstrap.listen", &self.bootstrap),
            ("outbound.listen", &self.outbound),
            ("inbound.listen", &self.inbound),
        ];
        for (field, listener) in listeners {
            if let Some(ListenerSettings { listen, .. }) = listener
                && listen.ip().to_canonical().is_ipv4()
            {
                return Err(EngineError::Ipv4Refused {
                    field,
                    address: *listen,
                });
            }
        }
        Ok(())
    }
}

impl TransportSettings {
    /// Largest UDP payload the interface carries, in bytes.
    #[must_use]
    pub fn max_payload(&self) -> u16 {
        self.mtu - HEADERS
    }

    /// How long a dial may take.
    #[must_use]
    pub fn dial_timeout(&self) -> Duration {
        Duration::from_millis(self.dial_timeout_ms.into())
    }
}

fn within<T: PartialOrd + ToString>(
    field: &'static str,
    value: T,
    least: T,
    most: T,
) -> Result<(), EngineError> {
    if value >= least && value <= most {
        return Ok(());
    }
    let reason = if value < least {
        "is too small"
    } else {
        "is too large"
    };
    Err(EngineError::Setting {
        field,
        value: value.to_string(),
        reason,
    })
}
