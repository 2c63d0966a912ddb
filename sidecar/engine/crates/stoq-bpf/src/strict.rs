//! `tc_strict`: strict mode in the kernel, on the host's end of pods' links.

use aya::maps::{HashMap, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues};
use aya::util::nr_cpus;

use crate::attach::Attached;
use crate::error::Error;
use crate::load::Loaded;
use crate::maps::{at, found, sum};
use crate::numbers::{Direction, Mode, Reason};
use crate::object::Object;
use crate::pins::Pins;
use crate::run::{Action, Arrival};
use crate::shared::{Count, FlowKey, FlowState, PodEntry, StrictCounts};

const PODS: &str = "strict_pods";
const COUNTS: &str = "strict_counts";
const FLOWS: &str = "strict_flows";
const UNENROLLED: &str = "strict_unenrolled";
/// `STOQ_POD_UDP` and `STOQ_POD_ECHO`.
const UDP: u32 = 1;
const ECHO: u32 = 2;

/// What is enforced for a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pod {
    /// Of connections towards it.
    pub inbound: Mode,
    /// Of connections that it opens.
    pub outbound: Mode,
    /// Its applications' UDP passes as it is. docs/traffic-matrix.md has it so until it is captured.
    pub udp: bool,
    /// Ping passes.
    pub echo: bool,
}

/// What strict mode saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Which way the packets went.
    pub direction: Direction,
    /// Why they passed or did not.
    pub reason: Reason,
    /// How many.
    pub count: Count,
}

/// Strict mode, in the kernel.
#[derive(Debug)]
pub struct Strict(pub(crate) Loaded);

impl Strict {
    /// Loads it; with `pins`, over the pods that are enrolled.
    ///
    /// # Errors
    /// As the variants of [`Error`] say.
    pub fn load(pins: Option<&Pins>) -> Result<Self, Error> {
        Ok(Self(Loaded::load(Object::Strict, pins)?))
    }

    /// Attaches both directions to the host's end of a pod's link. A link without [`Self::enrol`] lets
    /// nothing through, so enrol first.
    ///
    /// # Errors
    /// As the variants of [`Error`] say.
    pub fn attach(&mut self, ifindex: u32) -> Result<Attached, Error> {
        self.0.attach_both(program, ifindex)
    }

    /// Detaches both within moments, which opens the pod; false if none was there.
    ///
    /// # Errors
    /// [`Error::Pins`] if a pin cannot be removed.
    pub fn detach(&self, ifindex: u32) -> Result<bool, Error> {
        self.0.detach_both(program, ifindex)
    }

    /// Forgets the pinned maps of other versions, once all links run this one.
    ///
    /// # Errors
    /// [`Error::Pins`].
    pub fn sweep(&self) -> Result<(), Error> {
        self.0.sweep()
    }

    /// Says what is enforced for the pod behind an interface, or changes it. Its counters begin at 0
    /// when it is new.
    ///
    /// # Errors
    /// [`Error::Map`] if 4,096 pods are enrolled.
    pub fn enrol(&mut self, ifindex: u32, pod: Pod) -> Result<(), Error> {
        if self.counts(ifindex)?.is_none() {
            self.put_counts(ifindex)?;
        }
        let mut map: HashMap<_, u32, PodEntry> = self.0.map_mut(PODS)?;
        map.insert(ifindex, pod.encode(), 0).map_err(at(PODS))
    }

    /// Forgets the pod behind an interface that is gone: its counters, permissions and flows, which
    /// would let answers through to the next pod whose link gets the number.
    ///
    /// # Errors
    /// [`Error::Map`] as the kernel says.
    pub fn withdraw(&mut self, ifindex: u32) -> Result<bool, Error> {
        self.forget_flows(ifindex)?;
        for permission in self.permissions(Some(ifindex))? {
            self.forbid(Some(ifindex), permission)?;
        }
        let mut counts: PerCpuHashMap<_, u32, StrictCounts> = self.0.map_mut(COUNTS)?;
        found(counts.remove(&ifindex)).map_err(at(COUNTS))?;
        let mut pods: HashMap<_, u32, PodEntry> = self.0.map_mut(PODS)?;
        found(pods.remove(&ifindex)).map_err(at(PODS))
    }

