//! What adaptation costs. The bounds are for a build without optimisation on a busy machine; figures
//! worth quoting come from `cargo test --release -p stoq-adapt --test behaviour cost -- --nocapture`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn_proto::congestion::{Controller, ControllerFactory, CubicConfig};
use stoq_adapt::Congestion::{self, Bbr3, Cubic, NewReno};
use stoq_adapt::{Adapter, AdaptiveConfig, PathHandle, Policy};

use crate::record::{Event, Recorded, Tape};
use crate::side::{INITIAL_WINDOW, MTU};
use crate::wire::Path;
use crate::world::{App, World};

/// Times that a measurement is repeated; the least is what it takes when nothing disturbs it.
const REPEATED: u32 = 7;

/// What a bulk flow's controller is told in half a second at 400 Mbit/s and 2 ms.
fn tape(congestion: Congestion) -> Vec<Event> {
    let tape = Tape::default();
    let mut world = World::new(Path::new(400.0, 2, 2.0));
    let factory = Recorded {
        congestion,
        initial_window: INITIAL_WINDOW,
        tape: tape.clone(),
    };
    world.add_with(Arc::new(factory), App::Greedy);
    world.run(0.5);
    let told = tape.lock().expect("nobody panicked").clone();
    assert!(told.len() > 10_000, "{} calls", told.len());
    told
}

/// The same with ACKs for so many packets each: where datagrams arrive many at a time they are
/// acknowledged so.
fn rarely_acknowledged(tape: &[Event], packets: u32) -> Vec<Event> {
    let mut waiting = 0;
    let told = tape.iter().filter(|event| match event {
        Event::Ack { .. } => {
            waiting += 1;
            true
        }
        Event::EndAcks { .. } if waiting < packets => false,
        Event::EndAcks { .. } => {
            waiting = 0;
            true
        }
        Event::Sent { .. } | Event::Congestion { .. } => true,
    });
    told.copied().collect()
}

/// The least time that something took.
fn least(mut run: impl FnMut() -> Duration) -> Duration {
    (0..REPEATED).map(|_| run()).min().unwrap_or_default()
}

/// Nanoseconds for each packet that is acknowledged.
fn per_packet(tape: &[Event], make: impl Fn(Instant) -> Box<dyn Controller>) -> f64 {
    let packets = tape
        .iter()
        .filter(|event| matches!(event, Event::Ack { .. }));
    let packets = packets.count();
    let Event::Sent { now, .. } = tape[0] else {
        panic!("a connection begins with sending")
    };
    let took = least(|| {
        let mut controller = make(now);
        let begun = Instant::now();
        for event in tape {
            event.tell(&mut *controller);
            black_box(controller.window());
        }
        begun.elapsed()
    });
    took.as_secs_f64() * 1e9 / packets as f64
}

#[test]
fn measuring_and_controlling_cost_less_than_two_microseconds_a_packet() {
    for congestion in [Cubic, NewReno, Bbr3] {
        let tape = tape(congestion);
        for packets in [2, 16] {
            let tape = rarely_acknowledged(&tape, packets);
            let ours = per_packet(&tape, |now| {
                Arc::new(AdaptiveConfig::new(congestion, INITIAL_WINDOW, 1)).build(now, MTU)
            });
            let alone = per_packet(&tape, |now| {
                Arc::new(CubicConfig::default()).build(now, MTU)
            });
            let told = format!("{congestion}, an ACK for {packets} packets: {ours:.0} ns each");
            println!("{told}, quinn-proto's CUBIC alone {alone:.0}");
            assert!(ours < 2_000.0, "{told}");
        }
    }
}

#[test]
fn a_decision_takes_less_than_a_tenth_of_a_millisecond() {
    let mut world = World::new(Path::new(50.0, 20, 1.0));
    let path: Arc<PathHandle> = {
        let flow = world.add(Bbr3, App::Greedy);
        world.flows[flow].path.clone()
    };
    world.run(1.0);
    let first = path.measurement();
    let rounds = 10_000;
    let took = least(|| {
        let mut adapter = Adapter::new(Policy::default(), world.now);
        let begun = Instant::now();
        for round in 0..rounds {
            // As the driver asks: with something new every 10 ms.
            let now = world.now + Duration::from_millis(10) * round;
            let mut measured = path.measurement();
            measured.samples = first.samples + u64::from(round) + 1;
            if let Some(change) = adapter.observe(&measured, now) {
                adapter.apply(&change, &path);
            }
        }
        begun.elapsed()
    });
    let each = took / rounds;
    println!("a decision: {} ns", each.as_nanos());
    assert!(each < Duration::from_micros(100), "{each:?}");
}
