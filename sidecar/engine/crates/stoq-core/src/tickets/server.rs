//! Sessions a server remembers, shared by all workers.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::server::StoresServerSessions;
use zeroize::Zeroizing;

use crate::bounded::Bounded;
use crate::clock::Clock;

/// How long a session is remembered, in seconds: what rustls tells clients.
const LIFETIME: u64 = 24 * 60 * 60;

/// Sessions by ticket. A lock is held for one lookup per handshake, never
/// while anything is computed.
pub(crate) struct ServerTickets {
    sessions: Mutex<Bounded<Vec<u8>, Session>>,
    clock: Arc<dyn Clock>,
}

struct Session {
    secret: Zeroizing<Vec<u8>>,
    until: u64,
}

impl ServerTickets {
    pub(crate) fn new(capacity: usize, clock: Arc<dyn Clock>) -> Self {
        Self {
            sessions: Mutex::new(Bounded::new(capacity)),
            clock,
        }
    }

    /// Forgets all sessions: whoever comes back shakes hands in full.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().values().count()
    }

    fn lock(&self) -> MutexGuard<'_, Bounded<Vec<u8>, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoresServerSessions for ServerTickets {
    fn put(&self, ticket: Vec<u8>, session: Vec<u8>) -> bool {
        let until = self.clock.now().saturating_add(LIFETIME);
        let secret = Zeroizing::new(session);
        self.lock().insert(ticket, Session { secret, until })
    }

    /// Nothing: a ticket is used once, and rustls takes it for TLS 1.3.
    fn get(&self, _ticket: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn take(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let session = self.lock().remove(&ticket.to_vec())?;
        (self.clock.now() <= session.until).then(|| session.secret.to_vec())
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl fmt::Debug for ServerTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerTickets({})", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestClock;

    fn tickets(capacity: usize) -> (ServerTickets, Arc<TestClock>) {
        let clock = TestClock::at(1000);
        (ServerTickets::new(capacity, clock.clone()), clock)
    }

    #[test]
    fn a_ticket_is_used_once() {
        let (tickets, _) = tickets(4);
        assert!(tickets.can_cache());
        assert!(tickets.put(vec![1], vec![2]));
        assert_eq!(tickets.get(&[1]), None);
        assert_eq!(tickets.take(&[1]), Some(vec![2]));
        assert_eq!(tickets.take(&[1]), None);
    }

    #[test]
    fn a_ticket_ends_after_a_day() {
        let (tickets, clock) = tickets(4);
        tickets.put(vec![1], vec![2]);
        tickets.put(vec![3], vec![4]);
        clock.advance(LIFETIME);
        assert_eq!(tickets.take(&[1]), Some(vec![2]));
        clock.advance(1);
        assert_eq!(tickets.take(&[3]), None);
    }

    #[test]
    fn the_store_is_bounded_and_can_be_emptied() {
        let (tickets, _) = tickets(2);
        for ticket in 0..9 {
            assert!(tickets.put(vec![ticket], vec![ticket]));
        }
        assert_eq!(tickets.len(), 2);
        assert_eq!(format!("{tickets:?}"), "ServerTickets(2)");
        tickets.clear();
        assert_eq!(tickets.take(&[8]), None);
    }
}
