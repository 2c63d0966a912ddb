//! Packets beside tunnels: what comes under one of our ids, and what leaves under the other side's
//! (`docs/wire-format.md`, G13 to G18).
//!
//! All ids of an endpoint have the same four bytes where the random part of a connection ID begins, and
//! no connection ID has them. So what came under an id that is gone is known for what it is, and is
//! answered by nothing: not by a stateless reset either.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::{Buf, BytesMut};
use quinn_proto::crypto::HmacKey;
use rand_core::{OsRng, RngCore};
use stoq_wire::bare::{self, BareId, ID_LEN, NONCE_LEN};
use stoq_wire::frame::beside::{Beside, InnerCid};

use super::super::{Flow, Worker};
use super::Far;
use super::batch::Batch;
use crate::counters::HopDrop;
use crate::socket::udp::Sent;

/// Where the mark is in an id: behind worker and generation (`docs/wire-format.md`, section 4).
const MARK: std::ops::Range<usize> = 2..6;

/// What all ids of an endpoint have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mark([u8; 4]);

impl Mark {
    /// The same for as long as stateless resets are.
    pub(crate) fn of(reset_key: &dyn HmacKey) -> Self {
        let mut signature = vec![0; reset_key.signature_len()];
        reset_key.sign(b"STOQ ids beside tunnels", &mut signature);
        let mut mark = [0; 4];
        mark.iter_mut()
            .zip(signature)
            .for_each(|(to, from)| *to = from);
        Self(mark)
    }

    /// Whether the random part of a connection ID begins with it.
    pub(crate) fn begins(self, random: &[u8]) -> bool {
        random.starts_with(&self.0)
    }

    /// Whether a datagram came under an id of ours, or what was one.
    fn is_on(self, datagram: &[u8]) -> bool {
        let at = 1 + MARK.start..1 + MARK.end;
        bare::is_short(datagram) && datagram.get(at) == Some(&self.0[..])
    }
}

/// Where packets leave for: socket, peer, and our own address.
type Towards = (usize, SocketAddr, Option<IpAddr>);

/// A worker's ids, and the packets that leave in this turn.
#[derive(Debug)]
pub(super) struct BarePackets {
    mark: Mark,
    /// The flow of each.
    ids: HashMap<BareId, usize>,
    to: Option<Towards>,
    batch: Batch,
}

impl BarePackets {
    pub(super) fn new(mark: Mark) -> Self {
        Self {
            mark,
            ids: HashMap::new(),
            to: None,
            batch: Batch::default(),
        }
    }

    pub(super) fn forget(&mut self, id: &BareId) {
        self.ids.remove(id);
    }
}

impl Worker {
    /// An id under which the peer of a tunnel sends bare packets.
    pub(super) fn new_bare_id(&mut self, key: usize) -> BareId {
        let mut id = [0; ID_LEN];
        OsRng.fill_bytes(&mut id);
        id[0] = self.index as u8;
        id[1] = self.shared.generation;
        id[MARK].copy_from_slice(&self.tunnels.bare.mark.0);
        self.tunnels.bare.ids.insert(BareId(id), key);
        BareId(id)
    }

    /// Takes a datagram that came beside a tunnel; gives back any other.
    pub(in super::super) fn take_bare(
        &mut self,
        remote: SocketAddr,
        data: BytesMut,
        now: Instant,
    ) -> Option<BytesMut> {
        if !self.tunnels.bare.mark.is_on(&data) {
            return Some(data);
        }
        if self.bare_packet(remote, data, now).is_none() {
            self.counters().hop_dropped(HopDrop::NoTunnel);
        }
        None
    }

    /// None: no tunnel has it, or somebody else sent it than the tunnel's peer (G16).
    fn bare_packet(&mut self, remote: SocketAddr, data: BytesMut, now: Instant) -> Option<()> {
        let (id, what) = bare::read(&data)?;
        let key = *self.tunnels.bare.ids.get(&id)?;
        let slot = self.flows.get_mut(key)?;
        let (Flow::Hop(hop), Some(index)) = (&mut slot.flow, slot.connection) else {
            return None;
        };
        let link = self.links.get(index)?.as_ref()?;
        let beside = hop.beside.as_mut()?;
        if link.quic.remote_address() != remote {
            return None;
        }
        let (first, rest) = match what {
            bare::Bare::Probe(nonce) => {
                match beside.answers.answers(now) {
                    true => self.say_beside(key, Beside::Seen(nonce)),
                    false => self.counters().hop_dropped(HopDrop::Probe),
                }
                return Some(());
            }
            bare::Bare::Packet { first, rest } => (first, rest),
        };
        let cid = beside.incoming;
        hop.queue.forwarded(now);
        match &mut hop.far {
            Far::Workload(workload) => {
                let length = 1 + cid.as_bytes().len() + rest.len();
                let put = workload.put(&[&[first], cid.as_bytes(), rest]);
                self.queue(key);
                self.count_put(put, length);
            }
            Far::Inner { index, serial } => {
                let (index, serial) = (*index, *serial);
                self.inner_datagram(index, serial, restored(data, &cid), now);
            }
            Far::Tunnel { .. } => self.hop_received(key, &restored(data, &cid), now),
        }
        Some(())
    }

