//! Copies that peers send.

use std::time::Instant;

use stoq_wire::code::{ConnectionCode, StreamCode};
use stoq_wire::frame::seed::{Seed, SeedForm};
use stoq_wire::head::FlowId;

use super::super::observe::Outcome;
use super::super::{Flow, Worker};

impl Worker {
    /// What follows on a stream of frames is a copy. Of a flow, the application gets it, if this
    /// workload takes copies from that peer; of an object, the program that takes objects.
    pub(in super::super) fn accept_mirror(
        &mut self,
        key: usize,
        index: usize,
        seed: &Seed,
        now: Instant,
    ) {
        let expected = self.expects_objects_of_mirrors(index);
        let Flow::Frames(frames) = &mut self.flows[key].flow else {
            return;
        };
        if seed.form == SeedForm::Object {
            if expected {
                frames.copy = Some(seed.clone());
                return self.run_frames(key, now);
            }
            self.counters().stream_refused(StreamCode::Denied);
            let why = "no copies of this peer's objects are taken here".to_owned();
            return self.end_flow(key, StreamCode::Denied, Outcome::Refused(why), now);
        }
        let stream = frames.stream;
        let (mut head, first) = match frames.behind() {
            Ok((Some(head), first)) => (head, first),
            Ok((None, _)) => return,
            Err(fault) => {
                return self.close(index, ConnectionCode::Protocol, &fault.to_string(), now);
            }
        };
        head.flow = FlowId(seed.id);
        self.objects.forget(key);
        self.cancel_deadline(key);
        self.connect_application(key, index, stream, &head, first, now);
    }

    fn expects_objects_of_mirrors(&self, index: usize) -> bool {
        let evidence = self.links[index]
            .as_ref()
            .and_then(|link| link.evidence.as_ref());
        let peer = evidence.and_then(|evidence| evidence.peer.as_ref());
        peer.is_some_and(|peer| self.shared.objects.expects_mirrors_from(&peer.spiffe))
    }
}
