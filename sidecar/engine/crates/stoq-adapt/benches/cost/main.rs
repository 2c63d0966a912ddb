//! What adaptation costs by itself, without a network: `hack/bench steady` runs it, by
//! `cargo bench -p stoq-adapt`. One JSON object on standard output; times are nanoseconds. `cargo
//! test` runs it in miniature.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn_proto::congestion::{Controller, ControllerFactory, CubicConfig};
use serde_json::{Value, json};
use stoq_adapt::Congestion::{self, Bbr3, Cubic, NewReno};
use stoq_adapt::{Adapter, AdaptiveConfig, Policy};

use record::{Event, Recorded, Tape};
use side::{INITIAL_WINDOW, MTU};
use wire::Path;
use world::{App, World};

// The simulation that the tests of behaviour run in; a tape needs a part of it.
#[allow(dead_code)]
#[path = "../../tests/behaviour/flow.rs"]
mod flow;
#[allow(dead_code)]
#[path = "../../tests/behaviour/plain.rs"]
mod plain;
#[path = "../../tests/behaviour/record.rs"]
mod record;
#[allow(dead_code)]
#[path = "../../tests/behaviour/side.rs"]
mod side;
#[allow(dead_code)]
#[path = "../../tests/behaviour/wire.rs"]
mod wire;
#[allow(dead_code)]
#[path = "../../tests/behaviour/world.rs"]
mod world;

/// How much is done.
struct Effort {
    /// Times that a measurement is repeated; the least is what it takes when nothing disturbs it.
    repeated: u32,
    /// Seconds of a flow that are recorded.
    seconds: f64,
    decisions: u32,
}

const FULL: Effort = Effort {
    repeated: 7,
    seconds: 0.5,
    decisions: 10_000,
};

const MINIATURE: Effort = Effort {
    repeated: 1,
    seconds: 0.05,
    decisions: 100,
};

fn main() {
    // What cargo tells a benchmark, and no test.
    let effort = if std::env::args().any(|word| word == "--bench") {
        FULL
    } else {
        MINIATURE
    };
    let controllers = [Cubic, NewReno, Bbr3];
    let packets: Vec<Value> = controllers
        .into_iter()
        .flat_map(|congestion| packets(congestion, &effort))
        .collect();
    println!(
        "{}",
        json!({"packets": packets, "decision": decision(&effort)})
    );
}

/// What a packet takes under a controller of ours, and under quinn-proto's CUBIC as it is.
fn packets(congestion: Congestion, effort: &Effort) -> Vec<Value> {
    let tape = tape(congestion, effort);
    let measured = [2, 16].map(|packets| {
        let tape = rarely_acknowledged(&tape, packets);
        let ours = per_packet(effort, &tape, |now| {
            Arc::new(AdaptiveConfig::new(congestion, INITIAL_WINDOW, 1)).build(now, MTU)
        });
        let alone = per_packet(effort, &tape, |now| {
            Arc::new(CubicConfig::default()).build(now, MTU)
        });
        json!({
            "controller": congestion.name(),
            "acknowledged_together": packets,
            "ours": ours,
            "cubic_alone": alone,
        })
    });
    measured.into()
}

/// What a bulk flow's controller is told at 400 Mbit/s and 2 ms.
fn tape(congestion: Congestion, effort: &Effort) -> Vec<Event> {
    let tape = Tape::default();
    let mut world = World::new(Path::new(400.0, 2, 2.0));
    let factory = Recorded {
        congestion,
        initial_window: INITIAL_WINDOW,
        tape: tape.clone(),
    };
    world.add_with(Arc::new(factory), App::Greedy);
    world.run(effort.seconds);
    tape.lock().expect("nobody panicked").clone()
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

/// For each packet that is acknowledged.
fn per_packet(
    effort: &Effort,
    tape: &[Event],
    make: impl Fn(Instant) -> Box<dyn Controller>,
) -> f64 {
    let packets = tape
        .iter()
        .filter(|event| matches!(event, Event::Ack { .. }));
    let packets = packets.count();
    let Event::Sent { now, .. } = tape[0] else {
        panic!("a connection begins with sending")
    };
    let took = least(effort, || {
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

/// For each decision, as the driver asks for them: with something new every 5 ms.
fn decision(effort: &Effort) -> f64 {
    let world = World::alone(Path::new(50.0, 20, 1.0), Bbr3, 1.0);
    let path = &world.flows[0].path;
    let first = path.measurement();
    let took = least(effort, || {
        let mut adapter = Adapter::new(Policy::default(), world.now);
        let begun = Instant::now();
        for round in 0..effort.decisions {
            let now = world.now + Duration::from_millis(5) * round;
            let mut measured = path.measurement();
            measured.samples = first.samples + u64::from(round) + 1;
            if let Some(change) = adapter.observe(&measured, now) {
                adapter.apply(&change, path);
            }
        }
        begun.elapsed()
    });
    took.as_secs_f64() * 1e9 / f64::from(effort.decisions)
}

/// The least time that something took.
fn least(effort: &Effort, mut run: impl FnMut() -> Duration) -> Duration {
    (0..effort.repeated)
        .map(|_| run())
        .min()
        .unwrap_or_default()
}
