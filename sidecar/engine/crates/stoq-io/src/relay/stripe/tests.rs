//! A flow from one application to another over two connections, without an engine.

use std::io::Write;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use quinn_proto::{Dir, TransportConfig};
use stoq_core::falcon::KeyId;
use stoq_core::spiffe::SpiffeId;
use stoq_wire::head::FlowId;
use stoq_wire::stripe::{FIRST_LIMIT, Record};

use super::*;
use crate::pair::Pair;
use crate::stripes::{Between, Seat};

const LANES: u8 = 2;

/// Bytes of its window beyond the first limit.
const WIDE: u64 = 1 << 20;

/// More than the first limit, and more than a lane may have of the window.
const BULK: usize = 5_000_000;

/// An application and the socket of its relay.
fn application() -> (std::net::TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    theirs
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    ours.set_nonblocking(true).unwrap();
    (theirs, TcpStream::from_std(ours))
}

/// Something that says nothing new, in the place of a head.
fn first() -> Bytes {
    let (received, limit) = (0, 0);
    let (record, _) = Record::Received { received, limit }.encode();
    record
}

/// One end: its owner, and its further lane.
struct Side {
    relay: StripeRelay,
    /// None: its connection is lost.
    further: Option<Lane>,
    /// How its owner's last turn ended.
    turn: Turn,
    /// Whether the further lane has carried anything.
    helped: bool,
}

impl Side {
    fn new(tcp: TcpStream, streams: [quinn_proto::StreamId; 2], said: Said) -> Self {
        let between = Between {
            flow: FlowId([7; 16]),
            lanes: LANES,
            source: "[fd00::1]:40000".parse().unwrap(),
            destination: "[fd00::2]:80".parse().unwrap(),
            peer: "spiffe://mesh.test/ns/a/sa/b".parse::<SpiffeId>().unwrap(),
            key: KeyId([0; 32]),
        };
        let seat = |key| Seat {
            worker: 0,
            key,
            serial: 1,
        };
        let striped = Striped::new(between, seat(0), true, WIDE);
        assert!(striped.lock().join(1, seat(1)));
        assert!(!striped.lock().join(1, seat(2)));
        let lane = Lane::new(0, streams[0], first(), &[]);
        Self {
            relay: StripeRelay::opened(tcp, lane, striped, said, true),
            further: Some(Lane::new(1, streams[1], first(), &[])),
            turn: Turn::Waiting,
            helped: false,
        }
    }

    /// A turn of the owner and of the further lane, as if everything were reported ready.
    fn run(&mut self, quic: [&mut Connection; 2]) {
        let [first, second] = quic;
        let ready = &mut self.relay.ready;
        (ready.tcp_read, ready.tcp_write) = (true, true);
        for lane in self.further.iter_mut().chain([&mut self.relay.lane]) {
            (lane.readable, lane.writable) = (true, true);
        }
        let striped = Arc::clone(&self.relay.striped);
        let mut state = striped.lock();
        if !matches!(self.turn, Turn::Finished | Turn::Failed(_)) {
            self.turn = self.relay.run(first, &mut BlockPool::new(), &mut state).0;
        }
        if let Some(lane) = self.further.as_mut().filter(|lane| !lane.is_over()) {
            let stripe = &mut state.stripe;
            self.helped |= lane.read(second, stripe).unwrap().any;
            self.helped |= lane.write(second, stripe).unwrap().any;
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.turn, Turn::Finished) && self.further.as_ref().is_none_or(Lane::is_over)
    }
}

/// Two applications, and what is between them.
struct Flow {
    pairs: [Pair; 2],
    sides: [Side; 2],
}

impl Flow {
    fn new(said: Said) -> (Self, [std::net::TcpStream; 2]) {
        let mut pairs = [(); 2].map(|()| Pair::connect(TransportConfig::default()));
        let streams = [pairs[0].open(), pairs[1].open()];
        let [(near, one), (far, other)] = [application(), application()];
        let sides = [
            Side::new(one, streams, said),
            Side::new(other, streams, Said::default()),
        ];
        let mut flow = Self { pairs, sides };
        let [first, second] = &mut flow.pairs;
        let client = &mut flow.sides[0];
        client.run([first.client.connection(), second.client.connection()]);
        settle(first, second);
        for pair in [first, second] {
            assert!(pair.server.connection().streams().accept(Dir::Bi).is_some());
        }
        (flow, [near, far])
    }

