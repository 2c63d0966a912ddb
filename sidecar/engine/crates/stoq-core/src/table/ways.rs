//! Ways over gateways: who is reached through which, and what a gateway lets pass.
//!
//! A workload with ways is never dialled directly: whoever wrote them said that it cannot be
//! reached so, or should not be.

use std::net::SocketAddr;

use serde::Deserialize;
use stoq_frames::hop::{Rule, Who};
use stoq_wire::frame::hop::MAX_GATEWAYS;

use super::balance::{self, Candidate, Standing};
use super::document::Text;
use super::{Table, TableError, Workload};
use crate::spiffe::SpiffeId;

/// A gateway that this workload dials itself. Several may have one identity: its replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayAt {
    /// The identity it must prove.
    pub spiffe_id: SpiffeId,
    /// Where its STOQ listener is.
    pub address: SocketAddr,
}

/// What the choice among ways depends on besides the table.
#[derive(Clone, Copy)]
pub struct WayDraw<'d> {
    /// A random number, so that the decision itself is repeatable.
    pub pick: u64,
    /// How a gateway stands, by its address.
    pub standing: &'d dyn Fn(SocketAddr) -> Standing,
    /// Gateways at which this has failed: none of them is chosen.
    pub tried: &'d [SocketAddr],
}

/// How a STOQ listener is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach<'t> {
    /// By dialling it.
    Direct,
    /// Over a gateway that is dialled.
    Over {
        /// Address and identity of the first gateway.
        first: &'t GatewayAt,
        /// Every gateway of the route, in order.
        gateways: &'t [SpiffeId],
    },
    /// Over gateways, of which none is left.
    Nowhere,
}

impl Table {
    /// How the STOQ listener at `stoq` is reached. One that is no workload's is dialled, and so is a
    /// gateway's.
    #[must_use]
    pub fn reach(&self, stoq: SocketAddr, draw: &WayDraw<'_>) -> Reach<'_> {
        let workload = self.workload_at(stoq.ip());
        let Some(workload) = workload.filter(|found| found.port == stoq.port()) else {
            return Reach::Direct;
        };
        // A gateway is the beginning of ways: it has none, or they could lead in a circle.
        if workload.via.is_empty() || self.gateways.iter().any(|one| one.address == stoq) {
            return Reach::Direct;
        }
        let ways = || {
            workload
                .via
                .iter()
                .filter_map(|way| Some((way.first()?, way)))
        };
        let firsts = ways().flat_map(|(first, _)| self.gateways_of(first));
        let chosen = choose(firsts, draw);
        let over = |first: &'_ GatewayAt| ways().find(|(id, _)| **id == first.spiffe_id);
        match chosen.and_then(|first| Some((first, over(first)?.1))) {
            Some((first, gateways)) => Reach::Over { first, gateways },
            None => Reach::Nowhere,
        }
    }

    /// The replica of a gateway that is dialled, for a route that goes on there.
    #[must_use]
    pub fn gateway(&self, identity: &str, draw: &WayDraw<'_>) -> Option<&GatewayAt> {
        let named = |gateway: &&GatewayAt| gateway.spiffe_id.as_str() == identity;
        choose(self.gateways.iter().filter(named), draw)
    }

    /// What this workload forwards as a gateway.
    #[must_use]
    pub fn forwards(&self) -> &[Rule] {
        &self.forwards
    }

    /// Whether a route may end at `address`: it is where the registry says that the workload of this
    /// identity listens. Else a peer could have a gateway send datagrams to anybody.
    #[must_use]
    pub fn ends_route(&self, address: SocketAddr, identity: &str) -> bool {
        let workload = self.workload_at(address.ip());
        workload.is_some_and(|found| {
            found.spiffe_id.as_str() == identity
                && found.port == address.port()
                && found.via.is_empty()
        })
    }

    fn gateways_of<'t>(&'t self, identity: &'t SpiffeId) -> impl Iterator<Item = &'t GatewayAt> {
        let named = move |gateway: &&GatewayAt| gateway.spiffe_id == *identity;
        self.gateways.iter().filter(named)
    }
}

fn choose<'t>(
    gateways: impl Iterator<Item = &'t GatewayAt>,
    draw: &WayDraw<'_>,
) -> Option<&'t GatewayAt> {
    let left: Vec<_> = gateways
        .filter(|gateway| !draw.tried.contains(&gateway.address))
        .collect();
    let candidate = |gateway: &&GatewayAt| Candidate {
        address: gateway.address,
        weight: 1,
        standing: (draw.standing)(gateway.address),
    };
    let chosen = balance::choose(left.iter().map(candidate).collect(), draw.pick)?;
    left.into_iter().find(|gateway| gateway.address == chosen)
}

/// A rule of a gateway, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ForwardDocument {
    from: Text<Who>,
    /// Absent: whoever began the route.
    origin: Option<Text<Who>>,
    /// Absent: routes that end here.
    next: Option<Text<Who>>,
    to: Text<Who>,
}

impl From<ForwardDocument> for Rule {
    fn from(document: ForwardDocument) -> Self {
        Self {
            from: document.from.0,
            origin: document.origin.map(|origin| origin.0),
            next: document.next.map(|next| next.0),
            to: document.to.0,
        }
    }
}

/// Holds gateways, and the ways of workloads, against each other.
pub(super) fn check(workloads: &[Workload], gateways: &[GatewayAt]) -> Result<(), TableError> {
    for (g, gateway) in gateways.iter().enumerate() {
        let before = gateways[..g].iter();
        if let Some(earlier) = before
            .enumerate()
            .find(|(_, one)| one.address == gateway.address)
        {
            return Err(TableError {
                field: format!("gateways[{g}].address"),
                problem: format!(
                    "{} also belongs to gateways[{}]: an address names one gateway",
                    gateway.address, earlier.0
                ),
            });
        }
    }
    for (w, workload) in workloads.iter().enumerate() {
        for (v, way) in workload.via.iter().enumerate() {
            let same = |one: &Vec<SpiffeId>| one.first() == way.first();
            let checked = match workload.via[..v].iter().position(same) {
                Some(earlier) => Err(format!(
                    "it begins as via[{earlier}] does: ways are told apart by their first gateway"
                )),
                None => check_way(workload, way),
            };
            checked.map_err(|problem| TableError {
                field: format!("workloads[{w}].via[{v}]"),
                problem,
            })?;
        }
    }
    Ok(())
}

/// A first gateway without an address is no mistake: all of its replicas may be away for a while.
fn check_way(workload: &Workload, way: &[SpiffeId]) -> Result<(), String> {
    if way.is_empty() {
        return Err("the way is empty: name its gateways, or leave it out".to_owned());
    }
    if way.len() > MAX_GATEWAYS {
        let given = way.len();
        return Err(format!(
            "{given} gateways: a route has at most {MAX_GATEWAYS}"
        ));
    }
    let mut before = way.iter().enumerate();
    if let Some((_, twice)) = before.find(|(at, id)| way[..*at].contains(id)) {
        return Err(format!(
            "{twice} comes twice: the gateways would refuse it as a loop"
        ));
    }
    if way.contains(&workload.spiffe_id) {
        return Err(format!(
            "{} is the workload itself: the gateways would refuse it as a loop",
            workload.spiffe_id
        ));
    }
    Ok(())
}
