//! Sessions a client can resume: one per expected id and address, as often as it has tickets of it.

use std::fmt;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

use crate::authorise::Expect;
use crate::bounded::Bounded;
use crate::clock::Clock;

/// Tickets of one session that are kept: one to resume by, and one for the dial before it that reached
/// nobody. A ticket is offered once, since it names who dials to all who look on (RFC 8446, appendix C.4).
pub(crate) const TICKETS_PER_SESSION: usize = 2;

/// Whose session: the peer we expect, at the address we dial. rustls keys
/// sessions by server name, so the scope takes the form of one; it is never
/// sent, SNI is off.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TicketScope(ServerName<'static>);

impl TicketScope {
    pub(crate) fn new(expect: &Expect, address: SocketAddr) -> Self {
        let scope = format!("{expect:?} {address}");
        let mut name = String::with_capacity(64);
        for byte in &digest(&SHA256, scope.as_bytes()).as_ref()[..16] {
            write!(name, "{byte:02x}").expect("a String takes what is written");
        }
        Self(ServerName::try_from(name).expect("32 hex digits are a DNS label"))
    }

    /// The name that rustls stores the session under.
    pub(crate) fn name(&self) -> ServerName<'static> {
        self.0.clone()
    }
}

/// Sessions by scope, the newest of each.
pub(crate) struct ClientTickets {
    sessions: Mutex<Bounded<ServerName<'static>, Session>>,
    clock: Arc<dyn Clock>,
}

struct Session {
    tickets: Vec<Tls13ClientSessionValue>,
    /// Whether these are of a connection before the one that was authorised last: its own replace them.
    former: bool,
    /// The last second they may be used in.
    until: u64,
}

impl ClientTickets {
    pub(crate) fn new(capacity: usize, clock: Arc<dyn Clock>) -> Self {
        Self {
            sessions: Mutex::new(Bounded::new(capacity)),
            clock,
        }
    }

    /// Makes room for the tickets of a connection that has just been authorised
    /// and whose certificates last `until`. A ticket that finds no room is
    /// dropped, so one that arrives after [`clear`](Self::clear) is, too.
    pub(crate) fn expect(&self, scope: &TicketScope, until: u64) {
        let mut sessions = self.lock();
        if let Some(session) = sessions.get_mut(&scope.0) {
            session.former = true;
            session.until = until;
        } else {
            let session = Session {
                tickets: Vec::new(),
                former: false,
                until,
            };
            sessions.insert(scope.name(), session);
        }
    }

    /// Forgets all sessions: the next handshakes are full.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    pub(crate) fn len(&self) -> usize {
        let sessions = self.lock();
        sessions.values().map(|session| session.tickets.len()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Bounded<ServerName<'static>, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for ClientTickets {
    // One group is configured: there is nothing to hint at.
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    // TLS 1.2 is not spoken.
    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, scope: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        if let Some(session) = self.lock().get_mut(&scope) {
            if std::mem::take(&mut session.former) {
                session.tickets.clear();
            }
            if session.tickets.len() == TICKETS_PER_SESSION {
                session.tickets.remove(0);
            }
            session.tickets.push(ticket);
        }
    }

    fn take_tls13_ticket(&self, scope: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut sessions = self.lock();
        let session = sessions.get_mut(scope)?;
        let ticket = session.tickets.pop();
        let current = self.clock.now() <= session.until;
        if session.tickets.is_empty() || !current {
            sessions.remove(scope);
        }
        ticket.filter(|_| current)
    }
}

impl fmt::Debug for ClientTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientTickets({})", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spiffe::SpiffeId;

    #[test]
    fn scopes_differ_by_id_and_by_address() {
        let id = |text| Expect::Id(SpiffeId::parse(text).unwrap());
        let (web, db) = (
            id("spiffe://mesh.test/ns/shop/sa/web"),
            id("spiffe://mesh.test/ns/shop/sa/db"),
        );
        let (here, there) = (
            "[fd00::1]:14008".parse().unwrap(),
            "[fd00::2]:14008".parse().unwrap(),
        );
        assert_eq!(TicketScope::new(&web, here), TicketScope::new(&web, here));
        assert_ne!(TicketScope::new(&web, here), TicketScope::new(&web, there));
        assert_ne!(TicketScope::new(&web, here), TicketScope::new(&db, here));
        assert_ne!(
            TicketScope::new(&web, here),
            TicketScope::new(&Expect::AnyInMesh, here)
        );
    }
}
