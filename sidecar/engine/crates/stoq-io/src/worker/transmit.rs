//! From the connections to the UDP sockets.

use std::time::Instant;

use super::path::Path;
use super::{Phase, Worker};
use crate::socket::udp::Sent;

/// Sends per connection and turn, each up to 64 datagrams.
pub(super) const SENDS: usize = 8;

/// Bytes in one send at most: the kernel's limit for a UDP payload, less headers.
pub(super) const LARGEST_SEND: usize = 65_000;

/// How a connection's turn to send ended.
pub(super) enum Flush {
    /// It has nothing more to send now.
    Done,
    /// It has used up its turn.
    More,
    /// The socket is full.
    Blocked,
}

impl Worker {
    /// Lets every active connection send. Those with more to send stay active.
    pub(super) fn transmit(&mut self, now: Instant) {
        self.flush_bare();
        let mut active = std::mem::take(&mut self.active);
        active.retain(|index| matches!(self.flush(*index, now), Flush::More));
        // Whatever became active meanwhile comes after them.
        active.append(&mut self.active);
        self.active = active;
        self.flush_frames(now);
    }

    fn flush(&mut self, index: usize, now: Instant) -> Flush {
        self.adapt(index, now);
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else {
            return Flush::Done;
        };
        if link.inner.is_some() {
            return self.flush_inner(index, now);
        }
        let number = self.ports[link.port].number;
        let datagrams = &mut self.ports[link.port].datagrams;
        if datagrams.is_blocked() {
            // Stays marked active, so that nobody queues it twice.
            self.ports[link.port].starved.push(index);
            return Flush::Blocked;
        }
        let configured = usize::from(self.shared.settings.transport.gso_segments);
        let established = link.phase == Phase::Established;
        let mut flush = Flush::More;
        let (mut count, mut bytes, mut sends) = (0, 0, 0);
        for _ in 0..SENDS {
            let mtu = usize::from(link.quic.current_mtu());
            let mut most = configured.min(LARGEST_SEND / mtu);
            if let Some(path) = &mut link.path {
                // Handshakes and farewells are not paced.
                if !path.may_send(now, established) {
                    flush = Flush::Done;
                    break;
                }
                most = most.min(path.segments(mtu));
            }
            let segments = most.min(datagrams.max_segments()).max(1);
            self.outgoing.clear();
            let Some(transmit) = link.quic.poll_transmit(now, segments, &mut self.outgoing) else {
                flush = Flush::Done;
                break;
            };
            let size = transmit.size;
            count += size.div_ceil(transmit.segment_size.unwrap_or(size).max(1)) as u64;
            bytes += size as u64;
            sends += 1;
            if let Some(path) = &mut link.path {
                path.sent(now, size as u64);
            }
            // Whose handshake is not done has the kernel resolve nothing for it past the sockets.
            if established
                && let Some(xsk) = &mut self.xsk
                && xsk.send(number, &transmit, &self.outgoing, now)
            {
                continue;
            }
            match datagrams.send(transmit, &mut self.outgoing) {
                Sent::Done => {}
                Sent::Blocked => {
                    self.ports[link.port].starved.push(index);
                    flush = Flush::Blocked;
                    break;
                }
                // A probe for a larger MTU than the path has: the expected answer.
                Sent::Refused(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {}
                Sent::Refused(error) => link.refused = Some(error.to_string()),
            }
        }
        link.active = !matches!(flush, Flush::Done);
        self.counters().sent(sends, count, bytes);
        self.arm(index);
        if sends > 0 {
            self.room_for_tunnels(index);
        }
        flush
    }

    /// The socket takes datagrams again.
    pub(super) fn unblock(&mut self, port: usize) {
        if self.ports[port].datagrams.retry() {
            let mut starved = std::mem::take(&mut self.ports[port].starved);
            self.active.append(&mut starved);
        }
    }

    /// Puts a connection's next timer into the worker's. An entry that is too early
    /// is left: it fires once for nothing, which costs less than moving it each time.
    pub(super) fn arm(&mut self, index: usize) {
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let paced = link.path.as_ref().and_then(Path::paced);
        let Some(at) = link.quic.poll_timeout().into_iter().chain(paced).min() else {
            return;
        };
        let timer = super::Timer::Connection {
            index,
            serial: link.serial,
        };
        match link.armed {
            Some(armed) if armed <= at => return,
            Some(armed) => self.timers.cancel(armed, timer),
            None => {}
        }
        link.armed = Some(at);
        self.timers.set(at, timer);
    }

    /// A connection's timer has fired.
    pub(super) fn connection_due(&mut self, index: usize, serial: u64, at: Instant, now: Instant) {
        let Some(link) = self.link_of(index, serial) else {
            return;
        };
        if link.armed == Some(at) {
            link.armed = None;
        }
        let paced = link.path.as_ref().and_then(Path::paced);
        let expired = link.quic.poll_timeout().is_some_and(|due| due <= now);
        if expired {
            link.quic.handle_timeout(now);
        }
        if expired || paced.is_some_and(|due| due <= now) {
            self.activate(index);
        } else {
            self.arm(index);
        }
    }

    /// Sets a timer that is of no use once its connection is gone.
    pub(super) fn set_link_timer(&mut self, index: usize, at: Instant, timer: super::Timer) {
        if let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) {
            link.timers.retain(|(due, _)| *due > link.heard);
            link.timers.push((at, timer));
            self.timers.set(at, timer);
        }
    }

    /// Looks after a connection in this turn.
    pub(super) fn activate(&mut self, index: usize) {
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        if !std::mem::replace(&mut link.active, true) {
            self.active.push(index);
        }
    }

    /// The connection, if it is still the one that was meant.
    pub(super) fn link_of(&mut self, index: usize, serial: u64) -> Option<&mut super::Link> {
        let link = self.links.get_mut(index)?.as_deref_mut()?;
        (link.serial == serial).then_some(link)
    }
}
