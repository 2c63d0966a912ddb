//! Crypto profiles: which algorithms a handshake must use, as one choice.
//!
//! A profile has a suite id, so that records and messages can name it. The ids
//! 3 and 4 are reserved for ML-DSA-65 and ML-DSA-87 and parse to nothing yet.

use std::fmt;
use std::str::FromStr;

use crate::falcon::Degree;

/// One agreed set of key exchange and signature algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CryptoProfile {
    /// X25519MLKEM768; Ed25519 and FALCON-1024. The default.
    Hybrid1024,
    /// X25519MLKEM768; Ed25519 and FALCON-512.
    Hybrid512,
    /// X25519; Ed25519. No protection against a quantum computer: for interop
    /// tests and comparisons only. Certificates stay hybrid.
    Classical,
}

/// Why a name selects no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// No profile has that name.
    #[error("{0:?} is no crypto profile: use hybrid-1024 or hybrid-512")]
    Unknown(String),
    /// `classical`, where it was not allowed explicitly.
    #[error(
        "crypto profile \"classical\" resists no quantum computer and is refused: use hybrid-1024 or hybrid-512"
    )]
    ClassicalRefused,
    /// A context made with `classical` is asked for another.
    #[error(
        "this process was set to crypto profile \"classical\" for interoperability tests and keeps it"
    )]
    Interop,
}

impl CryptoProfile {
    /// The suite id that names the profile in records and messages.
    #[must_use]
    pub fn suite_id(self) -> u16 {
        match self {
            Self::Hybrid1024 => 1,
            Self::Hybrid512 => 2,
            Self::Classical => 0xff00,
        }
    }

    /// The profile's name in settings and policies.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hybrid1024 => "hybrid-1024",
            Self::Hybrid512 => "hybrid-512",
            Self::Classical => "classical",
        }
    }

    /// The FALCON degree of keys made for the profile.
    #[must_use]
    pub fn degree(self) -> Degree {
        match self {
            Self::Hybrid1024 | Self::Classical => Degree::Falcon1024,
            Self::Hybrid512 => Degree::Falcon512,
        }
    }

    /// Parses a name, `classical` included. For interop tests; policy and
    /// settings go through [`FromStr`], which refuses it.
    ///
    /// # Errors
    /// [`ProfileError::Unknown`] for any other name.
    pub fn parse_allowing_classical(name: &str) -> Result<Self, ProfileError> {
        [Self::Hybrid1024, Self::Hybrid512, Self::Classical]
            .into_iter()
            .find(|profile| profile.name() == name)
            .ok_or_else(|| ProfileError::Unknown(name.to_owned()))
    }
}

impl FromStr for CryptoProfile {
    type Err = ProfileError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match Self::parse_allowing_classical(name)? {
            Self::Classical => Err(ProfileError::ClassicalRefused),
            hybrid => Ok(hybrid),
        }
    }
}

impl fmt::Display for CryptoProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hybrid_profiles_are_found_by_name() {
        assert_eq!("hybrid-1024".parse(), Ok(CryptoProfile::Hybrid1024));
        assert_eq!("hybrid-512".parse(), Ok(CryptoProfile::Hybrid512));
        assert_eq!(CryptoProfile::Hybrid512.to_string(), "hybrid-512");
    }

    #[test]
    fn classical_is_refused_unless_it_is_allowed_explicitly() {
        assert_eq!(
            "classical".parse::<CryptoProfile>(),
            Err(ProfileError::ClassicalRefused)
        );
        assert_eq!(
            CryptoProfile::parse_allowing_classical("classical"),
            Ok(CryptoProfile::Classical)
        );
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_names_to_use() {
        for name in ["", "Hybrid-1024", "ml-dsa-65"] {
            let error = name.parse::<CryptoProfile>().unwrap_err();
            assert_eq!(error, ProfileError::Unknown(name.to_owned()));
            assert!(error.to_string().contains("hybrid-1024"));
        }
    }

    #[test]
    fn suite_ids_are_fixed() {
        assert_eq!(CryptoProfile::Hybrid1024.suite_id(), 1);
        assert_eq!(CryptoProfile::Hybrid512.suite_id(), 2);
        assert_eq!(CryptoProfile::Classical.suite_id(), 0xff00);
    }

    #[test]
    fn each_profile_has_its_degree() {
        assert_eq!(CryptoProfile::Hybrid1024.degree(), Degree::Falcon1024);
        assert_eq!(CryptoProfile::Hybrid512.degree(), Degree::Falcon512);
    }
}
