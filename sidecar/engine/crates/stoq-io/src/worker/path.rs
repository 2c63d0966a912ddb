//! One connection's adaptation: when its path is judged, what holds, and when it may send.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::Connection;
use stoq_adapt::{
    Adapter, Change, Looks, Measurement, Pacer, Parameters, PathHandle, Policy, Tier,
};

use super::wakes::Wakes;
use crate::adaptation::{Adaptation, AdaptationChange, Standing};

/// Decisions remembered for whoever asks.
const REMEMBERED: usize = 8;

/// A connection's path.
pub(crate) struct Path {
    handle: Arc<PathHandle>,
    adapter: Adapter,
    pacer: Pacer,
    /// When the pacer lets the next datagrams go, while something waits for it.
    paced: Option<Instant>,
    /// What the connection runs by.
    holds: Parameters,
    looks: Looks,
    wakes: Wakes,
    changes: VecDeque<(Instant, Change)>,
    /// Decisions carried out so far.
    changed: u64,
}

impl Path {
    /// Of a connection that was made with `first`; none when its controller is not ours.
    pub(crate) fn new(
        quic: &Connection,
        policy: Policy,
        first: Parameters,
        now: Instant,
    ) -> Option<Self> {
        let handle = PathHandle::of(quic.congestion_state())?;
        let adapter = Adapter::new(policy, now);
        let wanted = adapter.begin(&handle, first);
        Some(Self {
            handle,
            adapter,
            pacer: Pacer::default(),
            paced: None,
            holds: grown(first, wanted),
            looks: Looks::new(now),
            wakes: Wakes::default(),
            changes: VecDeque::new(),
            changed: 0,
        })
    }

    /// Takes in that the turn of the worker that began at `turn` has brought a packet.
    pub(crate) fn on_packet(&mut self, turn: Instant) {
        self.wakes.on_packet(turn);
    }

    /// Whether the path is to be judged, as its looks say.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        self.looks.is_due(now, self.handle.samples())
    }

    /// Judges the path by what has been measured.
    pub(crate) fn judge(&mut self, now: Instant) -> Judgement {
        let measured = self.handle.measurement();
        let change = self.adapter.observe(&measured, now);
        Judgement { measured, change }
    }

    /// Judges it at once, whatever was found before.
    pub(crate) fn judge_anew(&mut self, now: Instant) -> Judgement {
        let measured = self.handle.measurement();
        let change = Some(self.adapter.trigger(&measured, now));
        Judgement { measured, change }
    }

    /// Adapts within another policy from now on.
    pub(crate) fn set_policy(&mut self, policy: Policy) -> Judgement {
        let measured = self.handle.measurement();
        let change = self.adapter.set_policy(policy);
        Judgement { measured, change }
    }

    /// Carries out what the controller does of a change, and tells what the connection is to run
    /// by: as before in a dry run.
    pub(crate) fn take(&mut self, change: &Change, now: Instant) -> Parameters {
        self.changes.truncate(REMEMBERED - 1);
        self.changes.push_front((now, *change));
        self.adapter.apply(change, &self.handle);
        if !change.dry_run {
            self.changed += 1;
            self.holds = grown(self.holds, change.parameters);
        }
        self.holds
    }

    /// The tier that parameters are from.
    pub(crate) fn tier(&self) -> Tier {
        self.adapter.tier()
    }

    /// For the access log.
    pub(crate) fn standing(&self) -> Standing {
        Standing {
            tier: self.tier().name(),
            changes: self.changed,
        }
    }

    /// Bytes the peer may send before they have been read.
    pub(crate) fn receive_window(&self) -> u64 {
        self.holds.receive_window
    }

    /// What the connection runs by.
    pub(crate) fn holds(&self) -> Parameters {
        self.holds
    }

    /// Bytes that may be in flight.
    pub(crate) fn congestion_window(&self) -> u64 {
        self.handle.window()
    }

    /// Whether the next datagrams may go; if not, [`Path::paced`] says when. What is not
    /// `established` is not held back.
    pub(crate) fn may_send(&mut self, now: Instant, established: bool) -> bool {
        self.paced = self.pacer.wait(now).filter(|_| established);
        self.paced.is_none()
    }

    /// When the datagrams that are held back may go.
    pub(crate) fn paced(&self) -> Option<Instant> {
        self.paced
    }

    /// Datagrams of `mtu` bytes to send at once, at most.
    pub(crate) fn segments(&self, mtu: usize) -> usize {
        let quantum = usize::try_from(self.handle.send_quantum()).unwrap_or(usize::MAX);
        usize::from(self.holds.gso_segments).min(quantum / mtu)
    }

    /// Notes what was sent.
    pub(crate) fn sent(&mut self, now: Instant, bytes: u64) {
        self.pacer.on_sent(now, bytes, self.handle.pacing_rate());
    }

    /// For whoever asks.
    pub(crate) fn describe(&self, now: Instant) -> Adaptation {
        let measured = self.handle.measurement();
        let (path, confidence) = self.adapter.measured_tier();
        let ratio = |ppm: u32| f64::from(ppm) / 1e6;
        Adaptation {
            tier: self.tier().name(),
            measured_tier: path.name(),
            confidence,
            congestion: self.handle.congestion().name(),
            receive_window: self.holds.receive_window,
            send_window: self.holds.send_window,
            gso_segments: self.holds.gso_segments,
            pacing_rate: self.handle.pacing_rate().map(|rate| rate.saturating_mul(8)),
            min_rtt_seconds: measured.min_rtt.as_secs_f64(),
            jitter_seconds: measured.jitter.as_secs_f64(),
            delivery_rate: measured.rate.map(|rate| rate.saturating_mul(8)),
            loss_ratio: measured.loss_ppm.map(ratio),
            application_limited_ratio: ratio(measured.app_limited_ppm),
            packets_per_wake_up: self.wakes.per_turn(),
            delivered_bytes: measured.delivered,
            lost_bytes: measured.lost,
            ecn_marks: measured.marks,
            changes: self.changes.iter().map(|told| tell(told, now)).collect(),
        }
    }
}

/// What was measured, and what was decided by it.
pub(crate) struct Judgement {
    pub(crate) measured: Measurement,
    pub(crate) change: Option<Change>,
}

/// A receive window only grows: QUIC takes no credit back, and quinn-proto grants credit again
/// that is withheld but not yet spent (`tests/limits/windows.rs`). A path that went to and fro
/// could else have a peer fill our memory.
fn grown(present: Parameters, wanted: Parameters) -> Parameters {
    let receive_window = present.receive_window.max(wanted.receive_window);
    Parameters {
        receive_window,
        ..wanted
    }
}

fn tell((at, change): &(Instant, Change), now: Instant) -> AdaptationChange {
    AdaptationChange {
        age_seconds: now.saturating_duration_since(*at).as_secs_f64(),
        from: change.from.name(),
        to: change.to.name(),
        cause: change.cause.name(),
        applied: !change.dry_run,
    }
}
