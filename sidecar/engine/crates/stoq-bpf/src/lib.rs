//! The kernel's part of STOQ: programs of `bpf/programs`, compiled by this crate's build script, and
//! everything that is done with them from outside: load, pin, attach, replace, detach, and reading and
//! writing their maps.
//!
//! - [`Guard`]: `xdp_guard` or `tc_guard`, on the node's uplink.
//! - [`Strict`]: `tc_strict`, on the host's end of the link of every pod of the mesh.
//! - [`Account`]: `tc_account`, there too.
//! - [`Redirect`]: `xsk_redirect`, on an interface whose datagrams an engine takes past the stack.
//! - [`Splice`]: `tc_splice`, on the links of pods that are joined with others of the node.
//!
//! What is attached, that one apart, outlives the process that attached it: links and maps are pinned under a folder of
//! a bpffs ([`Pins`]), a successor finds them there and replaces programs in place.
//!
//! Kernels: Linux 5.18 for XDP on frames of several buffers, 6.6 for links of tc programs (tcx). On an
//! older one loading or attaching says so, and nothing is half on.
//!
//! Deciding what to enrol or to allow is nobody's business here.

mod account;
mod address;
mod attach;
mod btf;
mod error;
mod guard;
#[cfg(test)]
mod header;
mod layout;
mod limits;
mod load;
mod maps;
mod numbers;
mod object;
mod permission;
mod pins;
mod redirect;
mod run;
mod shared;
mod splice;
mod strict;
mod xsk;

pub use account::{Account, AccountKey, Accounted};
pub use address::{Network, mapped, unmapped};
pub use attach::Attached;
pub use error::Error;
pub use guard::{Guard, GuardMode, Listing, Stage, Verdict};
pub use limits::{Limits, Rate};
pub use numbers::{Class, Direction, Mode, Reason};
pub use object::Object;
pub use permission::Permission;
pub use pins::Pins;
pub use redirect::{Lent, LentQueue, Redirect};
pub use run::{Action, Arrival};
pub use shared::Count;
pub use splice::{End, Pair, Splice};
pub use strict::{Pod, Seen, Strict};
