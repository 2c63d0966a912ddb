//! Objects that are asked for, at either end (D15).

use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::StreamId;
use stoq_wire::code::StreamCode;
use stoq_wire::frame::Frame;
use stoq_wire::frame::shard::{Range, Shard, ShardBody, TransferId};
use stoq_wire::head::StreamKind;

use super::super::labels::encode;
use super::super::observe::Outcome;
use super::super::{Direction, Flow, Worker};
use super::received::{FrameStream, Step};
use super::{Frames, agreed, write};
use crate::api::{ApiEvent, StreamToken};
use crate::objects::Asked;

impl Worker {
    /// Asks a peer for an object.
    pub(super) fn ask_for(&mut self, asked: Asked, now: Instant) {
        if self.draining {
            return self.not_answered(asked.token, "the engine is going away", None);
        }
        let token = asked.token;
        let key = self.insert_flow(Flow::Asking(Box::new(asked)), None);
        self.objects.asking.insert(token, key);
        self.set_deadline(key, now + self.opening_timeout());
        self.place(key, now);
    }

    /// Whether a connection's peer may be asked; if not, the caller is told.
    pub(in super::super) fn ask_possible(
        &mut self,
        key: usize,
        index: usize,
        now: Instant,
    ) -> bool {
        if !matches!(self.flows[key].flow, Flow::Asking(_))
            || agreed(self.links[index].as_deref()).is_some_and(|agreed| agreed.receive_shard > 0)
        {
            return true;
        }
        let why = "no shards are in use with the peer, or we take none (STOQ_FRAMES_MAX_SHARD)";
        self.end_flow(
            key,
            StreamCode::Cancelled,
            Outcome::Refused(why.to_owned()),
            now,
        );
        false
    }

    /// A stream is open: the want goes first, and is all that is said on it.
    pub(in super::super) fn open_ask(
        &mut self,
        key: usize,
        index: usize,
        stream: StreamId,
        asked: Asked,
        now: Instant,
    ) {
        let address = asked.peer.address;
        let info = self.info(Direction::Outbound, address, address, now);
        let ranges = self.shared.objects.ask(asked.transfer);
        if ranges.is_empty() {
            let why = Outcome::Refused("the object has come already".to_owned());
            self.flows[key].flow = Flow::Asking(Box::new(asked));
            return self.end_flow(key, StreamCode::Cancelled, why, now);
        }
        let mut first = encode(StreamKind::Frames, &info, false).to_vec();
        let body = ShardBody::Want(ranges);
        let want = Frame::Shard(Shard {
            transfer: asked.transfer,
            body,
        });
        let written = want.encode(&mut first);
        debug_assert!(written.is_ok(), "ranges ascend and are few");
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        let agreed = agreed(Some(link)).unwrap_or_default();
        let mut frames = FrameStream::new(stream, Frames::new(agreed, &[]));
        frames.pending = BytesMut::from(&first[..]).freeze();
        frames.asks = Some(asked);
        // It is shorter than any window. If not, the peer answers nothing, and the deadline ends it.
        if write(&mut link.quic, stream, &mut frames.pending).is_ok() {
            let _ = link.quic.send_stream(stream).finish();
        }
        self.flows[key].flow = Flow::Frames(Box::new(frames));
        self.objects.received.insert(key);
        self.activate(index);
        self.queue(key);
    }

    /// The caller does not wait for it any more.
    pub(super) fn stop_asking(&mut self, token: StreamToken, now: Instant) {
        if let Some(key) = self.objects.asking.remove(&token) {
            if let Flow::Frames(frames) = &self.flows[key].flow
                && let Some(asked) = &frames.asks
            {
                self.shared.objects.asked_in_vain(asked.transfer, token);
            }
            self.end_flow(key, StreamCode::Cancelled, Outcome::Finished, now);
        }
    }

    /// A stream on which something was asked for has ended, and it is not whole.
    pub(in super::super) fn asked_in_vain(&mut self, asked: &Asked, outcome: &Outcome) {
        if self.objects.asking.remove(&asked.token).is_some() {
            self.shared
                .objects
                .asked_in_vain(asked.transfer, asked.token);
            self.not_answered(asked.token, &outcome.to_string(), outcome.code());
        }
    }

    fn not_answered(&self, token: StreamToken, why: &str, code: Option<StreamCode>) {
        self.shared.api.publish(ApiEvent::Failed {
            token,
            reason: why.into(),
            code,
        });
    }

    /// A peer asks for what may be held here.
    pub(super) fn begin_answer(
        &mut self,
        key: usize,
        index: usize,
        transfer: TransferId,
        ranges: &[Range],
    ) -> Option<Step> {
        let evidence = self.links[index].as_ref()?.evidence.clone()?;
        let asker = &evidence.peer.as_ref()?.spiffe;
        let (tls, signatures) = (&self.shared.tls, &self.shared.signatures);
        let takes = evidence.agreed.signatures();
        let stands = |proof: &_| takes && signatures.stands(tls, proof);
        let answer = self.shared.objects.answer(transfer, asker, ranges, &stands);
        let Flow::Frames(frames) = &mut self.flows[key].flow else {
            return None;
        };
        if answer.is_none() || frames.asks.is_some() {
            let why = "nothing is held here that this peer could ask for".to_owned();
            return Some(Step::Refused(StreamCode::Denied, why));
        }
        frames.answer = answer;
        None
    }
}
