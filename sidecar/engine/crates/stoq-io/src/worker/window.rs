//! Stalled applications must not freeze the others.
//!
//! A stream whose application does not read holds up to a stream window of bytes,
//! and they count against the window of its connection. So when a stream stalls for
//! the first time its connection's window grows by a stream window, until the stream
//! has ended. What all connections of a worker get in this way is bounded; beyond
//! it a stream that stalls takes over from one that has long been reading again.

use quinn_proto::VarInt;

use super::path::Path;
use super::{Flow, Worker};
use crate::relay::stream::StreamRelay;

/// Grants looked at before a stalled stream gets none: bounds the work per stall.
const LOOKED_AT: usize = 8;

impl Worker {
    /// Makes up for a stalled stream, once.
    pub(super) fn grant_window(&mut self, key: usize, index: usize) {
        let settings = &self.shared.settings.transport;
        let more = u64::from(settings.stream_window);
        let most = u64::from(settings.stalled_window);
        if self.extra_window + more > most && !self.take_back(more, most) {
            return;
        }
        let Some(Flow::Relay(relay)) = self.flows.get_mut(key).map(|slot| &mut slot.flow) else {
            return;
        };
        if std::mem::replace(&mut relay.granted, true) {
            return;
        }
        if let Some(link) = self.links[index].as_mut() {
            link.extra_window += more;
            self.extra_window += more;
        }
        self.granted.push_back(key);
        self.apply_window(index);
    }

    /// Takes a grant back from a stream that reads again, looking at the oldest few;
    /// `true` when there is room for another then.
    fn take_back(&mut self, more: u64, most: u64) -> bool {
        for _ in 0..LOOKED_AT.min(self.granted.len()) {
            let Some(key) = self.granted.pop_front() else {
                break;
            };
            let Some(slot) = self.flows.get_mut(key) else {
                continue;
            };
            let (Flow::Relay(relay), Some(index)) = (&mut slot.flow, slot.connection) else {
                continue;
            };
            if !relay.granted {
                continue;
            }
            if relay.stalled() {
                self.granted.push_back(key);
                continue;
            }
            relay.granted = false;
            self.reclaim_window(index);
            if self.extra_window + more <= most {
                return true;
            }
        }
        false
    }

    /// A stream that was made up for has ended.
    pub(super) fn reclaim_window(&mut self, index: usize) {
        let less = u64::from(self.shared.settings.transport.stream_window);
        if let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) {
            let less = less.min(link.extra_window);
            link.extra_window -= less;
            self.release_window(less);
            self.apply_window(index);
        }
    }

    /// A relay has ended, which may have been made up for.
    pub(super) fn return_window(&mut self, relay: &StreamRelay, connection: Option<usize>) {
        if let Some(index) = connection.filter(|_| relay.granted) {
            self.reclaim_window(index);
            if self.extra_window == 0 {
                self.granted.clear();
            }
        }
    }

    /// The connection that held `bytes` of extra window is gone.
    pub(super) fn release_window(&mut self, bytes: u64) {
        self.extra_window = self.extra_window.saturating_sub(bytes);
    }

    pub(super) fn apply_window(&mut self, index: usize) {
        let configured = u64::from(self.shared.settings.transport.connection_window);
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        let base = link.path.as_ref().map_or(configured, Path::receive_window);
        if let Ok(window) = VarInt::from_u64(base + link.extra_window) {
            link.quic.set_receive_window(window);
            self.activate(index);
        }
    }
}
