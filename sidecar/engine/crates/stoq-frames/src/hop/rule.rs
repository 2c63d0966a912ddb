//! The ways that a gateway lets pass.

use std::str::FromStr;

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

/// What names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names nobody: write \"*\" for everyone, spiffe://<trust domain> for a trust domain, or a SPIFFE id"
)]
pub struct WhoError(String);

impl FromStr for Who {
    type Err = WhoError;

    fn from_str(text: &str) -> Result<Self, WhoError> {
        if text == "*" {
            return Ok(Self::Anyone);
        }
        let wrong = || WhoError(text.to_owned());
        let (domain, path) = match text.strip_prefix("spiffe://").ok_or_else(wrong)? {
            rest if rest.contains('/') => rest.split_once('/').unwrap_or((rest, "")),
            rest => (rest, "everyone"),
        };
        if domain.is_empty() || path.is_empty() || !text.bytes().all(|b| (0x21..=0x7e).contains(&b))
        {
            return Err(wrong());
        }
        Ok(match text.len() == "spiffe://".len() + domain.len() {
            true => Self::TrustDomain(domain.to_owned()),
            false => Self::Exactly(text.to_owned()),
        })
    }
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

/// What rules are held against.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) from: String,
    /// Proven; `None`: the route is not signed.
    pub(super) origin: Option<String>,
    pub(super) next: Option<String>,
    pub(super) to: String,
}

/// A way that a gateway lets pass. There is none without a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Who asks: the peer on the connection.
    pub from: Who,
    /// Who began the route, proven by its signature; `None`: whether or not it is signed.
    pub origin: Option<Who>,
    /// The gateway that comes next; `None` for routes that end here.
    pub next: Option<Who>,
    /// The workload at the end.
    pub to: Who,
}

impl Rule {
    /// Whether it lets a route pass.
    pub(super) fn admits(&self, route: &Asked) -> bool {
        let leads = match (&self.next, &route.next) {
            (Some(who), Some(next)) => who.is(next),
            (None, None) => true,
            _ => false,
        };
        let proven = |who: &Who| route.origin.as_deref().is_some_and(|origin| who.is(origin));
        let begun = self.origin.as_ref().is_none_or(proven);
        leads && begun && self.from.is(&route.from) && self.to.is(&route.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_everyone_a_trust_domain_or_one() {
        let domain = Who::TrustDomain("one.example".to_owned());
        let id = "spiffe://one.example/ns/shop/sa/web";
        assert_eq!("*".parse(), Ok(Who::Anyone));
        assert_eq!("spiffe://one.example".parse(), Ok(domain));
        assert_eq!(id.parse(), Ok(Who::Exactly(id.to_owned())));
    }

    #[test]
    fn what_names_nobody_is_refused_by_its_text() {
        for text in [
            "",
            "one.example",
            "spiffe://",
            "spiffe:///ns/a/sa/b",
            "spiffe://one.example/",
            "spiffe://one.example/ns/a b",
        ] {
            let refused = text.parse::<Who>().unwrap_err().to_string();
            assert!(refused.contains(&format!("{text:?}")), "{refused}");
        }
    }
}
