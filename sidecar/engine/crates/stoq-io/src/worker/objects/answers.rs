//! What the receiver of an object says on the streams that brought its manifest (D11, D13).

use bytes::{Bytes, BytesMut};
use stoq_wire::code::StreamCode;
use stoq_wire::frame::Frame;
use stoq_wire::frame::shard::{Range, Shard, ShardBody, TransferId};

use super::super::{Flow, Worker};
use super::received::Step;
use super::write;
use crate::objects::Progress;

impl Worker {
    /// Says that transfers are whole, or gives up on the stream with one that is gone.
    pub(super) fn answer(&mut self, key: usize, index: usize) -> Step {
        let (Some(link), Flow::Frames(frames)) =
            (self.links[index].as_mut(), &mut self.flows[key].flow)
        else {
            return Step::Waiting;
        };
        let mut position = 0;
        while let Some(transfer) = frames.asked.get(position).copied() {
            match self.shared.objects.progress(transfer) {
                Progress::Missing(_) => position += 1,
                Progress::Whole => {
                    frames.asked.remove(position);
                    // The sender of a copy hears nothing but its end (M3).
                    if frames.copy.is_none() {
                        append(&mut frames.pending, transfer, Vec::new());
                    }
                }
                Progress::Gone => {
                    let why = "the object was not whole in time, or has failed".to_owned();
                    return Step::Refused(StreamCode::Incomplete, why);
                }
            }
        }
        let stream = frames.stream;
        if write(&mut link.quic, stream, &mut frames.pending).is_err() {
            return Step::Gone(None);
        }
        if !frames.is_over() {
            return Step::Waiting;
        }
        // It can only have been stopped, and then nobody wants to hear of its end.
        let _ = link.quic.send_stream(stream).finish();
        Step::Ended
    }

    /// Says what is missing, so that a sender that has lost a connection goes on from there.
    pub(super) fn tell_missing(&mut self, key: usize, transfer: TransferId) {
        let progress = self.shared.objects.progress(transfer);
        if let (Progress::Missing(ranges), Flow::Frames(frames)) =
            (progress, &mut self.flows[key].flow)
        {
            append(&mut frames.pending, transfer, ranges);
        }
    }
}

/// Puts a want behind what waits already.
fn append(pending: &mut Bytes, transfer: TransferId, ranges: Vec<Range>) {
    let mut encoded = Vec::new();
    let body = ShardBody::Want(ranges);
    let frame = Frame::Shard(Shard { transfer, body });
    // It cannot fail: the ranges ascend and are few, as the store says.
    if frame.encode(&mut encoded).is_ok() {
        let mut all = BytesMut::from(&pending[..]);
        all.extend_from_slice(&encoded);
        *pending = all.freeze();
    }
}
