//! Copies that peers send.

use std::time::Instant;

use stoq_wire::code::{ConnectionCode, StreamCode};
use stoq_wire::frame::seed::{Seed, SeedForm};
use stoq_wire::head::FlowId;

use super::super::observe::Outcome;
use super::super::{Flow, Worker};

impl Worker {
    /// What follows on a stream of frames is a copy of a flow: the application gets it, if this
    /// workload takes copies from that peer.
    pub(in super::super) fn accept_mirror(
        &mut self,
        key: usize,
        index: usize,
        seed: &Seed,
        now: Instant,
    ) {
        if seed.form == SeedForm::Object {
            self.counters().stream_refused(StreamCode::Denied);
            let why = "copies of objects are not taken here".to_owned();
            return self.end_flow(key, StreamCode::Denied, Outcome::Refused(why), now);
        }
        let Flow::Frames(frames) = &mut self.flows[key].flow else {
            return;
        };
        let stream = frames.stream;
        let (mut head, first) = match frames.behind() {
            Ok(behind) => behind,
            Err(fault) => {
                return self.close(index, ConnectionCode::Protocol, &fault.to_string(), now);
            }
        };
        head.flow = FlowId(seed.id);
        self.objects.forget(key);
        self.cancel_deadline(key);
        self.connect_application(key, index, stream, &head, first, now);
    }
}
