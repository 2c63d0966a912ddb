//! One flow on a path that does not change.

use std::time::Duration;

use stoq_adapt::Congestion::{Bbr3, Cubic, NewReno};

use crate::wire::Path;
use crate::world::{App, World};

#[test]
fn every_controller_fills_a_path_with_a_buffer_of_one_product() {
    for congestion in [Cubic, NewReno, Bbr3] {
        let world = World::alone(Path::new(20.0, 40, 1.0), congestion, 8.0);
        let goodput = world.goodput(0, 3.0, 8.0);
        assert!(goodput > 17.0, "{congestion}: {goodput:.1} of 20 Mbit/s");
    }
}

#[test]
fn bbr_measures_the_rate_and_the_round_trip_of_the_path() {
    let world = World::alone(Path::new(20.0, 40, 1.0), Bbr3, 5.0);
    let measured = world.flows[0].path.measurement();
    let rate = measured.rate.expect("a rate") as f64 * 8e-6;
    assert!((19.0..20.4).contains(&rate), "{rate:.2} Mbit/s");
    let rtt = measured.min_rtt;
    assert!(
        (Duration::from_millis(40)..Duration::from_millis(44)).contains(&rtt),
        "{rtt:?}"
    );
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let world = World::alone(Path::new(10.0, 20, 1.0).loss(0.01), Bbr3, 3.0);
        (0..300)
            .map(|tick| world.goodput(0, 0.0, 0.01 * f64::from(tick + 1)))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn timers_of_whole_milliseconds_cost_bbr_little() {
    for rtt_ms in [2, 5, 20] {
        let mut world = World::new(Path::new(200.0, rtt_ms, 2.0));
        world.grain = Duration::from_millis(1);
        world.add(Bbr3, App::Greedy);
        world.run(2.0);
        let goodput = world.goodput(0, 1.0, 2.0);
        assert!(goodput > 180.0, "{rtt_ms} ms: {goodput:.1} of 200 Mbit/s");
    }
}
