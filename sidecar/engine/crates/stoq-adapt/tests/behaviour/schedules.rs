//! Paths that change, with adaptation and with the fixed defaults: the schedules of `hack/netlab`,
//! with timers of whole milliseconds and the engine's window of a stream.

use std::time::Duration;

use stoq_adapt::Congestion::Cubic;
use stoq_adapt::{Policy, Tier};

use crate::wire::Path;
use crate::world::{App, World};

/// Seconds, and what the path is like meanwhile.
type Step = (f64, Path);

/// `STOQ_DATA_STREAM_WINDOW`, bytes.
const STREAM_WINDOW: u32 = 1_000_000;

/// A path of so many Mbit/s, milliseconds there and back, and milliseconds of queue.
pub(crate) fn path(mbit: f64, rtt_ms: u64, queue_ms: u64) -> Path {
    Path::queued(mbit, rtt_ms, queue_ms)
}

pub(crate) fn jittery(jitter_ms: u64, path: Path) -> Path {
    Path {
        jitter: Duration::from_millis(jitter_ms),
        ..path
    }
}

pub(crate) fn late(share: f64, path: Path) -> Path {
    Path {
        late: share,
        ..path
    }
}

fn schedules() -> Vec<(&'static str, Vec<Step>)> {
    let train = jittery(15, path(40.0, 50, 200));
    vec![
        (
            "200, 20, 200 Mbit/s",
            vec![
                (5.0, path(200.0, 5, 30)),
                (5.0, path(20.0, 5, 30)),
                (5.0, path(200.0, 5, 30)),
            ],
        ),
        (
            "1, 40, 1 ms",
            vec![
                (5.0, path(200.0, 1, 40)),
                (10.0, path(200.0, 40, 40)),
                (5.0, path(200.0, 1, 40)),
            ],
        ),
        (
            "10, 20 ms",
            vec![(5.0, path(100.0, 10, 40)), (10.0, path(100.0, 20, 40))],
        ),
        (
            "10, 100 ms",
            vec![(5.0, path(50.0, 10, 40)), (10.0, path(50.0, 100, 40))],
        ),
        (
            "jitter",
            vec![(10.0, late(0.005, jittery(10, path(100.0, 20, 50))))],
        ),
        ("0.1 % loss", vec![(10.0, path(50.0, 40, 50).loss(0.001))]),
        ("1 % loss", vec![(10.0, path(50.0, 40, 50).loss(0.01))]),
        ("3 % loss", vec![(10.0, path(50.0, 40, 50).loss(0.03))]),
        ("a deep buffer", vec![(10.0, path(50.0, 20, 200))]),
        ("a shallow buffer", vec![(10.0, path(50.0, 20, 4))]),
        (
            "a train",
            vec![
                (4.0, train),
                (3.0, jittery(40, path(4.0, 120, 400).loss(0.02))),
                (
                    3.0,
                    late(0.005, jittery(20, path(15.0, 70, 200).loss(0.005))),
                ),
                (4.0, train),
            ],
        ),
    ]
}

/// One greedy flow, which begins with CUBIC.
pub(crate) fn begin(path: Path, adapting: bool) -> World {
    let mut world = World::new(path);
    world.grain = Duration::from_millis(1);
    world.stream_window = STREAM_WINDOW;
    world.add(Cubic, App::Greedy);
    if adapting {
        world.adapt(0, Policy::default());
    }
    world
}

/// Mbit/s over a whole schedule.
fn goodput(steps: &[Step], adapting: bool) -> f64 {
    let mut world = begin(steps[0].1, adapting);
    for (seconds, path) in steps {
        world.set_path(*path);
        world.run(*seconds);
    }
    world.goodput(0, 0.0, world.elapsed())
}