    /// What strict mode saw of a pod since it was enrolled, of all processors; `None` if it is not.
    ///
    /// # Errors
    /// [`Error::Map`] as the kernel says.
    pub fn counts(&self, ifindex: u32) -> Result<Option<Vec<Seen>>, Error> {
        let map: PerCpuHashMap<_, u32, StrictCounts> = self.0.map(COUNTS)?;
        let values = match map.get(&ifindex, 0) {
            Ok(values) => values,
            Err(MapError::KeyNotFound) => return Ok(None),
            Err(error) => return Err(at(COUNTS)(error)),
        };
        let mut seen = Vec::with_capacity(Direction::ALL.len() * Reason::ALL.len());
        for &direction in Direction::ALL {
            for &reason in Reason::ALL {
                let slot = direction as usize * Reason::ALL.len() + reason as usize;
                seen.push(Seen {
                    direction,
                    reason,
                    count: sum(values.iter().map(|counts| counts.by[slot])),
                });
            }
        }
        Ok(Some(seen))
    }

    /// What was dropped because nobody had enrolled the pod of the link.
    ///
    /// # Errors
    /// [`Error::Map`] as the kernel says.
    pub fn unenrolled(&self, direction: Direction) -> Result<Count, Error> {
        let map: PerCpuArray<_, Count> = self.0.map(UNENROLLED)?;
        let values = map.get(&(direction as u32), 0).map_err(at(UNENROLLED))?;
        Ok(sum(values.iter().copied()))
    }

    /// The interfaces behind which pods are enrolled.
    ///
    /// # Errors
    /// [`Error::Map`] as the kernel says.
    pub fn enrolled(&self) -> Result<Vec<u32>, Error> {
        let map: HashMap<_, u32, PodEntry> = self.0.map(PODS)?;
        map.keys().map(|key| key.map_err(at(PODS))).collect()
    }

    /// Runs one direction on one frame, which is counted like any other.
    ///
    /// # Errors
    /// [`Error::Program`] for a frame that the kernel cannot make, or an interface that is not there.
    pub fn run(
        &mut self,
        direction: Direction,
        frame: &[u8],
        arrival: Arrival,
    ) -> Result<Action, Error> {
        self.0.run_tc(program(direction), frame, arrival)
    }

    fn forget_flows(&mut self, ifindex: u32) -> Result<(), Error> {
        let mut map: HashMap<_, FlowKey, FlowState> = self.0.map_mut(FLOWS)?;
        let of_pod =
            |key: &Result<FlowKey, _>| key.as_ref().map_or(true, |key| key.ifindex == ifindex);
        // Collected first: to remove the key that a walk stands on sends it back to the beginning.
        let keys: Result<Vec<_>, _> = map.keys().filter(of_pod).collect();
        for key in keys.map_err(at(FLOWS))? {
            found(map.remove(&key)).map_err(at(FLOWS))?;
        }
        Ok(())
    }

    fn put_counts(&mut self, ifindex: u32) -> Result<(), Error> {
        let processors = nr_cpus().map_err(|(_, error)| at(COUNTS)(error.into()))?;
        let zeros = vec![StrictCounts::default(); processors];
        let zeros = PerCpuValues::try_from(zeros).map_err(|error| at(COUNTS)(error.into()))?;
        let mut map: PerCpuHashMap<_, u32, StrictCounts> = self.0.map_mut(COUNTS)?;
        map.insert(ifindex, zeros, 0).map_err(at(COUNTS))
    }
}

impl Pod {
    fn encode(self) -> PodEntry {
        PodEntry {
            inbound: self.inbound as u32,
            outbound: self.outbound as u32,
            flags: (u32::from(self.udp) * UDP) | (u32::from(self.echo) * ECHO),
            reserved: 0,
        }
    }
}

const fn program(direction: Direction) -> &'static str {
    match direction {
        Direction::ToPod => "strict_to_pod",
        Direction::FromPod => "strict_from_pod",
    }
}
