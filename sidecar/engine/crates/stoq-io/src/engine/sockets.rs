//! The sockets of all workers, until they are handed out.

use std::io;

use mio::Poll;
use mio::net::TcpListener;
use socket2::{Socket, Type};

use super::LocalPort;
use crate::error::EngineError;
use crate::settings::{EngineSettings, ListenerSettings};
use crate::shared::Shared;
use crate::socket::capture::CaptureSocket;
use crate::socket::udp::Datagrams;
use crate::socket::{self, local_address};
use crate::steering;
use crate::worker::{ListenerKind, Plan, PortKind};
use crate::xsk::{self, Xsk};

/// All of them.
pub(super) struct Sockets {
    stoq: Vec<Socket>,
    bootstrap: Vec<Socket>,
    outbound: Vec<Socket>,
    inbound: Vec<Socket>,
    capture: Vec<Socket>,
    /// One for each worker once it is adopted, none for those without a queue.
    xsk: Vec<Option<Xsk>>,
}

impl Sockets {
    pub(super) fn open(settings: &EngineSettings, workers: usize) -> Result<Self, EngineError> {
        let open = |field, listener: &Option<ListenerSettings>, kind| match listener {
            Some(listener) => socket::open(field, listener, kind, workers, settings.ipv6_only),
            None => Ok(Vec::new()),
        };
        Ok(Self {
            stoq: open("stoq.listen", &settings.stoq, Type::DGRAM)?,
            bootstrap: open("bootstrap.listen", &settings.bootstrap, Type::DGRAM)?,
            outbound: open("outbound.listen", &settings.outbound, Type::STREAM)?,
            inbound: open("inbound.listen", &settings.inbound, Type::STREAM)?,
            capture: settings.udp.as_ref().map_or(Ok(Vec::new()), |udp| {
                let adopted = udp.capture.iter();
                adopted
                    .map(|fd| socket::adopt("udp.capture", *fd))
                    .collect()
            })?,
            xsk: Vec::new(),
        })
    }

    /// Takes over an interface's queues. What cannot be had is told: the sockets do without.
    pub(super) fn adopt_queues(&mut self, shared: &Shared) {
        let Some(settings) = &shared.settings.af_xdp else {
            return;
        };
        match xsk::adopt(settings, &shared.counters, shared.settings.ipv6_only) {
            Ok(queues) => self.xsk = queues,
            Err(why) => shared.log.warn(format_args!(
                "AF_XDP on {}: {why}: all datagrams go by the sockets",
                settings.interface
            )),
        }
    }

    /// As many workers as every UDP listener has sockets for.
    pub(super) fn workers(&self, wanted: usize) -> usize {
        [&self.stoq, &self.bootstrap]
            .into_iter()
            .filter(|sockets| !sockets.is_empty())
            .map(Vec::len)
            .fold(wanted, usize::min)
    }

    /// Has the kernel hand each datagram to the worker that owns its connection. It
    /// may refuse, on an old kernel or for sockets that were handed in unshared: then
    /// workers forward what is not theirs, which costs time and nothing else.
    pub(super) fn steer(&self, workers: usize) {
        for sockets in [&self.stoq, &self.bootstrap] {
            if let Some(first) = sockets.first().filter(|_| workers > 1) {
                let _ = steering::steer(first, workers as u8);
            }
        }
    }

    pub(super) fn ports(&self) -> Vec<(LocalPort, u16)> {
        let first = |which, sockets: &[Socket]| {
            let address = local_address(sockets.first()?).ok()?;
            Some((which, address.port()))
        };
        [
            first(LocalPort::Stoq, &self.stoq),
            first(LocalPort::Bootstrap, &self.bootstrap),
            first(LocalPort::Outbound, &self.outbound),
            first(LocalPort::Inbound, &self.inbound),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The share of one worker. Listeners go round: fewer than workers is fine,
    /// connections are handed to their owner anyway.
    pub(super) fn plan(&mut self, index: usize, poll: Poll, shared: &Shared) -> io::Result<Plan> {
        let mut ports = Vec::new();
        let udp = [
            (PortKind::Mesh, &mut self.stoq),
            (PortKind::Bootstrap, &mut self.bootstrap),
        ];
        for (kind, sockets) in udp {
            if !sockets.is_empty() {
                ports.push((kind, Datagrams::new(sockets.remove(0))?));
            }
        }
        ports.push((
            PortKind::Dial,
            Datagrams::for_dialling(shared.settings.ipv6_only)?,
        ));
        let mut listeners = Vec::new();
        let tcp = [
            (ListenerKind::Outbound, &mut self.outbound),
            (ListenerKind::Inbound, &mut self.inbound),
        ];
        for (kind, sockets) in tcp {
            if !sockets.is_empty() {
                listeners.push((kind, TcpListener::from_std(sockets.remove(0).into())));
            }
        }
        let capture = match self.capture.is_empty() {
            true => None,
            false => Some(CaptureSocket::new(self.capture.remove(0))),
        };
        if index == 0 && capture.as_ref().is_some_and(|socket| !socket.tells_marks()) {
            shared.log.warn(format_args!(
                "captured UDP leaves the mesh without Don't Fragment: its socket tells no marks \
                 (SO_RCVMARK), which takes Linux 5.19 and a node agent of this version"
            ));
        }
        Ok(Plan {
            index,
            poll,
            ports,
            xsk: self.xsk.get_mut(index).and_then(Option::take),
            listeners,
            capture,
        })
    }
}
