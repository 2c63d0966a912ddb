//! Who may reach this workload: its access policies, flattened to rules.
//!
//! Deny wins. Where any allow rule is enforced, whom none of them admits is refused.
//! Rules of a dry run decide nothing and are counted as if they did.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::Deserialize;

use super::TableError;
use super::document::Text;
use crate::spiffe::{SpiffeId, TrustDomain};

/// What a rule does with the peers and ports that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Allow,
    Deny,
}

/// One rule of one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    policy: Arc<str>,
    action: Action,
    dry_run: bool,
    spiffe_ids: HashSet<SpiffeId>,
    namespaces: HashSet<String>,
    /// `<namespace>/<service account>`.
    service_accounts: HashSet<String>,
    /// Empty: every port.
    ports: Vec<RangeInclusive<u16>>,
}

/// The rules of one workload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    rules: Vec<Rule>,
    /// The trust domain whose namespaces and service accounts rules name.
    home: Option<TrustDomain>,
}

/// What a policy had to say about a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AccessEffect {
    /// One of its allow rules admits the peer.
    Allow,
    /// One of its deny rules refuses the peer.
    Deny,
    /// It allows others only, and no policy admits the peer.
    NotAllowed,
}

impl AccessEffect {
    /// The name used in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::NotAllowed => "not_allowed",
        }
    }
}

/// A policy's say about a flow, to be counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccessTally {
    /// `<namespace>/<name>` of the policy.
    pub policy: Arc<str>,
    /// What it had to say.
    pub effect: AccessEffect,
    /// Whether it is only tried out.
    pub dry_run: bool,
}

/// The decision on one flow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ruling {
    /// Every policy that had a say, each once for each effect.
    pub tallies: Vec<AccessTally>,
}

impl Ruling {
    /// Whether the flow may go on.
    #[must_use]
    pub fn admits(&self) -> bool {
        self.refusals().next().is_none()
    }

    /// The policies that refuse the flow, for a person; empty when it may go on.
    #[must_use]
    pub fn refused_by(&self) -> String {
        let named: Vec<String> = self
            .refusals()
            .map(|tally| match tally.effect {
                AccessEffect::NotAllowed => format!("{} does not allow it", tally.policy),
                _ => format!("{} denies it", tally.policy),
            })
            .collect();
        named.join(", ")
    }

    fn refusals(&self) -> impl Iterator<Item = &AccessTally> {
        let refuses = |t: &&AccessTally| !t.dry_run && t.effect != AccessEffect::Allow;
        self.tallies.iter().filter(refuses)
    }

    fn add(&mut self, rule: &Rule, effect: AccessEffect) {
        let tally = AccessTally {
            policy: Arc::clone(&rule.policy),
            effect,
            dry_run: rule.dry_run,
        };
        if !self.tallies.contains(&tally) {
            self.tallies.push(tally);
        }
    }
}

impl Access {
    /// Decides on a flow of `peer` to `port` of this workload; `None` is a peer that
    /// has proven no identity, whom only rules for everyone name.
    ///
    /// A dry run is counted as if its policies were enforced beside the others: its allow
    /// policies refuse whom neither they nor an enforced one admit.
    #[must_use]
    pub fn rule(&self, peer: Option<&SpiffeId>, port: u16) -> Ruling {
        let mut ruling = Ruling::default();
        let named = |rule: &&Rule| self.names(rule, peer, port);
        for rule in self.rules.iter().filter(named) {
            ruling.add(
                rule,
                match rule.action {
                    Action::Allow => AccessEffect::Allow,
                    Action::Deny => AccessEffect::Deny,
                },
            );
        }
        let allowed = |dry_run: bool| {
            let counts =
                |t: &AccessTally| t.effect == AccessEffect::Allow && (dry_run || !t.dry_run);
            ruling.tallies.iter().any(counts)
        };
        let (enforced, tried) = (allowed(false), allowed(true));
        for rule in self.rules.iter().filter(|r| r.action == Action::Allow) {
            if !(enforced || rule.dry_run && tried) {
                ruling.add(rule, AccessEffect::NotAllowed);
            }
        }
        ruling
    }

    fn names(&self, rule: &Rule, peer: Option<&SpiffeId>, port: u16) -> bool {
        let everyone = rule.spiffe_ids.is_empty()
            && rule.namespaces.is_empty()
            && rule.service_accounts.is_empty();
        let in_ports =
            rule.ports.is_empty() || rule.ports.iter().any(|range| range.contains(&port));
        in_ports && (everyone || peer.is_some_and(|peer| self.names_peer(rule, peer)))
    }

    fn names_peer(&self, rule: &Rule, peer: &SpiffeId) -> bool {
        if rule.spiffe_ids.contains(peer) {
            return true;
        }
        // A namespace of another trust domain is another namespace. While our own domain is
        // not known, either answer may be wrong: the one that lets nobody in is given.
        let unknown = rule.action == Action::Deny;
        let home = self.home.as_ref();
        if !home.map_or(unknown, |home| home == peer.trust_domain()) {
            return false;
        }
        let (namespace, account) = (peer.namespace(), peer.service_account());
        rule.namespaces.contains(namespace)
            || rule
                .service_accounts
                .contains(&format!("{namespace}/{account}"))
    }

    pub(super) fn new(
        documents: Vec<RuleDocument>,
        home: Option<TrustDomain>,
    ) -> Result<Self, TableError> {
        let read = |(index, document): (usize, RuleDocument)| document.into_rule(index);
        let rules = documents.into_iter().enumerate().map(read);
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
            home,
        })
    }
}

/// A rule as the table's JSON has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleDocument {
    policy: String,
    action: Action,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    spiffe_ids: Vec<Text<SpiffeId>>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default)]
    service_accounts: Vec<String>,
    #[serde(default)]
    ports: Vec<(u16, u16)>,
}

impl RuleDocument {
    fn into_rule(self, index: usize) -> Result<Rule, TableError> {
        let wrong = |field: String, problem: String| TableError {
            field: format!("access[{index}].{field}"),
            problem,
        };
        for (a, account) in self.service_accounts.iter().enumerate() {
            let parts: Vec<&str> = account.split('/').collect();
            if parts.len() != 2 || parts.contains(&"") {
                return Err(wrong(
                    format!("service_accounts[{a}]"),
                    format!("{account:?} is no service account: write <namespace>/<name>"),
                ));
            }
        }
        for (p, (first, last)) in self.ports.iter().enumerate() {
            if *first == 0 || first > last {
                return Err(wrong(
                    format!("ports[{p}]"),
                    format!("{first} to {last} is no range: write [first, last] of 1 to 65535"),
                ));
            }
        }
        Ok(Rule {
            policy: self.policy.into(),
            action: self.action,
            dry_run: self.dry_run,
            spiffe_ids: self.spiffe_ids.into_iter().map(|id| id.0).collect(),
            namespaces: self.namespaces.into_iter().collect(),
            service_accounts: self.service_accounts.into_iter().collect(),
            ports: self.ports.into_iter().map(|(a, b)| a..=b).collect(),
        })
    }
}
