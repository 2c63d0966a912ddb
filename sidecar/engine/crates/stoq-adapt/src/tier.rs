//! Tiers: classes of paths.

pub(crate) mod detector;
pub(crate) mod table;

use std::fmt;
use std::str::FromStr;

/// A class of paths, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// A satellite, a mobile network at its edge, a link that loses much.
    Slow,
    /// A subscriber line: a branch office.
    Home,
    /// Across a continent.
    Standard,
    /// Within a region.
    Performance,
    /// Between the zones of a region, or across a campus.
    Enterprise,
    /// Within a room.
    DataCenter,
}

impl Tier {
    /// All of them, worst first.
    pub const ALL: [Self; 6] = [
        Self::Slow,
        Self::Home,
        Self::Standard,
        Self::Performance,
        Self::Enterprise,
        Self::DataCenter,
    ];

    /// The name in policies and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Home => "home",
            Self::Standard => "standard",
            Self::Performance => "performance",
            Self::Enterprise => "enterprise",
            Self::DataCenter => "datacenter",
        }
    }

    /// The next better one; the best has none.
    pub fn better(self) -> Option<Self> {
        Self::ALL.get(self as usize + 1).copied()
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No tier has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no tier is called {0:?}: use slow, home, standard, performance, enterprise or datacenter")]
pub struct UnknownTier(pub String);

impl FromStr for Tier {
    type Err = UnknownTier;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|tier| tier.name() == name)
            .ok_or_else(|| UnknownTier(name.to_owned()))
    }
}
