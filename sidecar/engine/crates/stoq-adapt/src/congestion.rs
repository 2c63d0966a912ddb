//! Names of the congestion controllers.

use std::fmt;
use std::str::FromStr;

/// A congestion controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Congestion {
    /// RFC 9438, quinn-proto's.
    Cubic = 0,
    /// RFC 9002, section 7, quinn-proto's.
    NewReno = 1,
    /// draft-ietf-ccwg-bbr, ours.
    Bbr3 = 2,
}

impl Congestion {
    /// All of them, at the index that is their number.
    const ALL: [Self; 3] = [Self::Cubic, Self::NewReno, Self::Bbr3];

    /// The name in policies and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::NewReno => "newreno",
            Self::Bbr3 => "bbr3",
        }
    }

    /// The controller of a number, as it is kept in an atomic.
    pub(crate) fn from_number(number: u8) -> Self {
        Self::ALL
            .get(usize::from(number))
            .copied()
            .unwrap_or(Self::Cubic)
    }
}

impl fmt::Display for Congestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No congestion controller has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no congestion controller is called {0:?}: use cubic, newreno or bbr3 (bbr2 means bbr3)")]
pub struct UnknownCongestion(pub String);

impl FromStr for Congestion {
    type Err = UnknownCongestion;

    /// Names, and `bbr2`: what used to be asked for by that name has become version 3.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name == "bbr2" {
            return Ok(Self::Bbr3);
        }
        Self::ALL
            .into_iter()
            .find(|congestion| congestion.name() == name)
            .ok_or_else(|| UnknownCongestion(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_controller_is_found_by_its_name_and_its_number() {
        for congestion in Congestion::ALL {
            assert_eq!(congestion.name().parse(), Ok(congestion));
            assert_eq!(Congestion::from_number(congestion as u8), congestion);
        }
    }

    #[test]
    fn bbr2_means_bbr3_and_another_name_is_refused_with_the_way_out() {
        assert_eq!("bbr2".parse(), Ok(Congestion::Bbr3));
        let error = "vegas".parse::<Congestion>().unwrap_err().to_string();
        assert!(
            error.contains("vegas") && error.contains("newreno"),
            "{error}"
        );
    }
}
