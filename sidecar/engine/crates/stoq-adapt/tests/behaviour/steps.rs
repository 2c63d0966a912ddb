//! Paths whose rate changes.

use stoq_adapt::Congestion::{Bbr3, Cubic};
use stoq_adapt::{Congestion, Policy, PolicyDocument, Tier};

use crate::wire::Path;
use crate::world::World;

fn policy(congestion: Congestion) -> Policy {
    let document = PolicyDocument {
        congestion: Some(congestion.name().to_owned()),
        ..PolicyDocument::default()
    };
    Policy::try_from(&document).expect("a policy")
}

#[test]
fn a_slower_path_is_in_its_tier_within_fifty_milliseconds_of_the_first_round_trip() {
    for congestion in [Cubic, Bbr3] {
        let mut world = World::alone(Path::new(200.0, 5, 1.0), congestion, 1.0);
        world.adapt(0, policy(congestion));
        world.run(2.5);
        let flow = &world.flows[0];
        let tier = flow.adapter.as_ref().expect("an adapter").tier();
        assert_eq!(tier, Tier::Performance, "{congestion}");
        let step = world.elapsed();
        world.set_rate(40.0);
        world.run(0.5);
        let (at, change) = *world.flows[0].changes.last().expect("a change");
        let took = at.as_secs_f64() - step;
        assert_eq!(change.to, Tier::Standard, "{congestion}");
        assert!(took < 0.005 + 0.05, "{congestion}: {took:.3} s");
    }
}

#[test]
fn the_path_stays_full_on_the_way_down() {
    let mut world = World::alone(Path::new(200.0, 5, 1.0), Bbr3, 3.5);
    world.set_rate(40.0);
    world.run(1.0);
    let goodput = world.goodput(0, 3.55, 4.5);
    assert!(goodput > 36.0, "{goodput:.1} of 40 Mbit/s");
}

#[test]
fn five_times_the_rate_is_in_use_within_half_a_second_when_round_trips_are_short() {
    let mut world = World::alone(Path::new(40.0, 5, 5.0), Bbr3, 3.2);
    world.set_rate(200.0);
    world.run(1.0);
    let goodput = world.goodput(0, 3.7, 4.2);
    assert!(goodput > 180.0, "{goodput:.1} of 200 Mbit/s");
}

/// Seconds until a flow of 100 ms round trips uses 90 % of ten times its rate.
fn rise(search_anew: bool) -> f64 {
    let mut world = World::alone(Path::new(8.0, 100, 10.0), Bbr3, 6.0);
    let step = world.elapsed();
    world.set_rate(80.0);
    world.run(0.1);
    if search_anew {
        world.flows[0].path.restart_startup();
    }
    for _ in 0..80 {
        world.run(0.1);
        let now = world.elapsed();
        if world.goodput(0, now - 0.1, now) > 72.0 {
            return now - step;
        }
    }
    f64::INFINITY
}

#[test]
fn searching_anew_finds_a_faster_path_before_bbr_would_have_probed() {
    let (probing, anew) = (rise(false), rise(true));
    assert!(anew < 1.5, "{anew:.1} s");
    assert!(anew * 1.5 < probing, "{anew:.1} s against {probing:.1} s");
}

#[test]
fn a_tenth_of_the_rate_is_what_bbr_believes_after_two_of_its_cycles() {
    let mut world = World::alone(Path::new(100.0, 20, 1.0), Bbr3, 3.0);
    world.set_rate(10.0);
    world.run(9.0);
    let rate = world.flows[0].path.pacing_rate().expect("a rate") as f64 * 8e-6;
    assert!(rate < 13.0, "{rate:.1} Mbit/s");
    let goodput = world.goodput(0, 6.0, 12.0);
    assert!(goodput > 9.0, "{goodput:.1} of 10 Mbit/s");
}

#[test]
fn a_path_that_holds_less_than_a_datagram_is_kept_busy() {
    let path = Path {
        buffer: 30_000,
        ..Path::new(0.5, 10, 1.0)
    };
    let world = World::alone(path, Bbr3, 15.0);
    let goodput = world.goodput(0, 5.0, 15.0);
    assert!(goodput > 0.42, "{goodput:.2} of 0.5 Mbit/s");
}
