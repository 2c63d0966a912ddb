//! How the endpoints of services stand: connections open to them and how those went, as all
//! workers see it.
//!
//! Reading, opening, closing and succeeding lock nothing. A failure takes the endpoint's
//! own lock, and so does the success after it. Who has no entry has no connection and no
//! failure; entries outlive tables, so that a new one does not forget who is busy or broken.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use stoq_core::table::{Failure, Health, Standing};

/// One endpoint, by its address and port.
#[derive(Debug, Default)]
struct Endpoint {
    open: AtomicU32,
    /// Milliseconds since the start up to which it is ejected.
    ejected_until: AtomicU64,
    /// Whether `health` has anything to say.
    troubled: AtomicBool,
    health: Mutex<Health>,
}

/// Every endpoint that has an entry.
#[derive(Debug)]
pub(crate) struct Endpoints {
    start: Instant,
    known: ArcSwap<HashMap<SocketAddr, Arc<Endpoint>>>,
}

impl Endpoints {
    /// Of an engine that starts now.
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            start,
            known: ArcSwap::default(),
        }
    }

    fn millis(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.start).as_millis() as u64
    }

    /// How the endpoint at `address` stands.
    pub(crate) fn standing(&self, address: SocketAddr, now: Instant) -> Standing {
        let known = self.known.load();
        let Some(endpoint) = known.get(&address) else {
            return Standing::default();
        };
        Standing {
            open: endpoint.open.load(Relaxed),
            ejected: self.millis(now) < endpoint.ejected_until.load(Relaxed),
        }
    }

    /// Counts a connection to the endpoint at `address` until what is returned is dropped.
    pub(crate) fn open(&self, address: SocketAddr) -> OpenTo {
        let known = self.known.load().get(&address).map(Arc::clone);
        let endpoint = known.unwrap_or_else(|| self.insert(address));
        endpoint.open.fetch_add(1, Relaxed);
        OpenTo(endpoint)
    }

    /// The first connection to an endpoint: the map is replaced by one that has it.
    fn insert(&self, address: SocketAddr) -> Arc<Endpoint> {
        let new = Arc::new(Endpoint::default());
        self.known.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.entry(address).or_insert_with(|| Arc::clone(&new));
            known
        });
        self.known.load().get(&address).map_or(new, Arc::clone)
    }

    /// A connection failed. Returns how long its endpoint is ejected, if by that.
    pub(crate) fn failed(&self, to: &OpenTo, failure: Failure, now: Instant) -> Option<Duration> {
        let endpoint = &to.0;
        let mut health = endpoint.health();
        endpoint.troubled.store(true, Relaxed);
        let until = health.failed(failure, now)?;
        endpoint.ejected_until.store(self.millis(until), Relaxed);
        Some(until - now)
    }

    /// Forgets endpoints that nothing is known about: to be called when tables change. One
    /// that a worker is just about to open is then counted in vain, for that connection.
    pub(crate) fn prune(&self, now: Instant) {
        let known_of = |endpoint: &Arc<Endpoint>| {
            endpoint.open.load(Relaxed) > 0 || !endpoint.health().is_forgotten(now)
        };
        if self.known.load().values().all(known_of) {
            return;
        }
        self.known.rcu(|known| {
            let kept = known.iter().filter(|(_, endpoint)| known_of(endpoint));
            kept.map(|(address, endpoint)| (*address, Arc::clone(endpoint)))
                .collect::<HashMap<_, _>>()
        });
    }

    /// The endpoints that are ejected now.
    pub(crate) fn ejected(&self, now: Instant) -> Vec<SocketAddr> {
        let now = self.millis(now);
        let known = self.known.load();
        let ejected = |endpoint: &Endpoint| now < endpoint.ejected_until.load(Relaxed);
        let found = known.iter().filter(|(_, endpoint)| ejected(endpoint));
        found.map(|(address, _)| *address).collect()
    }
}

impl Endpoint {
    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection to an endpoint, counted while this lives.
#[derive(Debug)]
pub(crate) struct OpenTo(Arc<Endpoint>);

impl OpenTo {
    /// The endpoint has answered: its failures are forgotten.
    pub(crate) fn succeeded(&self) {
        // Read first: a healthy endpoint's line stays shared between the workers' caches.
        if self.0.troubled.load(Relaxed) {
            let mut health = self.0.health();
            health.succeeded();
            self.0.troubled.store(false, Relaxed);
            self.0.ejected_until.store(0, Relaxed);
        }
    }
}

impl Drop for OpenTo {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::new([10, 0, 0, 1].into(), port)
    }

    fn ejects(endpoints: &Endpoints, to: &OpenTo, now: Instant) -> bool {
        endpoints.failed(to, Failure::Unanswered, now).is_some()
    }

    #[test]
    fn connections_count_from_any_thread_until_they_are_gone() {
        let now = Instant::now();
        let endpoints = Endpoints::new(now);
        let open = |port| endpoints.standing(address(port), now).open;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for port in 0..100 {
                        drop(endpoints.open(address(port)));
                        std::mem::forget(endpoints.open(address(port)));
                    }
                });
            }
        });
        assert!((0..100).all(|port| open(port) == 4));
        assert_eq!(open(100), 0);
    }

    #[test]
    fn a_new_table_forgets_neither_who_is_busy_nor_who_is_broken() {
        let now = Instant::now();
        let endpoints = Endpoints::new(now);
        let busy = endpoints.open(address(1));
        assert!(ejects(&endpoints, &endpoints.open(address(2)), now));
        drop(endpoints.open(address(3)));
        endpoints.prune(now);
        assert_eq!(endpoints.known.load().len(), 2);
        assert_eq!(endpoints.standing(address(1), now).open, 1);
        assert!(endpoints.standing(address(2), now).ejected);
        drop(busy);
        endpoints.prune(now + Duration::from_secs(3600));
        assert!(endpoints.known.load().is_empty());
    }

    #[test]
    fn an_ejection_ends_by_itself_or_by_a_success() {
        let now = Instant::now();
        let endpoints = Endpoints::new(now);
        let to = endpoints.open(address(1));
        assert_eq!(endpoints.ejected(now), []);
        let length = endpoints.failed(&to, Failure::Unanswered, now).unwrap();
        assert_eq!(endpoints.ejected(now), [address(1)]);
        assert_eq!(endpoints.ejected(now + length), []);
        to.succeeded();
        assert_eq!(endpoints.ejected(now), []);
        let again = endpoints.failed(&to, Failure::Unanswered, now);
        assert_eq!(again, Some(length), "the doubling begins anew");
    }
}
