//! The signed routes that were begun, so that none is begun again (G11).
//!
//! What is remembered is bounded for each origin on its own, so none makes a gateway forget what another
//! has begun. What of an origin is forgotten before it ends is the oldest, and nothing that ends as early
//! is taken of that origin any more: a signature is remembered, or it is not valid.

use std::collections::{BTreeSet, HashMap};

use stoq_wire::frame::hop::RouteId;

use super::OriginRefusal;

/// Routes of one origin that are remembered: those of the last ten seconds where it begins as many as its
/// rate allows (64 at once and 20 a second), and all where it begins less than one a second.
const MOST_EACH: usize = 256;

/// Origins of one trust domain that are remembered, so that a domain that makes up identities keeps out
/// none but its own. With [`MOST_EACH`] ids each, 20 MB.
const MOST_ORIGINS: usize = 2048;

/// The routes that were begun, by who has begun them.
#[derive(Debug, Default)]
pub(super) struct Used(HashMap<String, Begun>);

/// What one origin has begun.
#[derive(Debug, Default)]
struct Begun {
    /// By when the signatures end, in Unix seconds.
    ends: BTreeSet<(u64, RouteId)>,
    /// Some that ended then are not in `ends` any more.
    forgotten: u64,
}

impl Begun {
    /// Forgets what has ended. True: nothing is left.
    fn is_over(&mut self, unix: u64) -> bool {
        while self.ends.first().is_some_and(|first| first.0 <= unix) {
            self.ends.pop_first();
        }
        self.ends.is_empty() && self.forgotten <= unix
    }
}

impl Used {
    /// Whether `origin` may begin a route by a signature that ends at `until`.
    ///
    /// # Errors
    /// [`OriginRefusal::Used`] for one that it has begun, [`OriginRefusal::Late`] for one that it may have
    /// begun, [`OriginRefusal::Origins`] where too many others have.
    pub(super) fn admits(
        &mut self,
        origin: &str,
        id: &RouteId,
        until: u64,
        unix: u64,
    ) -> Result<(), OriginRefusal> {
        let Some(begun) = self.0.get_mut(origin) else {
            self.0.retain(|_, begun| !begun.is_over(unix));
            let domain = domain_of(origin);
            let of_domain = self.0.keys().filter(|other| domain_of(other) == domain);
            return match of_domain.count() < MOST_ORIGINS {
                true => Ok(()),
                false => Err(OriginRefusal::Origins),
            };
        };
        begun.is_over(unix);
        if begun.ends.iter().any(|(_, other)| other == id) {
            return Err(OriginRefusal::Used);
        }
        if until <= begun.forgotten {
            return Err(OriginRefusal::Late(begun.forgotten));
        }
        Ok(())
    }

    /// `origin` has begun a route that is [admitted](Self::admits).
    pub(super) fn remember(&mut self, origin: &str, id: RouteId, until: u64) {
        let begun = self.0.entry(origin.to_owned()).or_default();
        begun.ends.insert((until, id));
        if begun.ends.len() > MOST_EACH
            && let Some((oldest, _)) = begun.ends.pop_first()
        {
            begun.forgotten = oldest;
        }
    }
}

/// The trust domain of a SPIFFE id.
fn domain_of(identity: &str) -> Option<&str> {
    identity.split('/').nth(2)
}
