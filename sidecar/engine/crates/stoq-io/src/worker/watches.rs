//! What is watched of a connection while it lives: use, silence, and its peer's right
//! to speak.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use stoq_core::authorise::Expect;
use stoq_wire::code::ConnectionCode;

use super::observe::Outcome;
use super::{Origin, Phase, Timer, Worker};
use crate::counters::ResponseFlag;

/// Certificates are valid through their last second.
const EXPIRY_GRACE: Duration = Duration::from_secs(1);

/// A peer from which nothing has come for so long is asked after when it is needed.
const SILENCE: Duration = Duration::from_secs(1);

impl Worker {
    /// Watches a dialled connection so that it is closed when it is not used.
    pub(super) fn watch_idle(&mut self, index: usize, now: Instant) {
        let idle = Duration::from_millis(self.shared.settings.pool.idle_ms.into());
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        if link.idle_watched || !matches!(link.origin, Origin::Dialled(_)) {
            return;
        }
        link.idle_watched = true;
        let since = link.idle_since.unwrap_or(now);
        let timer = Timer::PoolIdle {
            index,
            serial: link.serial,
        };
        self.set_link_timer(index, since + idle, timer);
    }

    pub(super) fn pool_idle_due(&mut self, index: usize, serial: u64, now: Instant) {
        let idle = Duration::from_millis(self.shared.settings.pool.idle_ms.into());
        let Some(link) = self.link_of(index, serial) else {
            return;
        };
        link.idle_watched = false;
        match link.idle_since {
            Some(since) if now >= since + idle => {
                self.close(index, ConnectionCode::Idle, "not used", now);
            }
            Some(_) => self.watch_idle(index, now),
            // In use: watched again when its last stream ends.
            None => {}
        }
    }

    /// A stream was opened on a connection that has been silent: a living peer
    /// acknowledges it within milliseconds.
    pub(super) fn watch_silence(&mut self, index: usize, now: Instant) {
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        if link.silence_watched || now < link.heard + SILENCE {
            return;
        }
        link.silence_watched = true;
        let timer = Timer::Silence {
            index,
            serial: link.serial,
        };
        self.set_link_timer(index, now + SILENCE, timer);
    }

    /// New flows get another connection if the peer has still said nothing. Those on this one
    /// wait, unless they can begin anew at another endpoint: it may come back until its idle
    /// timeout.
    pub(super) fn silence_due(&mut self, index: usize, serial: u64, now: Instant) {
        let Some(link) = self.link_of(index, serial) else {
            return;
        };
        link.silence_watched = false;
        if now < link.heard + SILENCE || link.phase != Phase::Established {
            return;
        }
        link.suspect = true;
        let flows = link.flows();
        let why = format!(
            "{} does not answer on its connection",
            link.quic.remote_address()
        );
        self.shared
            .log
            .warn(format_args!("{why}; new flows dial again"));
        let outcome = Outcome::Connection {
            why: why.into(),
            flag: ResponseFlag::NetworkPolicy,
        };
        for key in flows {
            self.tried_elsewhere(key, &outcome, now);
        }
    }

    /// Looks at the peer's certificate again when it has run out, at Unix time `expires`.
    pub(super) fn watch_expiry(&mut self, index: usize, expires: u64, now: Instant) {
        self.check_authority_at(index, now + until(expires));
    }

    fn check_authority_at(&mut self, index: usize, at: Instant) {
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let timer = Timer::Expiry {
            index,
            serial: link.serial,
        };
        if let Some(earlier) = link.expiry.replace(at) {
            self.timers.cancel(earlier, timer);
        }
        self.set_link_timer(index, at, timer);
    }

    pub(super) fn expiry_due(&mut self, index: usize, serial: u64, now: Instant) {
        if self.link_of(index, serial).is_none() {
            return;
        }
        self.check_authority(index, now);
        // The clock of certificates may be behind the timers'.
        if self
            .link_of(index, serial)
            .is_some_and(|link| link.phase == Phase::Established)
        {
            self.check_authority_at(index, now + EXPIRY_GRACE);
        }
    }

    /// Closes the connection if its peer would not be let in any more.
    pub(super) fn check_authority(&mut self, index: usize, now: Instant) {
        let Some(link) = self.links.get(index).and_then(Option::as_ref) else {
            return;
        };
        let Some(evidence) = link.evidence.clone() else {
            return;
        };
        let Some(peer) = &evidence.peer else { return };
        let expect = match &link.origin {
            Origin::Dialled(key) => key.expect.clone().map_or(Expect::AnyInMesh, Expect::Id),
            Origin::Mesh => Expect::AnyInMesh,
            Origin::Bootstrap => Expect::Bootstrap,
        };
        if let Err(refusal) = self.shared.tls.reauthorise(peer, &expect) {
            let code = refusal.connection_code();
            self.shared
                .log
                .info(format_args!("closing {}: {refusal}", peer.spiffe));
            self.close(index, code, &refusal.to_string(), now);
        }
    }
}

/// Time until a Unix timestamp; none when it has passed.
fn until(unix: u64) -> Duration {
    let at = UNIX_EPOCH + Duration::from_secs(unix);
    at.duration_since(SystemTime::now())
        .unwrap_or(Duration::ZERO)
        + Duration::from_millis(100)
}
