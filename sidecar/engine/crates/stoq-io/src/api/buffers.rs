//! What is on its way between the caller and a worker, for one stream.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use stoq_wire::code::StreamCode;

use super::{ApiPeer, StreamToken};

/// Bytes held per direction.
pub(crate) const BOUND: usize = 256 * 1024;

/// One stream, shared between the caller and the worker that carries it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) token: StreamToken,
    /// The worker that carries the stream.
    pub(crate) worker: usize,
    /// The other end, once known.
    pub(crate) peer: OnceLock<Arc<ApiPeer>>,
    buffers: Mutex<Buffers>,
}

impl Link {
    pub(crate) fn new(token: StreamToken, worker: usize) -> Self {
        Self {
            token,
            worker,
            peer: OnceLock::new(),
            buffers: Mutex::default(),
        }
    }

    /// The buffers. A panic while they were locked cannot leave them half changed:
    /// no operation on them can panic between two steps.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Buffers> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Both directions and what each side has said.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    inbound: VecDeque<Bytes>,
    inbound_bytes: usize,
    /// The worker found no room and wants to hear of it.
    pub(crate) worker_waits: bool,
    outbound: VecDeque<Bytes>,
    outbound_bytes: usize,
    /// The caller found no room and wants to hear of it.
    caller_waits: bool,
    /// The caller has finished its direction.
    pub(crate) finished: bool,
    /// The caller abandons the stream.
    pub(crate) reset: Option<StreamCode>,
    /// The caller has forgotten the stream.
    pub(crate) closed: bool,
    /// The peer takes no more bytes.
    pub(crate) stopped: bool,
    /// The worker has given up on it.
    pub(crate) failed: bool,
}

impl Buffers {
    /// Takes as many of the caller's bytes as there is room for.
    pub(crate) fn accept(&mut self, data: &[u8]) -> usize {
        let room = BOUND.saturating_sub(self.outbound_bytes);
        let taken = room.min(data.len());
        if taken > 0 {
            self.outbound
                .push_back(Bytes::copy_from_slice(&data[..taken]));
            self.outbound_bytes += taken;
        }
        // Nothing at all is asked for by who wants to know whether the peer has stopped us: somebody
        // else may wait.
        if !data.is_empty() {
            self.caller_waits = taken < data.len();
        }
        taken
    }

    /// The next bytes to send.
    pub(crate) fn next_outbound(&mut self) -> Option<Bytes> {
        let piece = self.outbound.pop_front()?;
        self.outbound_bytes -= piece.len();
        Some(piece)
    }

    /// The peer takes no more bytes: what waits is dropped, and the caller told so.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
        self.caller_waits = false;
        self.outbound.clear();
        self.outbound_bytes = 0;
    }

    /// Whether nothing waits to be sent.
    pub(crate) fn nothing_to_send(&self) -> bool {
        self.outbound.is_empty()
    }

    /// Whether to tell the caller that there is room again; once per wait.
    pub(crate) fn caller_may_send(&mut self) -> bool {
        let wanted = self.caller_waits && self.outbound_bytes <= BOUND / 2;
        if wanted {
            self.caller_waits = false;
        }
        wanted
    }

    /// Whether the worker may bring more bytes.
    pub(crate) fn has_room(&self) -> bool {
        self.inbound_bytes < BOUND
    }

    /// Bytes from the peer; `true` when the caller had none before.
    pub(crate) fn deliver(&mut self, piece: Bytes) -> bool {
        let first = self.inbound.is_empty();
        self.inbound_bytes += piece.len();
        self.inbound.push_back(piece);
        first
    }

    /// Up to `most` bytes for the caller, and whether the worker waits for the room.
    pub(crate) fn fetch(&mut self, most: usize) -> (Option<Bytes>, bool) {
        let Some(mut piece) = self.inbound.pop_front() else {
            return (None, false);
        };
        if piece.len() > most {
            let rest = piece.split_off(most);
            self.inbound.push_front(rest);
        }
        self.inbound_bytes -= piece.len();
        let wake = self.worker_waits && self.inbound_bytes <= BOUND / 2;
        if wake {
            self.worker_waits = false;
        }
        (Some(piece), wake)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sending_stops_at_the_bound_and_goes_on_at_half_of_it() {
        let mut buffers = Buffers::default();
        assert_eq!(buffers.accept(&vec![0; BOUND / 4]), BOUND / 4);
        assert_eq!(buffers.accept(&vec![0; BOUND]), BOUND - BOUND / 4);
        assert_eq!(buffers.accept(&[0]), 0);
        assert_eq!(buffers.next_outbound().unwrap().len(), BOUND / 4);
        assert!(!buffers.caller_may_send());
        let _ = buffers.next_outbound();
        assert!(buffers.caller_may_send());
        assert!(!buffers.caller_may_send());
    }

    #[test]
    fn regression_sending_nothing_forgets_nobody_who_waits_for_room() {
        let mut buffers = Buffers::default();
        assert_eq!(buffers.accept(&vec![0; BOUND + 1]), BOUND);
        assert_eq!(buffers.accept(&[]), 0);
        let _ = buffers.next_outbound();
        assert!(buffers.caller_may_send());
    }

    #[test]
    fn a_long_piece_is_fetched_in_parts() {
        let mut buffers = Buffers::default();
        assert!(buffers.deliver(Bytes::from_static(b"abcdef")));
        assert!(!buffers.deliver(Bytes::from_static(b"g")));
        assert_eq!(buffers.fetch(4).0.unwrap(), "abcd");
        assert_eq!(buffers.fetch(4).0.unwrap(), "ef");
        assert_eq!(buffers.fetch(4).0.unwrap(), "g");
        assert_eq!(buffers.fetch(4).0, None);
    }

    #[test]
    fn a_waiting_worker_is_woken_once_there_is_room() {
        let mut buffers = Buffers::default();
        buffers.deliver(Bytes::from(vec![0; BOUND]));
        assert!(!buffers.has_room());
        buffers.worker_waits = true;
        assert!(!buffers.fetch(1).1);
        assert!(buffers.fetch(BOUND).1);
        assert!(!buffers.worker_waits);
    }
}
