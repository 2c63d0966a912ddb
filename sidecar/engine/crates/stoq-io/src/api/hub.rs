//! Where workers and the caller meet: events one way, streams by token.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{ApiEvent, Link, StreamToken};

/// Events and streams of one engine.
pub(crate) struct ApiHub {
    event_fd: OwnedFd,
    events: Mutex<VecDeque<ApiEvent>>,
    links: Mutex<HashMap<StreamToken, Arc<Link>>>,
    next: AtomicU64,
    open: AtomicUsize,
    limit: usize,
}

impl ApiHub {
    pub(crate) fn new(limit: usize) -> io::Result<Self> {
        // SAFETY: no pointers are passed; the result is checked before it is used.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened here and belongs to nobody else.
        let event_fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self {
            event_fd,
            events: Mutex::default(),
            links: Mutex::default(),
            next: AtomicU64::new(1),
            open: AtomicUsize::new(0),
            limit,
        })
    }

    /// Readable while events wait.
    pub(crate) fn event_fd(&self) -> RawFd {
        self.event_fd.as_raw_fd()
    }

    /// Makes a stream; `None` when as many are open as allowed.
    pub(crate) fn register(&self, worker: usize) -> Option<Arc<Link>> {
        if self.open.fetch_add(1, Ordering::AcqRel) >= self.limit {
            self.open.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        let token = self.token();
        let link = Arc::new(Link::new(token, worker));
        lock(&self.links).insert(token, Arc::clone(&link));
        Some(link)
    }

    /// A token for something that is no stream.
    pub(crate) fn token(&self) -> StreamToken {
        StreamToken(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The stream of this token, if the caller has not closed it.
    pub(crate) fn link(&self, token: StreamToken) -> Option<Arc<Link>> {
        lock(&self.links).get(&token).cloned()
    }

    /// Forgets a stream.
    pub(crate) fn forget(&self, token: StreamToken) -> Option<Arc<Link>> {
        let link = lock(&self.links).remove(&token)?;
        self.open.fetch_sub(1, Ordering::AcqRel);
        Some(link)
    }

    /// Tells the caller something.
    pub(crate) fn publish(&self, event: ApiEvent) {
        let mut events = lock(&self.events);
        events.push_back(event);
        if events.len() == 1 {
            self.signal();
        }
    }

    /// Everything that happened since the last call.
    pub(crate) fn poll(&self) -> Vec<ApiEvent> {
        let mut events = lock(&self.events);
        self.acknowledge();
        events.drain(..).collect()
    }

    fn signal(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: the descriptor is open and the pointer and length describe `one`.
        // A full counter means that it is readable already.
        unsafe { libc::write(self.event_fd(), one.as_ptr().cast(), one.len()) };
    }

    fn acknowledge(&self) {
        let mut count = [0u8; 8];
        // SAFETY: the descriptor is open and non-blocking, and the pointer and length
        // describe `count`. Nothing to read means that nothing was signalled.
        unsafe { libc::read(self.event_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

/// No operation under these locks can panic half-way, so a poisoned one is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readable(fd: RawFd) -> bool {
        let mut poll = libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
    }

    #[test]
    fn the_descriptor_is_readable_until_events_are_fetched() {
        let hub = ApiHub::new(1).unwrap();
        assert!(!readable(hub.event_fd()));
        hub.publish(ApiEvent::Readable(StreamToken(1)));
        hub.publish(ApiEvent::Writable(StreamToken(1)));
        assert!(readable(hub.event_fd()));
        assert_eq!(hub.poll().len(), 2);
        assert!(!readable(hub.event_fd()));
    }

    #[test]
    fn streams_beyond_the_limit_are_refused_until_one_is_forgotten() {
        let hub = ApiHub::new(1).unwrap();
        let link = hub.register(0).unwrap();
        assert!(hub.register(0).is_none());
        assert!(hub.forget(link.token).is_some());
        assert!(hub.forget(link.token).is_none());
        assert!(hub.register(0).is_some());
    }
}
