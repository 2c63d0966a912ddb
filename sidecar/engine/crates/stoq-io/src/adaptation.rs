//! Adaptation as the engine is told about it, and as it tells about it.

use serde::Serialize;
use stoq_adapt::{Bounds, Change, Measurement, Mode, Policy, PolicyDocument, PolicyError};

use crate::settings::TransportSettings;

/// By how much a receive window may exceed the configured one unless the settings say otherwise:
/// with both defaults this is what the widest tier asks for. Whoever configures less, because
/// peers can make us hold it, gets less.
const RECEIVE_WINDOWS: u64 = 2;

/// The same for send windows.
const SEND_WINDOWS: u64 = 4;

/// What the settings allow; none when adaptation is off.
///
/// # Errors
/// [`PolicyError`] naming the field.
pub(crate) fn policy(
    document: &PolicyDocument,
    transport: &TransportSettings,
) -> Result<Option<Policy>, PolicyError> {
    let mut policy = Policy::try_from(document)?;
    let (receive, send) = (transport.connection_window, transport.send_window);
    match document.receive_window {
        None => widest(&mut policy.receive_window, receive, RECEIVE_WINDOWS),
        Some([_, most]) if most < u64::from(receive) => {
            let reason = format!(
                "the most, {most}, is less than transport.connection_window, {receive}, which \
                 connections begin with: lower that, or raise this"
            );
            let field = "receive_window";
            return Err(PolicyError { field, reason });
        }
        Some(_) => {}
    }
    if document.send_window.is_none() {
        widest(&mut policy.send_window, send, SEND_WINDOWS);
    }
    Ok((document.mode != Mode::Off).then_some(policy))
}

fn widest(bounds: &mut Bounds<u64>, configured: u32, times: u64) {
    bounds.most = bounds.most.min(u64::from(configured) * times);
    bounds.least = bounds.least.min(bounds.most);
}

/// A policy in place of the one that a running engine began with.
///
/// # Errors
/// As [`policy`], and for a mode that needs connections of another kind.
pub(crate) fn replaced(
    first: &PolicyDocument,
    document: &PolicyDocument,
    transport: &TransportSettings,
) -> Result<Policy, PolicyError> {
    let refused = |reason: &str| PolicyError {
        field: "mode",
        reason: reason.to_owned(),
    };
    if first.mode == Mode::Off {
        let reason = "the engine was started with off: restart it with on or dry-run";
        return Err(refused(reason));
    }
    let off = "off cannot be had while the engine runs: use dry-run, or restart it";
    policy(document, transport)?.ok_or_else(|| refused(off))
}

/// How one connection has adapted to its path.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Adaptation {
    /// The tier its parameters are from; `standard` until three measurements agree.
    pub tier: &'static str,
    /// The tier of the path, whatever the policy.
    pub measured_tier: &'static str,
    /// How sure that is, 0 to 1.
    pub confidence: f64,
    /// Congestion controller in force.
    pub congestion: &'static str,
    /// Bytes the peer may send before they have been read; grants for stalled streams not counted.
    pub receive_window: u64,
    /// Bytes accepted from applications and not yet acknowledged.
    pub send_window: u64,
    /// Datagrams per kernel send at most.
    pub gso_segments: u16,
    /// Bits per second it sends at; none: as fast as the window allows.
    pub pacing_rate: Option<u64>,
    /// Smallest recent round trip, in seconds.
    pub min_rtt_seconds: f64,
    /// Difference of one round trip to the next, smoothed, in seconds.
    pub jitter_seconds: f64,
    /// Largest recent delivery rate in bits per second while the path was the limit.
    pub delivery_rate: Option<u64>,
    /// Share of bytes lost lately, without the worst burst; none: too few to tell.
    pub loss_ratio: Option<f64>,
    /// Share of the last two seconds in which the application was the limit.
    pub application_limited_ratio: f64,
    /// Packets that a turn of the worker has for it, smoothed (a sixteenth); none before the first.
    pub packets_per_wake_up: Option<f64>,
    /// Bytes delivered.
    pub delivered_bytes: u64,
    /// Bytes found lost.
    pub lost_bytes: u64,
    /// ACKs on which the count of ECN marks grew.
    pub ecn_marks: u64,
    /// The last decisions, the newest first.
    pub changes: Vec<AdaptationChange>,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdaptationChange {
    /// Seconds ago.
    pub age_seconds: f64,
    /// The tier before.
    pub from: &'static str,
    /// The tier from then on.
    pub to: &'static str,
    /// `measured`, `policy` or `manual`.
    pub cause: &'static str,
    /// Whether it was carried out; not in a dry run.
    pub applied: bool,
}

/// One decision, as an event of qlog (`docs/operations.md`). Units as qlog has them: milliseconds,
/// bytes, bits per second.
#[derive(Debug, Serialize)]
pub(crate) struct TierDecided {
    old: &'static str,
    new: &'static str,
    cause: &'static str,
    applied: bool,
    congestion: &'static str,
    receive_window: u64,
    send_window: u64,
    gso_segments: u16,
    min_rtt: f64,
    smoothed_rtt: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_rate: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    loss_ratio: Option<f64>,
}

impl TierDecided {
    /// Namespace and type of the event.
    pub(crate) const NAME: &str = "stoq:tier_decided";

    /// What was decided, and what it was decided by.
    pub(crate) fn of(change: &Change, measured: &Measurement) -> Self {
        let set = change.parameters;
        Self {
            old: change.from.name(),
            new: change.to.name(),
            cause: change.cause.name(),
            applied: !change.dry_run,
            congestion: set.congestion.name(),
            receive_window: set.receive_window,
            send_window: set.send_window,
            gso_segments: set.gso_segments,
            min_rtt: measured.min_rtt.as_secs_f64() * 1e3,
            smoothed_rtt: measured.smoothed_rtt.as_secs_f64() * 1e3,
            delivery_rate: measured.rate.map(|rate| rate.saturating_mul(8)),
            loss_ratio: measured.loss_ppm.map(|ppm| f64::from(ppm) / 1e6),
        }
    }
}

/// How a connection stands when something that it carried ends, for the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The tier its parameters are from.
    pub tier: &'static str,
    /// Decisions carried out on it since it began.
    pub changes: u64,
}