    /// Sends a packet of the far side beside its tunnel. False: it goes in the tunnel.
    pub(super) fn send_beside(&mut self, key: usize, packet: &[u8], now: Instant) -> bool {
        let Some(slot) = self.flows.get_mut(key) else {
            return false;
        };
        let (Flow::Hop(hop), Some(index)) = (&mut slot.flow, slot.connection) else {
            return false;
        };
        let Some(beside) = &mut hop.beside else {
            return false;
        };
        let Some((id, probing)) = &mut beside.leaving else {
            return false;
        };
        let rest = bare::behind(packet, &beside.outgoing);
        beside.strays = rest.is_none() && bare::is_short(packet);
        let (Some(rest), Some(link)) = (rest, &self.links[index]) else {
            return false;
        };
        // A probe is short: that it was seen says nothing about a packet for which the leg is too narrow.
        if bare::BEHIND_ID + rest.len() > usize::from(link.quic.current_mtu()) {
            return false;
        }
        let (id, leaves) = (*id, probing.leaves(now, unguessable));
        if leaves.beside {
            hop.queue.forwarded(now);
        }
        if let Some(nonce) = leaves.probe {
            self.put_bare(index, &[&bare::probe(id, nonce)]);
        }
        if leaves.given_up {
            self.counters().hop_given_up();
        }
        if leaves.beside {
            self.put_bare(index, &[&packet[..1], &id.0, rest]);
            self.counters().hop_beside();
        }
        leaves.beside
    }

    /// The socket by which a tunnel's packets leave beside it, if those of up to `longest` bytes do now.
    pub(super) fn beside_port(&self, key: usize, longest: usize) -> Option<usize> {
        let slot = self.flows.get(key)?;
        let Flow::Hop(hop) = &slot.flow else {
            return None;
        };
        let beside = hop.beside.as_ref()?;
        let (_, probing) = beside.leaving.as_ref()?;
        let link = self.links.get(slot.connection?)?.as_ref()?;
        let bare = longest + ID_LEN - beside.outgoing.as_bytes().len();
        let fits = bare <= usize::from(link.quic.current_mtu());
        (probing.beside() && fits && !beside.strays).then_some(link.port)
    }

    /// A datagram to the peer of a connection, beside it.
    fn put_bare(&mut self, index: usize, parts: &[&[u8]]) {
        let Some(link) = self.links.get(index).and_then(Option::as_ref) else {
            return;
        };
        let to = (link.port, link.quic.remote_address(), link.quic.local_ip());
        let length = parts.iter().map(|part| part.len()).sum();
        let most = self.ports[to.0].datagrams.max_segments();
        let bare = &self.tunnels.bare;
        if bare.to != Some(to) || !bare.batch.takes(length, most) {
            self.flush_bare();
        }
        let bare = &mut self.tunnels.bare;
        bare.to = Some(to);
        bare.batch.put(parts);
    }

    /// Sends what was put. Without room it is dropped and counted (G4).
    pub(in super::super) fn flush_bare(&mut self) {
        let bare = &mut self.tunnels.bare;
        let Some((port, destination, local)) = bare.to.take() else {
            return;
        };
        let transmit = bare.batch.transmit(destination, local);
        let (count, size) = (bare.batch.count(), transmit.size as u64);
        let datagrams = &mut self.ports[port].datagrams;
        let gone = !datagrams.is_blocked()
            && !matches!(
                datagrams.send(transmit, bare.batch.bytes()),
                Sent::Refused(_)
            );
        bare.batch.clear();
        match gone {
            true => self.counters().sent(1, count as u64, size),
            false => self.counters().hops_dropped(HopDrop::Kernel, count),
        }
    }
}

/// A probe's nonce. It crosses the network in the clear, so it must say nothing of the next: of a cheap
/// generator, one number would tell all others, of other peers' tunnels too.
fn unguessable() -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    OsRng.fill_bytes(&mut nonce);
    nonce
}

/// The inner packet that went without its connection ID, which is no longer than the id.
fn restored(mut data: BytesMut, cid: &InnerCid) -> BytesMut {
    let cid = cid.as_bytes();
    let first = data[0];
    data.advance(ID_LEN - cid.len());
    data[0] = first;
    data[1..=cid.len()].copy_from_slice(cid);
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_what_it_was_before_it_went_beside_its_tunnel() {
        for cid in [&b"1"[..], b"12345678", b"1234567890123456"] {
            let packet = [&b"\x41"[..], cid, b"the rest of it, protected"].concat();
            let cid = InnerCid::new(cid).unwrap();
            let rest = bare::behind(&packet, &cid).unwrap();
            let went = [&packet[..1], &[9; ID_LEN], rest].concat();
            assert_eq!(restored(BytesMut::from(&went[..]), &cid), packet);
        }
    }
}
