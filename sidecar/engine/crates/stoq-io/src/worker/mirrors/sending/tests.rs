use quinn_proto::{Dir, TransportConfig, VarInt};
use stoq_wire::frame::seed::SeedForm;

use super::*;
use crate::endpoints::Endpoints;
use crate::pair::Pair;

/// Bytes that the shadow's connection takes of a stream before they are read.
const WINDOW: u32 = 10_000;

/// A copy with its queue, on a connection in memory.
struct Copy {
    pair: Pair,
    queue: SeedQueue,
    mirror: Mirror,
    stream: StreamId,
}

impl Copy {
    fn begin() -> Self {
        let mut config = TransportConfig::default();
        config.stream_receive_window(VarInt::from_u32(WINDOW));
        let mut pair = Pair::connect(config);
        let stream = pair.open();
        let (now, at) = (Instant::now(), "[fd00::2]:80".parse().unwrap());
        let peer = PeerKey {
            address: at,
            expect: None,
            shadow: true,
            lane: 0,
        };
        let seed = Seed {
            form: SeedForm::Flow,
            id: [1; 16],
            share: 1,
            primary: "spiffe://td/ns/shop/sa/db".to_owned(),
        };
        let mut queue = SeedQueue::new(1 << 20, 1);
        assert!(queue.begin(7, now));
        let open = Endpoints::new(now).open(at);
        let mut mirror = Mirror::new(peer, 7, seed, (at, at), Some(open));
        mirror.pending = Bytes::from_static(b"head");
        Self {
            pair,
            queue,
            mirror,
            stream,
        }
    }

    fn run(&mut self) -> (Step, u64) {
        let quic = self.pair.client.connection();
        let came_to = self.mirror.run(&mut self.queue, quic, self.stream);
        self.pair.settle();
        // Until it is accepted, quinn-proto does not count the stream of the other side.
        let _ = self.pair.server.connection().streams().accept(Dir::Bi);
        came_to
    }

    fn push(&mut self, data: &'static [u8]) {
        assert!(self.queue.push(7, Bytes::from_static(data)));
    }

    /// What the shadow has now, and whether that is the end.
    fn heard(&mut self) -> (Vec<u8>, bool) {
        let mut heard = Vec::new();
        let mut receive = self.pair.server.connection().recv_stream(self.stream);
        let mut chunks = receive.read(true).unwrap();
        let ended = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => heard.extend_from_slice(&chunk.bytes),
                Ok(None) => break true,
                Err(ReadError::Blocked) => break false,
                Err(error) => panic!("{error}"),
            }
        };
        let _ = chunks.finalize();
        self.pair.settle();
        (heard, ended)
    }
}

#[test]
fn a_copy_is_whole_when_its_end_was_sent_and_the_shadow_has_ended() {
    let mut copy = Copy::begin();
    copy.push(b", said");
    assert!(matches!(copy.run(), (Step::Waiting, 6)));
    assert_eq!(copy.heard(), (b"head, said".to_vec(), false));
    copy.push(b", more");
    copy.queue.finish(7);
    assert!(matches!(copy.run(), (Step::Waiting, 6)));
    assert_eq!(copy.heard(), (b", more".to_vec(), true));
    assert!(copy.mirror.finished && !copy.mirror.is_whole());
    let stream = copy.stream;
    let server = copy.pair.server.connection();
    server.send_stream(stream).finish().unwrap();
    copy.pair.settle();
    assert!(matches!(copy.run(), (Step::Whole, 0)));
}

#[test]
fn a_shadow_may_end_first() {
    let mut copy = Copy::begin();
    assert!(matches!(copy.run(), (Step::Waiting, 0)));
    let stream = copy.stream;
    copy.heard();
    let server = copy.pair.server.connection();
    server.send_stream(stream).finish().unwrap();
    copy.pair.settle();
    assert!(matches!(copy.run(), (Step::Waiting, 0)));
    copy.push(b"said");
    copy.queue.finish(7);
    assert!(matches!(copy.run(), (Step::Whole, 4)));
    assert_eq!(copy.heard(), (b"said".to_vec(), true));
}

#[test]
fn a_shadow_that_does_not_read_leaves_the_rest_in_the_queue() {
    let mut copy = Copy::begin();
    for _ in 0..8 {
        copy.push(&[1; 4000]);
    }
    copy.queue.finish(7);
    assert!(matches!(copy.run(), (Step::Waiting, _)));
    assert!(copy.queue.kept() > 8 * 4000 - WINDOW as usize - 4000);
    let mut heard = 0;
    while !copy.mirror.finished {
        heard += copy.heard().0.len();
        assert!(!matches!(copy.run().0, Step::Gone(_) | Step::Spoke));
    }
    assert_eq!(heard + copy.heard().0.len(), 8 * 4000 + 4);
    assert_eq!(copy.queue.kept(), 0);
}

#[test]
fn a_shadow_that_stops_a_copy_has_ended_it_even_just_as_its_end_is_sent() {
    let mut copy = Copy::begin();
    assert!(matches!(copy.run(), (Step::Waiting, 0)));
    let code = VarInt::from_u64(StreamCode::Reset.as_u64()).unwrap();
    let stream = copy.stream;
    let server = copy.pair.server.connection();
    server.recv_stream(stream).stop(code).unwrap();
    copy.pair.settle();
    copy.queue.finish(7);
    assert!(matches!(copy.run().0, Step::Gone(_)));
    assert!(!copy.mirror.finished);
}

#[test]
fn a_shadow_that_resets_its_direction_has_ended_the_copy() {
    let mut copy = Copy::begin();
    assert!(matches!(copy.run(), (Step::Waiting, 0)));
    copy.heard();
    let code = VarInt::from_u64(StreamCode::Denied.as_u64()).unwrap();
    let stream = copy.stream;
    let server = copy.pair.server.connection();
    server.send_stream(stream).reset(code).unwrap();
    copy.pair.settle();
    assert!(matches!(copy.run().0, Step::Gone(Some(StreamCode::Denied))));
}

#[test]
fn a_shadow_must_not_say_anything() {
    let mut copy = Copy::begin();
    assert!(matches!(copy.run(), (Step::Waiting, 0)));
    copy.heard();
    let stream = copy.stream;
    let server = copy.pair.server.connection();
    server.send_stream(stream).write(b"hello").unwrap();
    copy.pair.settle();
    assert!(matches!(copy.run().0, Step::Spoke));
}
