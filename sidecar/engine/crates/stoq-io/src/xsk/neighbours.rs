//! By which address of the link a peer is reached: what the kernel said, for a while. Pure: time and the
//! kernel's answer are arguments.
//!
//! The kernel resolves and keeps addresses, for datagrams that its sockets send. What goes past it has
//! no part in that, so whenever an answer is in doubt the next datagrams go by the socket.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use stoq_core::udp::frame::Mac;

use crate::counters::XskFallback;

/// How long an answer holds: routes and neighbours change seldom, and a peer that moves is heard of in
/// time for its connection.
const HOLDS: Duration = Duration::from_secs(1);

/// How long it holds that there is none yet: resolving takes a round trip of the link.
const SOON: Duration = Duration::from_millis(20);

/// Peers that are remembered; a sidecar has some hundreds.
const PEERS: usize = 4096;

/// The way to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hop {
    /// Of the peer, or of the router to it.
    pub(crate) mac: Mac,
    /// Our address towards it, where a datagram names none.
    pub(crate) source: IpAddr,
}

/// What the kernel knows about the way to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It leads over another interface, or nowhere.
    Elsewhere,
    /// It is not resolved.
    Unresolved,
    /// It was, and may have changed since: the kernel asks again when it sends something itself.
    Doubtful(Hop),
    /// It is.
    Resolved(Hop),
}

/// The answers of late.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    known: HashMap<IpAddr, (Result<Hop, XskFallback>, Instant)>,
}

impl Neighbours {
    /// The way to `peer`, as it was or as `ask` says now.
    ///
    /// # Errors
    /// Why the socket has to send.
    pub(crate) fn hop(
        &mut self,
        peer: IpAddr,
        now: Instant,
        ask: impl FnOnce() -> Answer,
    ) -> Result<Hop, XskFallback> {
        if let Some((hop, until)) = self.known.get(&peer)
            && now < *until
        {
            return *hop;
        }
        let (this_time, later, holds) = match ask() {
            Answer::Elsewhere => (None, Err(XskFallback::Route), HOLDS),
            Answer::Unresolved => (None, Err(XskFallback::Neighbour), SOON),
            Answer::Doubtful(hop) => (Some(Err(XskFallback::Neighbour)), Ok(hop), HOLDS),
            Answer::Resolved(hop) => (None, Ok(hop), HOLDS),
        };
        if self.known.len() >= PEERS {
            self.known.clear();
        }
        self.known.insert(peer, (later, now + holds));
        this_time.unwrap_or(later)
    }

    /// Forgets everything: the interface was down, and its neighbours may be others.
    pub(crate) fn clear(&mut self) {
        self.known.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    const PEER: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    fn hop(last: u8) -> Hop {
        Hop {
            mac: [2, 0, 0, 0, 0, last],
            source: PEER,
        }
    }

    fn never() -> Answer {
        panic!("the kernel was asked")
    }

    #[test]
    fn an_answer_holds_for_a_second() {
        let (mut neighbours, now) = (Neighbours::default(), Instant::now());
        let first = neighbours.hop(PEER, now, || Answer::Resolved(hop(1)));
        assert_eq!(first, Ok(hop(1)));
        let soon = now + Duration::from_millis(999);
        assert_eq!(neighbours.hop(PEER, soon, never), Ok(hop(1)));
        let moved = neighbours.hop(PEER, now + HOLDS, || Answer::Resolved(hop(2)));
        assert_eq!(moved, Ok(hop(2)));
    }

    #[test]
    fn the_socket_sends_until_the_peer_is_resolved() {
        let (mut neighbours, now) = (Neighbours::default(), Instant::now());
        let unknown = Err(XskFallback::Neighbour);
        assert_eq!(neighbours.hop(PEER, now, || Answer::Unresolved), unknown);
        assert_eq!(neighbours.hop(PEER, now, never), unknown);
        let found = neighbours.hop(PEER, now + SOON, || Answer::Resolved(hop(1)));
        assert_eq!(found, Ok(hop(1)));
    }

    #[test]
    fn in_doubt_the_socket_sends_once_so_that_the_kernel_asks() {
        let (mut neighbours, now) = (Neighbours::default(), Instant::now());
        let doubtful = || Answer::Doubtful(hop(1));
        assert_eq!(
            neighbours.hop(PEER, now, doubtful),
            Err(XskFallback::Neighbour)
        );
        assert_eq!(neighbours.hop(PEER, now, never), Ok(hop(1)));
        assert!(neighbours.hop(PEER, now + HOLDS, doubtful).is_err());
    }

    #[test]
    fn what_leads_elsewhere_is_the_sockets() {
        let (mut neighbours, now) = (Neighbours::default(), Instant::now());
        let elsewhere = Err(XskFallback::Route);
        assert_eq!(neighbours.hop(PEER, now, || Answer::Elsewhere), elsewhere);
        assert_eq!(neighbours.hop(PEER, now + SOON, never), elsewhere);
    }

    #[test]
    fn it_remembers_no_more_than_its_bound() {
        let (mut neighbours, now) = (Neighbours::default(), Instant::now());
        for number in 0..10_000_u128 {
            let peer = Ipv6Addr::from(number).into();
            let _ = neighbours.hop(peer, now, || Answer::Resolved(hop(1)));
            assert!(neighbours.known.len() <= PEERS);
        }
    }
}
