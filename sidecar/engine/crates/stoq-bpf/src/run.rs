//! Runs a program on one frame without a network (`BPF_PROG_TEST_RUN`): what tests and fuzzers do, and
//! how an agent sees whether what the verifier took also decides as it should.

use aya::programs::{Program, TestRun, TestRunOptions};

use crate::error::Error;
use crate::load::Loaded;

/// What a program wants done with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// On, to the next program or to the stack.
    Pass,
    /// Gone, nobody told.
    Drop,
    /// To the socket of its queue.
    Redirect,
    /// Anything else, by its number in `enum xdp_action` or of `TC_ACT_*`.
    Other(u32),
}

/// How a packet came to a tc program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The interface whose program runs; must exist.
    pub ifindex: u32,
    /// The interface by which the host received it; 0: this host made it.
    pub received_by: u32,
    /// Segments of a GSO packet; 0: it is none.
    pub segments: u32,
}

/// Bytes of `struct __sk_buff` up to and with `hwtstamp` (linux/bpf.h).
const SK_BUFF: usize = 192;
/// Offsets in it.
const INGRESS_IFINDEX: usize = 36;
const IFINDEX: usize = 40;
const GSO_SEGS: usize = 164;

/// `TC_ACT_UNSPEC` and `TC_ACT_SHOT` (linux/pkt_cls.h).
const UNSPEC: u32 = u32::MAX;
const SHOT: u32 = 2;

impl Arrival {
    fn context(self) -> [u8; SK_BUFF] {
        let mut context = [0; SK_BUFF];
        let mut put =
            |at: usize, value: u32| context[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        put(INGRESS_IFINDEX, self.received_by);
        put(IFINDEX, self.ifindex);
        put(GSO_SEGS, self.segments);
        context
    }
}

impl Loaded {
    /// Runs an XDP program on a frame; it begins with the Ethernet header.
    pub(crate) fn run_xdp(&mut self, name: &'static str, frame: &[u8]) -> Result<Action, Error> {
        Ok(match self.run(name, frame, None)? {
            1 => Action::Drop,
            2 => Action::Pass,
            4 => Action::Redirect,
            other => Action::Other(other),
        })
    }

    /// Runs a tc program on a frame; it begins with the Ethernet header.
    pub(crate) fn run_tc(
        &mut self,
        name: &'static str,
        frame: &[u8],
        arrival: Arrival,
    ) -> Result<Action, Error> {
        Ok(match self.run(name, frame, Some(&arrival.context()))? {
            UNSPEC => Action::Pass,
            SHOT => Action::Drop,
            other => Action::Other(other),
        })
    }

    fn run(
        &mut self,
        name: &'static str,
        frame: &[u8],
        context: Option<&[u8]>,
    ) -> Result<u32, Error> {
        let options = TestRunOptions {
            data_in: Some(frame),
            ctx_in: context,
            ..TestRunOptions::new()
        };
        let ran = match self.program(name) {
            Program::Xdp(xdp) => xdp.test_run(options),
            Program::SchedClassifier(tc) => tc.test_run(options),
            other => unreachable!("load::verify refuses type {:?}", other.prog_type()),
        };
        let ran = ran.map_err(|error| Error::Program {
            program: name.into(),
            error,
        })?;
        Ok(ran.return_value)
    }
}