    /// Goes on until `done`.
    fn until(&mut self, done: impl Fn(&[Side; 2]) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !done(&self.sides) {
            assert!(Instant::now() < end, "it goes on for ever");
            let [first, second] = &mut self.pairs;
            let [client, server] = &mut self.sides;
            client.run([first.client.connection(), second.client.connection()]);
            settle(first, second);
            server.run([first.server.connection(), second.server.connection()]);
            settle(first, second);
        }
    }
}

/// Lets what was sent arrive, and a moment pass: senders pace themselves.
fn settle(first: &mut Pair, second: &mut Pair) {
    for pair in [first, second] {
        pair.settle();
        pair.tick();
    }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

#[test]
fn what_two_applications_say_arrives_over_both_lanes_and_ends_for_both() {
    let said = Said {
        bytes: b"hello".to_vec(),
        ended: false,
    };
    let (mut flow, [near, far]) = Flow::new(said);
    let forth = bytes(BULK);
    let back = bytes(BULK / 3);
    let applications = [(near, forth.clone()), (far, back.clone())].map(|(mut stream, says)| {
        thread::spawn(move || {
            let mut writer = stream.try_clone().unwrap();
            let writing = thread::spawn(move || {
                writer.write_all(&says).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).unwrap();
            writing.join().unwrap();
            heard
        })
    });
    flow.until(|sides| sides.iter().all(Side::is_over));
    let [near, far] = applications.map(|application| application.join().unwrap());
    assert!(far == [&b"hello"[..], &forth].concat());
    assert!(near == back);
    let [client, server] = &flow.sides;
    assert!(client.helped && server.helped);
    let (sent, received) = client.relay.bytes();
    assert_eq!(server.relay.bytes(), (received, sent));
    assert!(client.relay.answered() && !client.relay.repeatable());
}

#[test]
fn the_loss_of_a_further_lane_loses_nothing() {
    let (mut flow, [near, mut far]) = Flow::new(Said::default());
    let forth = bytes(BULK);
    let says = forth.clone();
    let writing = thread::spawn(move || {
        let mut near = near;
        near.write_all(&says).unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        near
    });
    let hearing = thread::spawn(move || {
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).unwrap();
        far.shutdown(Shutdown::Write).unwrap();
        heard
    });
    flow.until(|[client, server]| client.helped && server.relay.bytes().1 > 0);
    // Its connection is gone, with what is on the way.
    flow.pairs[1] = Pair::connect(TransportConfig::default());
    for side in &mut flow.sides {
        let seat = Seat {
            worker: 0,
            key: 1,
            serial: 1,
        };
        side.relay.striped.lock().leave(1, seat, true);
        side.further = None;
    }
    flow.until(|sides| sides.iter().all(Side::is_over));
    assert!(hearing.join().unwrap() == forth);
    drop(writing.join().unwrap());
}

#[test]
fn an_application_that_does_not_read_has_no_more_kept_than_the_window() {
    let (mut flow, [mut near, far]) = Flow::new(Said::default());
    let writing = thread::spawn(move || {
        // It ends by the sockets' end.
        while near.write_all(&[7; 65_536]).is_ok() {}
    });
    let moved = |sides: &[Side; 2]| (sides[0].relay.bytes().0, sides[1].relay.bytes().1);
    let mut before = moved(&flow.sides);
    let mut still = 0;
    while still < 100 {
        let turns = std::cell::Cell::new(0);
        flow.until(|_| turns.replace(turns.get() + 1) == 10);
        let now = moved(&flow.sides);
        still = if now == before { still + 1 } else { 0 };
        before = now;
    }
    let (sent, written) = before;
    let bound = FIRST_LIMIT + WIDE + HELD as u64 + MAX_CHUNK as u64;
    assert!(written > 0 && sent - written <= bound, "{}", sent - written);
    let held = flow.sides[1].relay.held_bytes;
    assert!(held <= HELD + MAX_CHUNK, "{held} bytes are held");
    drop((flow, far));
    writing.join().unwrap();
}
