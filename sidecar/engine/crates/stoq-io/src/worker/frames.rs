//! From the queues of AF_XDP to the connections, and back.

use std::time::Instant;

use mio::event::Event;
use quinn_proto::EcnCodepoint;

use super::receive::Origin;
use super::start::PortKind;
use super::{Worker, XSK};
use crate::xsk::{Arrived, Flushed, Xsk};

/// Frames per queue and turn: as many bytes as some reads of a socket bring.
const FRAMES: usize = 256;

impl Worker {
    /// Remembers what the kernel reported about a queue.
    pub(super) fn note_queue(&mut self, token: usize, event: &Event) {
        let queue = token - XSK;
        let Some(xsk) = &mut self.xsk else { return };
        if event.is_readable() {
            xsk.set_readable(queue);
        }
    }

    /// Takes what the queues have, up to the budget; `true` when there was anything.
    pub(super) fn receive_frames(&mut self, now: Instant) -> bool {
        let queues = self.xsk.as_ref().map_or(0, Xsk::queues);
        let mut any = false;
        for queue in 0..queues {
            let (mut frames, mut malformed, mut bytes) = (0, 0, 0);
            while frames < FRAMES as u64
                && let Some(xsk) = &mut self.xsk
                && let Some(arrived) = xsk.receive(queue, &mut self.blocks)
            {
                frames += 1;
                let length = arrived.as_ref().map_or(0, |arrived| arrived.data.len());
                match arrived.and_then(|arrived| self.came(arrived)) {
                    Some((origin, data)) => {
                        bytes += length as u64;
                        self.route(origin, data, now);
                    }
                    None => malformed += 1,
                }
            }
            if frames > 0 {
                any = true;
                self.counters().received(frames - malformed, bytes);
            }
            // Also the chunks of a frame whose last part has not come yet.
            if let Some(xsk) = &mut self.xsk {
                xsk.settle(queue, frames, malformed);
            }
        }
        any
    }

    /// Which socket a datagram would have come by; none for one that this engine does not take.
    fn came(&self, arrived: Arrived) -> Option<(Origin, bytes::BytesMut)> {
        let number = arrived.local.port();
        let own = self.ports.iter().position(|port| port.number == number);
        // Every worker dials from a port of its own, and has its place for it in its list.
        let port = own.or_else(|| {
            let taken = self.xsk.as_ref().is_some_and(|xsk| xsk.takes(number));
            let dial = |port: &super::Port| port.kind == PortKind::Dial;
            self.ports.iter().position(dial).filter(|_| taken)
        })?;
        let origin = Origin {
            port,
            remote: arrived.remote,
            local_ip: Some(arrived.local.ip()),
            ecn: EcnCodepoint::from_bits(arrived.ecn),
        };
        Some((origin, arrived.data))
    }

    /// Sends what connections have put on the link. That is also when it is noticed that the interface
    /// is gone: of a socket that is no longer bound epoll reports nothing.
    pub(super) fn flush_frames(&mut self, now: Instant) {
        let Some(xsk) = &mut self.xsk else { return };
        match xsk.flush(now) {
            Flushed::Done => {}
            Flushed::Down => self.shared.log.warn(format_args!(
                "worker {}: AF_XDP: the interface is down: datagrams go by the sockets meanwhile",
                self.index
            )),
            Flushed::Gone(error) => {
                self.shared.log.warn(format_args!(
                    "worker {}: AF_XDP: {error}: datagrams go by the sockets from now on",
                    self.index
                ));
                self.xsk = None;
            }
        }
    }
}
