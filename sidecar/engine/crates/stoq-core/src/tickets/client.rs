//! Sessions a client can resume: one per expected id and address.

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
    ticket: Option<Tls13ClientSessionValue>,
    /// The last second it may be used in.
    until: u64,
}

impl ClientTickets {
    pub(crate) fn new(capacity: usize, clock: Arc<dyn Clock>) -> Self {
        Self {
            sessions: Mutex::new(Bounded::new(capacity)),
            clock,
        }
    }

    /// Makes room for the ticket of a connection that has just been authorised
    /// and whose certificates last `until`. A ticket that finds no room is
    /// dropped, so one that arrives after [`clear`](Self::clear) is, too.
    pub(crate) fn expect(&self, scope: &TicketScope, until: u64) {
        let mut sessions = self.lock();
        if let Some(session) = sessions.get_mut(&scope.0) {
            session.until = until;
        } else {
            let ticket = None;
            sessions.insert(scope.name(), Session { ticket, until });
        }
    }

    /// Forgets all sessions: the next handshakes are full.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    pub(crate) fn len(&self) -> usize {
        let sessions = self.lock();
        let with_ticket = |session: &&Session| session.ticket.is_some();
        sessions.values().filter(with_ticket).count()
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
            session.ticket = Some(ticket);
        }
    }

    fn take_tls13_ticket(&self, scope: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let session = self.lock().remove(scope)?;
        session.ticket.filter(|_| self.clock.now() <= session.until)
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
