//! Applications that do not fill the path.

use std::time::Duration;

use stoq_adapt::Congestion::{Bbr3, Cubic, NewReno};

use crate::wire::Path;
use crate::world::{App, World};

/// Bytes per 10 ms: 5 Mbit/s.
const FIVE: App = App::Steady(6_250);

#[test]
fn bbr_remembers_the_path_while_the_application_asks_for_little() {
    let mut world = World::alone(Path::new(40.0, 30, 1.0), Bbr3, 3.0);
    world.flows[0].app = FIVE;
    world.run(4.0);
    let little = world.goodput(0, 5.0, 7.0);
    assert!((4.9..5.1).contains(&little), "{little:.2} Mbit/s");
    world.flows[0].app = App::Greedy;
    world.run(0.5);
    let at_once = world.goodput(0, 7.1, 7.5);
    assert!(at_once > 34.0, "{at_once:.1} of 40 Mbit/s");
}

#[test]
fn the_share_of_time_is_measured_and_the_rate_kept_apart_from_the_applications() {
    let mut world = World::alone(Path::new(40.0, 30, 1.0), Bbr3, 3.0);
    assert!(world.flows[0].path.measurement().app_limited_ppm < 100_000);
    world.flows[0].app = FIVE;
    world.run(4.0);
    let measured = world.flows[0].path.measurement();
    assert!(measured.app_limited_ppm > 800_000, "{measured:?}");
    let rate = measured.rate.expect("still remembered") as f64 * 8e-6;
    assert!(rate > 30.0, "{rate:.1} Mbit/s");
}

#[test]
fn startup_goes_on_when_an_application_that_asked_for_little_asks_for_more() {
    let mut world = World::new(Path::new(40.0, 30, 1.0));
    world.add(Bbr3, FIVE);
    world.run(3.0);
    world.flows[0].app = App::Greedy;
    world.run(1.0);
    let goodput = world.goodput(0, 3.5, 4.0);
    assert!(goodput > 34.0, "{goodput:.1} of 40 Mbit/s");
}

#[test]
fn a_pause_of_seconds_costs_bbr_nothing_afterwards() {
    let mut world = World::alone(Path::new(40.0, 30, 1.0), Bbr3, 3.0);
    world.flows[0].app = App::Silent;
    world.run(7.0);
    world.flows[0].app = FIVE;
    world.run(0.05);
    world.flows[0].app = App::Greedy;
    world.run(1.0);
    let goodput = world.goodput(0, 10.2, 11.0);
    assert!(goodput > 34.0, "{goodput:.1} of 40 Mbit/s");
}

#[test]
fn a_window_grows_no_wider_than_it_is_used_where_that_of_the_stream_is_smaller() {
    for congestion in [Cubic, NewReno] {
        let mut world = World::new(Path::new(400.0, 10, 1.0));
        world.stream_window = 100_000;
        // An engine that has more to send than goes in one turn: quinn-proto cannot tell then that
        // the stream is the limit.
        (world.slice, world.sends) = (Duration::from_micros(200), 1);
        world.add(congestion, App::Greedy);
        world.run(3.0);
        let goodput = world.goodput(0, 2.0, 3.0);
        assert!(goodput > 60.0, "{congestion}: {goodput:.1} Mbit/s");
        let window = world.flows[0].path.window();
        assert!(window < 300_000, "{congestion}: {window} bytes");
    }
}