#[test]
fn no_path_is_worse_off_than_with_fixed_defaults_and_most_are_far_better_off() {
    let mut product = 1.0;
    let schedules = schedules();
    for (name, steps) in &schedules {
        let (fixed, adapting) = (goodput(steps, false), goodput(steps, true));
        let ratio = adapting / fixed;
        println!("{name}: fixed {fixed:.1}, adapting {adapting:.1} Mbit/s, {ratio:.2}");
        assert!(
            ratio > 0.95,
            "{name}: {adapting:.1} against {fixed:.1} Mbit/s"
        );
        product *= ratio;
    }
    let mean = f64::powf(product, 1.0 / schedules.len() as f64);
    assert!(mean > 1.3, "{mean:.2} in the geometric mean");
}

#[test]
fn a_path_that_becomes_forty_times_longer_is_full_again_within_a_second() {
    // Once just when the round trip is probed anyway, and once between two probes.
    for before in [5.0, 6.0, 7.3, 8.6] {
        let mut world = begin(path(200.0, 1, 40), true);
        world.run(before);
        world.set_path(path(200.0, 40, 40));
        world.run(4.0);
        let goodput = world.goodput(0, before + 1.0, before + 4.0);
        // A megabyte per round trip of 40 ms and a little queue: 175 Mbit/s.
        assert!(goodput > 165.0, "after {before} s: {goodput:.1} Mbit/s");
    }
}

#[test]
fn a_longer_path_is_in_its_tier_within_fifty_milliseconds_and_falls_no_further() {
    let mut world = begin(path(200.0, 1, 40), true);
    world.run(5.0);
    let tier = |world: &World| world.flows[0].adapter.as_ref().map(|known| known.tier());
    assert_eq!(tier(&world), Some(Tier::Performance));
    world.set_path(path(200.0, 40, 40));
    world.run(0.04 + 0.05);
    assert_eq!(tier(&world), Some(Tier::Standard));
    let before = world.flows[0].changes.len();
    world.run(10.0);
    let changes = &world.flows[0].changes[before..];
    assert!(changes.is_empty(), "{changes:?}");
}

#[test]
fn a_rate_that_falls_and_rises_is_in_use_again_within_half_a_second() {
    let mut world = begin(path(1000.0, 2, 20), true);
    world.run(2.0);
    world.set_path(path(50.0, 2, 20));
    world.run(2.0);
    let down = world.goodput(0, 2.1, 4.0);
    assert!(down > 45.0, "{down:.1} of 50 Mbit/s");
    world.set_path(path(1000.0, 2, 20));
    world.run(1.5);
    let up = world.goodput(0, 4.5, 5.5);
    assert!(up > 900.0, "{up:.1} of 1000 Mbit/s");
}

#[test]
fn a_fast_path_that_becomes_longer_finds_its_rate_though_cubic_had_it_before() {
    let mut world = begin(path(1000.0, 1, 40), true);
    world.run(2.0);
    assert_eq!(world.flows[0].path.congestion(), Cubic);
    world.set_path(path(1000.0, 40, 40));
    world.run(4.0);
    let goodput = world.goodput(0, 4.0, 6.0);
    // The window of the stream again.
    assert!(goodput > 165.0, "{goodput:.1} Mbit/s");
}

#[test]
fn five_gigabits_become_one_and_five_again_within_a_rack() {
    // A buffer of one product of the faster, as a switch has it: two milliseconds of the slower.
    let near = |mbit| Path {
        rtt: Duration::from_micros(400),
        buffer: 250_000,
        ..path(mbit, 1, 1)
    };
    let mut world = begin(near(5000.0), true);
    let tier = |world: &World| world.flows[0].adapter.as_ref().map(|known| known.tier());
    world.run(0.3);
    assert_eq!(tier(&world), Some(Tier::DataCenter));
    world.set_path(near(1000.0));
    // A round trip that carries the change, with the queue that was there.
    world.run(0.0024 + 0.05);
    assert_eq!(tier(&world), Some(Tier::Enterprise));
    world.run(0.15);
    let now = world.elapsed();
    let down = world.goodput(0, now - 0.15, now);
    assert!(down > 900.0, "{down:.0} of 1000 Mbit/s");
    world.set_path(near(5000.0));
    world.run(0.5);
    let now = world.elapsed();
    world.run(0.2);
    let up = world.goodput(0, now, now + 0.2);
    assert!(up > 4500.0, "{up:.0} of 5000 Mbit/s");
}
