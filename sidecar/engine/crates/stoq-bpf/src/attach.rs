//! Links: what keeps a program attached, pinned so that they outlive this process.
//!
//! Where a link is pinned already its program is exchanged in place (`BPF_LINK_UPDATE`): every packet
//! is seen by the old or by the new one. A link whose interface is gone is of no use and is replaced.

use std::ffi::CStr;
use std::io;

use aya::programs::links::{FdLink, LinkError, LinkOrder, PinnedLink};
use aya::programs::tc::TcAttachOptions;
use aya::programs::{Program, ProgramError, TcAttachType};
use aya::util::KernelVersion;

use aya::programs::xdp::XdpMode;

use crate::error::Error;
use crate::load::Loaded;
use crate::numbers::Direction;
use crate::pins::unpin;

/// Links of tc programs (tcx).
const TCX: KernelVersion = KernelVersion::new(6, 6, 0);
/// Links of XDP programs.
const XDP_LINK: KernelVersion = KernelVersion::new(5, 9, 0);

/// What attaching found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attached {
    /// The interface had no program of this name.
    New,
    /// It had one, which was exchanged without a gap.
    Replaced,
}

/// Where a program is attached.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hook {
    /// XDP, in a mode. The mode of a link that is there already stays.
    Xdp(XdpMode),
    /// tc, of packets that come in or go out, in front of all programs that are there: none of them may
    /// let a packet go past it.
    Tc(TcAttachType),
}

impl Hook {
    /// That of a direction at the host's end of a pod's link.
    const fn of(direction: Direction) -> Self {
        Self::Tc(match direction {
            Direction::ToPod => TcAttachType::Egress,
            Direction::FromPod => TcAttachType::Ingress,
        })
    }
}

/// Names the program of a direction.
pub(crate) type ByDirection = fn(Direction) -> &'static str;

impl Loaded {
    /// Attaches `program` to an interface, or takes over the link of an earlier one.
    ///
    /// # Errors
    /// [`Error::NoLink`] on kernels without links for the hook, [`Error::NoInterface`],
    /// [`Error::Value`] if it was loaded without pins; what the kernel says otherwise.
    pub(crate) fn attach(
        &mut self,
        name: &'static str,
        ifindex: u32,
        hook: Hook,
    ) -> Result<Attached, Error> {
        let Some(pins) = self.pins() else {
            return Err(Error::Value(format!(
                "program {name} was loaded without pins, to be tried only: it cannot be attached"
            )));
        };
        let pin = pins.link(name, ifindex);
        let program = self.program(name);
        if let Ok(link) = PinnedLink::from_pin(&pin) {
            if replace(name, program, link.into())? {
                return Ok(Attached::Replaced);
            }
            unpin(&pin)?;
        }
        let link = create(name, program, ifindex, hook)?;
        link.pin(&pin).map_err(|error| Error::Pins {
            path: pin,
            error: io::Error::other(error),
        })?;
        Ok(Attached::New)
    }

    /// Detaches `program` from an interface; false if it was not attached.
    ///
    /// # Errors
    /// [`Error::Pins`] if the pin cannot be removed.
    pub(crate) fn detach(&self, name: &'static str, ifindex: u32) -> Result<bool, Error> {
        match self.pins() {
            Some(pins) => unpin(&pins.link(name, ifindex)),
            None => Ok(false),
        }
    }

    /// Attaches the programs of both directions to the host's end of a pod's link.
    ///
    /// # Errors
    /// As [`Self::attach`].
    pub(crate) fn attach_both(
        &mut self,
        program: ByDirection,
        ifindex: u32,
    ) -> Result<Attached, Error> {
        let (to_pod, from_pod) = (Direction::ToPod, Direction::FromPod);
        self.attach(program(to_pod), ifindex, Hook::of(to_pod))?;
        self.attach(program(from_pod), ifindex, Hook::of(from_pod))
    }

    /// Detaches both; false if none was attached.
    ///
    /// # Errors
    /// As [`Self::detach`].
    pub(crate) fn detach_both(&self, program: ByDirection, ifindex: u32) -> Result<bool, Error> {
        let to_pod = self.detach(program(Direction::ToPod), ifindex)?;
        Ok(self.detach(program(Direction::FromPod), ifindex)? || to_pod)
    }
}

/// Puts `program` into a link that is attached; false if the link's interface is gone.
fn replace(name: &str, program: &mut Program, link: FdLink) -> Result<bool, Error> {
    let foreign = |error| link_failed(name, error);
    // A link that is dropped stays attached by its pin.
    let done = match program {
        Program::Xdp(xdp) => {
            let link = link.try_into().map_err(foreign)?;
            let taken = xdp.attach_to_link(link);
            taken.and_then(|id| xdp.take_link(id)).map(drop)
        }
        Program::SchedClassifier(tc) => {
            let link = link.try_into().map_err(foreign)?;
            let taken = tc.attach_to_link(link);
            taken.and_then(|id| tc.take_link(id)).map(drop)
        }
        other => unreachable!("load::verify refuses type {:?}", other.prog_type()),
    };
    match done {
        Ok(()) => Ok(true),
        Err(ProgramError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ENOLINK) =>
        {
            Ok(false)
        }
        Err(error) => Err(failed(name, error)),
    }
}

fn create(name: &str, program: &mut Program, ifindex: u32, hook: Hook) -> Result<FdLink, Error> {
    let interface = interface_name(ifindex)?;
    let needed = match hook {
        Hook::Xdp(_) => XDP_LINK,
        Hook::Tc(_) => TCX,
    };
    if KernelVersion::current().is_ok_and(|kernel| kernel < needed) {
        return Err(Error::NoLink {
            program: name.into(),
        });
    }
    let program_failed = |error| failed(name, error);
    match (program, hook) {
        (Program::Xdp(xdp), Hook::Xdp(mode)) => {
            let id = xdp.attach_to_if_index(ifindex, mode);
            let link = id
                .and_then(|id| xdp.take_link(id))
                .map_err(program_failed)?;
            link.try_into().map_err(|error| link_failed(name, error))
        }
        (Program::SchedClassifier(tc), Hook::Tc(side)) => {
            let first = TcAttachOptions::TcxOrder(LinkOrder::first());
            let id = tc.attach_with_options(&interface, side, first);
            let link = id.and_then(|id| tc.take_link(id)).map_err(program_failed)?;
            link.try_into().map_err(|error| link_failed(name, error))
        }
        (other, hook) => unreachable!("{:?} at {hook:?}", other.prog_type()),
    }
}

fn interface_name(ifindex: u32) -> Result<String, Error> {
    let mut name = [0; libc::IF_NAMESIZE];
    // SAFETY: the buffer has the size that the call may fill, and lives until it returns.
    let found = unsafe { libc::if_indextoname(ifindex, name.as_mut_ptr()) };
    if found.is_null() {
        return Err(Error::NoInterface(ifindex));
    }
    let bytes = name.map(|byte| byte as u8);
    let name = CStr::from_bytes_until_nul(&bytes).map_err(|_| Error::NoInterface(ifindex))?;
    Ok(name.to_string_lossy().into_owned())
}

fn failed(program: &str, error: ProgramError) -> Error {
    Error::Program {
        program: program.into(),
        error,
    }
}

fn link_failed(program: &str, error: LinkError) -> Error {
    Error::Link {
        program: program.into(),
        error,
    }
}
