//! Which routes a gateway forwards.

use std::collections::HashMap;
use std::net::SocketAddr;

use stoq_wire::code::StreamCode;
use stoq_wire::frame::hop::{Route, RouteId};

use super::rule::Asked;
use super::{Limits, Rule};

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

/// The routes that a gateway forwards. Asked when a route begins or ends, never for a packet.
#[derive(Debug)]
pub struct Gateway {
    limits: Limits,
    rules: Vec<Rule>,
    /// By what each was admitted.
    open: HashMap<RouteId, Asked>,
}

impl Gateway {
    /// A gateway that forwards nothing yet.
    #[must_use]
    pub fn new(limits: Limits, rules: Vec<Rule>) -> Self {
        Self {
            limits,
            rules,
            open: HashMap::new(),
        }
    }

    /// Other rules from now on. Ask [`admits`](Self::admits) of each route that is open.
    pub fn set_rules(&mut self, rules: Vec<Rule>) {
        self.rules = rules;
    }

    /// Takes a route that `from` asks for at the gateway `here`, and says where it leads. `origin` has
    /// begun it, where that is proven.
    ///
    /// # Errors
    /// [`RouteRefusal`] of the first rule that is broken (G1 to G3).
    pub fn open(
        &mut self,
        here: &str,
        from: &str,
        origin: Option<&str>,
        route: Route,
    ) -> Result<Next, RouteRefusal> {
        let position = usize::from(route.position);
        if route.gateways.get(position).map(String::as_str) != Some(here) {
            return Err(RouteRefusal::NotHere(route.position));
        }
        if loops(&route) || self.open.contains_key(&route.id) {
            return Err(RouteRefusal::Loop);
        }
        if route.gateways.len() > self.limits.gateways {
            return Err(RouteRefusal::Full("gateways of a route"));
        }
        let open = Asked {
            from: from.to_owned(),
            origin: origin.map(str::to_owned),
            next: route.gateways.get(position + 1).cloned(),
            to: route.identity.clone(),
        };
        if !self.lets_pass(&open) {
            return Err(RouteRefusal::Denied);
        }
        if self.open.len() >= self.limits.routes {
            return Err(RouteRefusal::Full("routes"));
        }
        if self.open.values().filter(|open| open.from == from).count() >= self.limits.routes_each {
            return Err(RouteRefusal::Full("routes of a peer"));
        }
        let next = open.next.clone();
        self.open.insert(route.id, open);
        Ok(match next {
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

    /// Whether a route is open, and the rules still let it pass. If not, end it with `denied`.
    #[must_use]
    pub fn admits(&self, id: &RouteId) -> bool {
        self.open.get(id).is_some_and(|open| self.lets_pass(open))
    }

    /// A route has ended.
    pub fn close(&mut self, id: &RouteId) {
        self.open.remove(id);
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

    fn lets_pass(&self, open: &Asked) -> bool {
        self.rules.iter().any(|rule| rule.admits(open))
    }
}

/// Whether a route names a gateway twice, or its end as a gateway (G2).
fn loops(route: &Route) -> bool {
    let twice = |(at, gateway)| route.gateways[..at].contains(gateway);
    route.gateways.iter().enumerate().any(twice) || route.gateways.contains(&route.identity)
}
