//! Hops: whether a gateway takes a route, and where it leads next (wire format, section 14).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stoq_wire::code::StreamCode;
use stoq_wire::frame::hop::{Route, RouteId};

/// Whom a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Everyone with a certificate that was accepted.
    Anyone,
    /// Everyone of a trust domain.
    TrustDomain(String),
    /// One SPIFFE id.
    Exactly(String),
}

impl Who {
    fn is(&self, identity: &str) -> bool {
        match self {
            Self::Anyone => true,
            Self::Exactly(one) => one == identity,
            Self::TrustDomain(domain) => identity
                .strip_prefix("spiffe://")
                .and_then(|rest| rest.strip_prefix(domain.as_str()))
                .is_some_and(|rest| rest.starts_with('/')),
        }
    }
}

/// A way that a gateway lets pass. There is none without a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Who asks: the peer on the connection.
    pub from: Who,
    /// The gateway that comes next; `None` for routes that end here.
    pub next: Option<Who>,
    /// The workload at the end.
    pub to: Who,
}

/// The bounds of a gateway.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Gateways of a route.
    pub gateways: usize,
    /// Routes at once.
    pub routes: usize,
    /// Routes of one peer at once.
    pub routes_each: usize,
    /// Bytes of a route that wait to be sent, for each direction together.
    pub bytes: usize,
    /// How long a route may forward nothing.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            gateways: 4,
            routes: 1024,
            routes_each: 64,
            bytes: 256 << 10,
            idle: Duration::from_secs(60),
        }
    }
}

/// Where a route leads from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// To another gateway, which is sent this frame.
    Gateway {
        /// Its SPIFFE id.
        identity: String,
        /// The route, one position further.
        route: Route,
    },
    /// To the workload.
    Destination {
        /// Where it is.
        address: SocketAddr,
        /// Its SPIFFE id.
        identity: String,
    },
}

/// Why a route is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RouteRefusal {
    /// This gateway is not at the position of the route.
    #[error("the route has another gateway at position {0}")]
    NotHere(u8),
    /// It comes by a gateway twice.
    #[error("the route comes by a gateway twice, or by its own end")]
    Loop,
    /// No rule lets it pass.
    #[error("no rule of this gateway lets the route pass")]
    Denied,
    /// A limit is reached.
    #[error("the gateway's limit of {0} is reached")]
    Full(&'static str),
}

impl RouteRefusal {
    /// What the stream is reset with.
    #[must_use]
    pub const fn code(&self) -> StreamCode {
        match self {
            Self::NotHere(_) => StreamCode::NoRoute,
            Self::Loop => StreamCode::Loop,
            Self::Denied => StreamCode::Denied,
            Self::Full(_) => StreamCode::Refused,
        }
    }
}

/// The routes that a gateway forwards.
#[derive(Debug)]
pub struct Gateway {
    identity: String,
    limits: Limits,
    rules: Vec<Rule>,
    open: HashMap<RouteId, Open>,
    /// Packets that were dropped for want of room.
    pub dropped: u64,
}

#[derive(Debug)]
struct Open {
    from: String,
    used: Instant,
    waiting: usize,
}

impl Gateway {
    /// A gateway of this identity, which forwards nothing yet.
    #[must_use]
    pub fn new(identity: String, limits: Limits, rules: Vec<Rule>) -> Self {
        Self {
            identity,
            limits,
            rules,
            open: HashMap::new(),
            dropped: 0,
        }
    }

    /// Other rules from now on. Routes that are open stay.
    pub fn set_rules(&mut self, rules: Vec<Rule>) {
        self.rules = rules;
    }

    /// Takes a route that `from` asks for, and says where it leads.
    ///
    /// # Errors
    /// [`RouteRefusal`] of the first rule that is broken (G1 to G3).
    pub fn open(&mut self, from: &str, route: Route, now: Instant) -> Result<Next, RouteRefusal> {
        let position = usize::from(route.position);
        if route.gateways.get(position) != Some(&self.identity) {
            return Err(RouteRefusal::NotHere(route.position));
        }
        if loops(&route) || self.open.contains_key(&route.id) {
            return Err(RouteRefusal::Loop);
        }
        if route.gateways.len() > self.limits.gateways {
            return Err(RouteRefusal::Full("gateways of a route"));
        }
        let next = route.gateways.get(position + 1);
        if !self
            .rules
            .iter()
            .any(|rule| rule.admits(from, next, &route.identity))
        {
            return Err(RouteRefusal::Denied);
        }
        if self.open.len() >= self.limits.routes {
            return Err(RouteRefusal::Full("routes"));
        }
        if self.open.values().filter(|open| open.from == from).count() >= self.limits.routes_each {
            return Err(RouteRefusal::Full("routes of a peer"));
        }
        let open = Open {
            from: from.to_owned(),
            used: now,
            waiting: 0,
        };
        self.open.insert(route.id, open);
        Ok(match next.cloned() {
            Some(identity) => {
                let route = Route {
                    position: route.position + 1,
                    ..route
                };
                Next::Gateway { identity, route }
            }
            None => Next::Destination {
                address: route.destination,
                identity: route.identity,
            },
        })
    }

    /// A packet came for a route: whether it is kept until it can be sent. Else drop it (G4).
    pub fn enqueue(&mut self, id: RouteId, bytes: usize, now: Instant) -> bool {
        let room = self.limits.bytes;
        let found = self
            .open
            .get_mut(&id)
            .filter(|open| open.waiting + bytes <= room);
        match found {
            Some(open) => {
                open.waiting += bytes;
                open.used = now;
                true
            }
            None => {
                self.dropped += 1;
                false
            }
        }
    }

    /// A packet that was kept was sent.
    pub fn sent(&mut self, id: RouteId, bytes: usize) {
        if let Some(open) = self.open.get_mut(&id) {
            open.waiting = open.waiting.saturating_sub(bytes);
        }
    }

    /// The stream of a route has ended.
    pub fn close(&mut self, id: RouteId) {
        self.open.remove(&id);
    }

    /// Ends the routes that nothing was forwarded on: reset their streams with `timed_out` (G5).
    pub fn expire(&mut self, now: Instant) -> Vec<RouteId> {
        let idle = self.limits.idle;
        let ended = self.open.extract_if(|_, open| open.used + idle <= now);
        ended.map(|(id, _)| id).collect()
    }

    /// Routes that are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether no route is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

impl Rule {
    fn admits(&self, from: &str, next: Option<&String>, to: &str) -> bool {
        let leads = match (&self.next, next) {
            (Some(who), Some(next)) => who.is(next),
            (None, None) => true,
            _ => false,
        };
        leads && self.from.is(from) && self.to.is(to)
    }
}

/// Whether a route names a gateway twice, or its end as a gateway (G2).
fn loops(route: &Route) -> bool {
    let twice = |(at, gateway)| route.gateways[..at].contains(gateway);
    route.gateways.iter().enumerate().any(twice) || route.gateways.contains(&route.identity)
}
