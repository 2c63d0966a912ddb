//! `xsk_redirect`: STOQ packets of a receive queue go to an AF_XDP socket.

use std::os::fd::{AsFd, AsRawFd};

use aya::maps::XskMap;

use crate::attach::{Attached, Hook, XdpMode};
use crate::error::Error;
use crate::load::Loaded;
use crate::maps::{at, found};
use crate::object::Object;
use crate::pins::Pins;
use crate::run::XdpAction;

pub(crate) const PROGRAM: &str = "xsk_redirect";
const SOCKETS: &str = "xsk_sockets";

/// The program in front of AF_XDP sockets, in the kernel.
#[derive(Debug)]
pub struct Redirect(pub(crate) Loaded);

impl Redirect {
    /// Loads it; with `pins`, over the sockets that are registered.
    ///
    /// # Errors
    /// As the variants of [`Error`] say.
    pub fn load(pins: Option<&Pins>) -> Result<Self, Error> {
        Ok(Self(Loaded::load(Object::Redirect, pins)?))
    }

    /// Attaches it to an interface alone; with a guard there, see [`crate::Guard::follow_with`].
    ///
    /// # Errors
    /// As the variants of [`Error`] say.
    pub fn attach(&mut self, ifindex: u32, mode: XdpMode) -> Result<Attached, Error> {
        self.0.attach(PROGRAM, ifindex, Hook::Xdp(mode))
    }

    /// Detaches it; false if it was not there.
    ///
    /// # Errors
    /// [`Error::Pins`] if the pin cannot be removed.
    pub fn detach(&self, ifindex: u32) -> Result<bool, Error> {
        self.0.detach(PROGRAM, ifindex)
    }

    /// Gives the STOQ packets of `queue` (0 to 63) to a bound AF_XDP socket.
    ///
    /// # Errors
    /// [`Error::Map`] for a queue out of bounds or another kind of socket.
    pub fn register(&mut self, queue: u32, socket: &impl AsFd) -> Result<(), Error> {
        let mut map: XskMap<_> = self.0.map_mut(SOCKETS)?;
        map.set(queue, socket.as_fd().as_raw_fd(), 0)
            .map_err(at(SOCKETS))
    }

    /// Gives them back to the stack. The kernel does so by itself when the socket closes.
    ///
    /// # Errors
    /// [`Error::Map`] as the kernel says.
    pub fn unregister(&mut self, queue: u32) -> Result<bool, Error> {
        let mut map: XskMap<_> = self.0.map_mut(SOCKETS)?;
        found(map.unset(queue)).map_err(at(SOCKETS))
    }

    /// Runs it on one frame.
    ///
    /// # Errors
    /// [`Error::Program`] for a frame that the kernel cannot make.
    pub fn run(&mut self, frame: &[u8]) -> Result<XdpAction, Error> {
        self.0.run_xdp(PROGRAM, frame)
    }
}
