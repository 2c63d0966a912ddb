//! Adapting connections to their paths (`docs/adaptation.md`). A path is judged when its connection
//! has something to do anyway, so that an idle one costs nothing.

use std::time::Instant;

use quinn_proto::{Connection, VarInt};
use stoq_adapt::{Change, Congestion, Measurement, Parameters, Policy, Tier};

use super::path::{Judgement, Path};
use super::{Phase, Worker};
use crate::adaptation::TierDecided;

impl Worker {
    /// What a new connection adapts by.
    pub(super) fn adapting(&self, quic: &mut Connection, now: Instant) -> Option<Path> {
        let transport = &self.shared.settings.transport;
        let first = Parameters {
            congestion: Congestion::Cubic,
            receive_window: transport.connection_window.into(),
            send_window: transport.send_window.into(),
            gso_segments: transport.gso_segments,
        };
        let path = Path::new(quic, self.policy?, first, now)?;
        let holds = path.holds();
        quic.set_send_window(holds.send_window);
        if let Ok(window) = VarInt::from_u64(holds.receive_window) {
            quic.set_receive_window(window);
        }
        self.counters().tier_entered(path.tier());
        Some(path)
    }

    /// Judges a connection's path if that is due.
    pub(super) fn adapt(&mut self, index: usize, now: Instant) {
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        if link.phase != Phase::Established {
            return;
        }
        let Some(path) = &mut link.path else { return };
        if !path.is_due(now) {
            return;
        }
        // What it costs is told (`stoq_adapt_seconds`): the clock is read 200 times a second.
        let begun = Instant::now();
        let before = path.tier();
        let judgement = path.judge(now);
        self.take(index, before, &judgement, now);
        self.counters().path_judged(begun.elapsed());
    }

    /// Judges every path at once.
    pub(super) fn adapt_all(&mut self, now: Instant) {
        self.each_path(now, |path| path.judge_anew(now));
    }

    /// Lives by another policy from now on.
    pub(super) fn use_policy(&mut self, policy: Policy, now: Instant) {
        self.policy = Some(policy);
        self.each_path(now, |path| path.set_policy(policy));
    }

    fn each_path(&mut self, now: Instant, judge: impl Fn(&mut Path) -> Judgement) {
        for index in 0..self.links.len() {
            let Some(link) = self.links[index].as_mut() else {
                continue;
            };
            let Some(path) = &mut link.path else { continue };
            let before = path.tier();
            let judgement = judge(path);
            self.take(index, before, &judgement, now);
        }
    }

    /// Carries out what was decided.
    fn take(&mut self, index: usize, before: Tier, judgement: &Judgement, now: Instant) {
        let Some(change) = &judgement.change else {
            return;
        };
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        let Some(path) = &mut link.path else { return };
        let holds = path.take(change, now);
        link.quic.set_send_window(holds.send_window);
        if let Some(recording) = &link.recording {
            let event = TierDecided::of(change, &judgement.measured);
            recording.event(now, TierDecided::NAME, &event);
        }
        let remote = link.quic.remote_address();
        let counters = self.counters();
        counters.tier_decided(change.to);
        counters.tier_left(before);
        counters.tier_entered(change.to);
        let text = explain(change, &judgement.measured);
        self.shared.log.info(format_args!("{remote}: {text}"));
        self.apply_window(index);
    }
}

/// A decision in words.
fn explain(change: &Change, measured: &Measurement) -> String {
    let Change {
        from,
        to,
        parameters: set,
        ..
    } = change;
    let rate = measured.rate.map_or_else(String::new, |rate| {
        format!(", {:.0} Mbit/s", rate as f64 * 8e-6)
    });
    let loss = measured.loss_ppm.map_or_else(String::new, |loss| {
        format!(", {:.2} % lost", f64::from(loss) / 1e4)
    });
    format!(
        "tier {from} -> {to} ({}): round trip {:.1} ms{rate}{loss}; {} {}, windows {} and {} bytes, \
         {} datagrams at once",
        change.cause.name(),
        measured.min_rtt.as_secs_f64() * 1e3,
        if change.dry_run { "would be" } else { "now" },
        set.congestion,
        set.receive_window,
        set.send_window,
        set.gso_segments,
    )
}
