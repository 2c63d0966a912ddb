//! Whether packets of a tunnel get through beside it, in one direction (G15).
//!
//! Nothing here has a timer: it is asked for each packet that leaves.

use std::time::{Duration, Instant};

use stoq_wire::bare::NONCE_LEN;

/// How long what was seen is believed.
const BELIEVED: Duration = Duration::from_secs(1);

/// When a probe that was not answered is sent again.
const AGAIN: Duration = Duration::from_millis(300);

/// When it is given up, once it was sent again: who sends little shall not give up for one that was lost.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long nothing is tried after the first failure, and after many.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// At most so many probes are answered: one in this time.
const ANSWERS: Duration = Duration::from_millis(50);

/// How a packet leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaves {
    /// Beside the tunnel; else in it.
    pub beside: bool,
    /// A probe goes first.
    pub probe: Option<[u8; NONCE_LEN]>,
    /// What went beside the tunnel was not seen: this ends it for a while.
    pub given_up: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Nothing is tried before.
    Paused(Instant),
    /// A probe is on its way; packets go beside the tunnel meanwhile if one was seen before.
    Asked {
        nonce: [u8; NONCE_LEN],
        since: Instant,
        last: Instant,
        again: bool,
        seen_before: bool,
    },
    /// A probe was seen then.
    Seen(Instant),
}

/// One direction of a tunnel.
#[derive(Debug)]
pub struct Probing {
    state: State,
    pause: Duration,
}

impl Probing {
    /// One that tries at once.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            state: State::Paused(now),
            pause: FIRST_PAUSE,
        }
    }

    /// Whether packets go beside the tunnel now.
    #[must_use]
    pub const fn beside(&self) -> bool {
        matches!(
            self.state,
            State::Seen(_)
                | State::Asked {
                    seen_before: true,
                    ..
                }
        )
    }

    /// A packet leaves. `fresh` makes the nonce of the next probe, if one is due: nobody who saw others may
    /// guess it, else who takes no packets beside the tunnel could say that they come.
    pub fn leaves(&mut self, now: Instant, fresh: impl FnOnce() -> [u8; NONCE_LEN]) -> Leaves {
        let (probe, given_up) = match &mut self.state {
            State::Paused(until) if now < *until => (None, false),
            State::Seen(at) if now < *at + BELIEVED => (None, false),
            State::Paused(_) | State::Seen(_) => {
                let fresh = fresh();
                self.state = State::Asked {
                    nonce: fresh,
                    since: now,
                    last: now,
                    again: false,
                    seen_before: self.beside(),
                };
                (Some(fresh), false)
            }
            State::Asked {
                since,
                again: true,
                seen_before,
                ..
            } if now >= *since + PATIENCE => {
                let given_up = *seen_before;
                self.state = State::Paused(now + self.pause);
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                (None, given_up)
            }
            State::Asked {
                nonce,
                since,
                last,
                again,
                ..
            } if now >= *last + AGAIN => {
                if now >= *since + PATIENCE {
                    *since = now;
                }
                (*last, *again) = (now, true);
                (Some(*nonce), false)
            }
            State::Asked { .. } => (None, false),
        };
        Leaves {
            beside: self.beside(),
            probe,
            given_up,
        }
    }

    /// The other side has seen a probe. One that is not on its way says nothing.
    pub fn seen(&mut self, answer: [u8; NONCE_LEN], now: Instant) {
        if let State::Asked { nonce, .. } = self.state
            && nonce == answer
        {
            self.state = State::Seen(now);
            self.pause = FIRST_PAUSE;
        }
    }
}

/// Which probes of the other side are answered: not all of a flood.
#[derive(Debug, Default)]
pub struct Answers(Option<Instant>);

impl Answers {
    /// Whether the probe that has come now is answered.
    pub fn answers(&mut self, now: Instant) -> bool {
        let due = self.0.is_none_or(|last| now >= last + ANSWERS);
        if due {
            self.0 = Some(now);
        }
        due
    }
}
