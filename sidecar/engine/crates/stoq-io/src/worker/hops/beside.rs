//! What the two ends of a tunnel say to each other before packets go beside it
//! (`docs/wire-format.md`, G13 to G15).

use std::time::Instant;

use stoq_frames::hop::{Answers, Probing};
use stoq_wire::bare::BareId;
use stoq_wire::code::StreamCode;
use stoq_wire::extension::FORWARDED;
use stoq_wire::frame::Frame;
use stoq_wire::frame::beside::{Beside, InnerCid};
use stoq_wire::frame::hop::Hop as HopFrame;

use super::super::observe::Outcome;
use super::super::{Flow, Worker};
use super::Far;

/// What the two ends of a tunnel have agreed on.
#[derive(Debug)]
pub(super) struct BesideTunnel {
    /// Under which we take bare packets of the near side.
    pub(super) ours: BareId,
    /// The connection ID that those have without it.
    pub(super) incoming: InnerCid,
    /// The connection ID of packets for the near side.
    pub(super) outgoing: InnerCid,
    /// Under which the near side takes them, once it has said so, and whether they get there.
    pub(super) leaving: Option<(BareId, Probing)>,
    /// Whether the last short header for it had another connection ID, and went in the tunnel.
    pub(super) strays: bool,
    /// To its probes.
    pub(super) answers: Answers,
}

impl Worker {
    /// A connection inside a tunnel that we have opened is established: its packets may go beside it
    /// from now on, where the gateway does that. `ids` are those of our side and of the peer's.
    pub(super) fn ask_beside(&mut self, key: usize, (source, destination): (InnerCid, InnerCid)) {
        let connection = self.flows.get(key).and_then(|slot| slot.connection);
        let link = connection.and_then(|index| self.links[index].as_deref());
        let agreed = link.and_then(|link| Some(link.evidence.as_ref()?.agreed));
        if agreed.is_none_or(|agreed| agreed.extensions & FORWARDED == 0) {
            return;
        }
        let id = self.agree(key, source, destination, None);
        self.say_beside(
            key,
            Beside::Forward {
                id,
                source,
                destination,
            },
        );
    }

    /// A frame about packets beside a tunnel has come on its stream. False: it does not belong there,
    /// and the tunnel is gone.
    pub(super) fn hear_beside(&mut self, key: usize, frame: Beside, now: Instant) -> bool {
        let Some(Flow::Hop(hop)) = self.flows.get_mut(key).map(|slot| &mut slot.flow) else {
            return false;
        };
        match (frame, &mut hop.beside) {
            (
                Beside::Forward {
                    id,
                    source,
                    destination,
                },
                _,
            ) if hop.admitted => {
                let further = match hop.far {
                    Far::Tunnel { key, serial } => Some((key, serial)),
                    _ => None,
                };
                let leaving = Some((id, Probing::new(now)));
                let ours = self.agree(key, destination, source, leaving);
                self.say_beside(key, Beside::Forwarded(ours));
                if let Some((key, serial)) = further
                    && self
                        .flows
                        .get(key)
                        .is_some_and(|slot| slot.serial == serial)
                {
                    self.ask_beside(key, (source, destination));
                }
            }
            (Beside::Forwarded(id), Some(beside)) if !hop.admitted => {
                beside.leaving = Some((id, Probing::new(now)));
            }
            (Beside::Seen(nonce), Some(beside)) => {
                if let Some((_, probing)) = &mut beside.leaving {
                    probing.seen(nonce, now);
                }
            }
            _ => {
                let why = "nobody has asked for packets beside the tunnel".to_owned();
                self.end_flow(key, StreamCode::Denied, Outcome::Refused(why), now);
                return false;
            }
        }
        true
    }

    /// Keeps what was agreed on, instead of what was before; the new id of ours.
    fn agree(
        &mut self,
        key: usize,
        incoming: InnerCid,
        outgoing: InnerCid,
        leaving: Option<(BareId, Probing)>,
    ) -> BareId {
        let ours = self.new_bare_id(key);
        let agreed = BesideTunnel {
            ours,
            incoming,
            outgoing,
            leaving,
            strays: false,
            answers: Answers::default(),
        };
        if let Flow::Hop(hop) = &mut self.flows[key].flow
            && let Some(before) = hop.beside.replace(Box::new(agreed))
        {
            self.tunnels.bare.forget(&before.ours);
        }
        ours
    }

    /// Says something on the stream of a tunnel, where there is room for it: a peer that asks and does not
    /// read what is answered shall not fill our memory.
    pub(super) fn say_beside(&mut self, key: usize, frame: Beside) {
        if let Some(Flow::Hop(hop)) = self.flows.get_mut(key).map(|slot| &mut slot.flow) {
            let mut encoded = Vec::new();
            // These have no field that could be out of bounds.
            if Frame::Hop(HopFrame::Beside(frame))
                .encode(&mut encoded)
                .is_ok()
                && hop.unsent.len() + encoded.len() <= hop.most
            {
                hop.unsent.extend_from_slice(&encoded);
            }
            self.queue(key);
        }
    }
}
