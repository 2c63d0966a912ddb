//! The compiled objects, one for each file of `bpf/programs`.

use std::fmt;

use crate::layout::Layout;
use crate::shared;

/// A compiled file of `bpf/programs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// `xdp_guard.bpf.c`
    Guard,
    /// `tc_guard.bpf.c`
    TcGuard,
    /// `tc_strict.bpf.c`
    Strict,
    /// `tc_account.bpf.c`
    Account,
    /// `xsk_redirect.bpf.c`
    Redirect,
    /// `tc_splice.bpf.c`
    Splice,
}

macro_rules! compiled {
    ($name:literal) => {
        aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/", $name, ".bpf.o"))
    };
}

impl Object {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Guard,
        Self::TcGuard,
        Self::Strict,
        Self::Account,
        Self::Redirect,
        Self::Splice,
    ];

    /// The file's name without its ending.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Guard => "xdp_guard",
            Self::TcGuard => "tc_guard",
            Self::Strict => "tc_strict",
            Self::Account => "tc_account",
            Self::Redirect => "xsk_redirect",
            Self::Splice => "tc_splice",
        }
    }

    /// The names of its programs.
    pub const fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Guard => &["xdp_guard"],
            Self::TcGuard => &["tc_guard"],
            Self::Strict => &["strict_to_pod", "strict_from_pod"],
            Self::Account => &["account_to_pod", "account_from_pod"],
            Self::Redirect => &["xsk_redirect"],
            Self::Splice => &["splice_from_pod"],
        }
    }

    /// The ELF object, for the kernel's verifier and for nobody's disk.
    pub(crate) fn bytes(self) -> &'static [u8] {
        match self {
            Self::Guard => compiled!("xdp_guard"),
            Self::TcGuard => compiled!("tc_guard"),
            Self::Strict => compiled!("tc_strict"),
            Self::Account => compiled!("tc_account"),
            Self::Redirect => compiled!("xsk_redirect"),
            Self::Splice => compiled!("tc_splice"),
        }
    }

    /// The structures that its maps hold.
    pub(crate) const fn layouts(self) -> &'static [Layout] {
        match self {
            Self::Guard | Self::TcGuard => shared::GUARD,
            Self::Strict => shared::STRICT,
            Self::Account => shared::ACCOUNT,
            Self::Redirect => shared::REDIRECT,
            Self::Splice => shared::SPLICE,
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
