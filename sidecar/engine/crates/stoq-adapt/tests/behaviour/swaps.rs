//! Exchanging controllers while data is in flight.

use stoq_adapt::Congestion::{self, Bbr3, Cubic, NewReno};

use crate::wire::Path;
use crate::world::World;

#[test]
fn ten_thousand_exchanges_on_a_busy_connection_lose_and_corrupt_nothing() {
    // The receiver checks every byte; a lost connection panics.
    let mut world = World::alone(Path::new(20.0, 20, 2.0), Cubic, 1.0);
    for round in 0..10_000 {
        let next = [Bbr3, NewReno, Cubic][round % 3];
        world.flows[0].path.set_congestion(next);
        world.run(0.001);
    }
    let goodput = world.goodput(0, 1.0, 11.0);
    assert!(goodput > 10.0, "{goodput:.1} of 20 Mbit/s");
}

#[test]
fn an_exchange_is_in_force_with_the_next_packet_and_keeps_the_path_full() {
    let all = [Cubic, NewReno, Bbr3];
    let pairs = all
        .iter()
        .flat_map(|from| all.iter().map(move |to| (*from, *to)));
    for (from, to) in pairs.filter(|(from, to)| from != to) {
        let mut world = World::alone(Path::new(20.0, 40, 1.0), from, 4.0);
        let before = world.wire.overflowed;
        world.flows[0].path.set_congestion(to);
        world.run(0.02);
        assert_eq!(world.flows[0].path.congestion(), to);
        world.run(0.98);
        let goodput = world.goodput(0, 4.0, 5.0);
        assert!(goodput > 16.0, "{from} to {to}: {goodput:.1} of 20 Mbit/s");
        let lost = world.wire.overflowed - before;
        assert!(lost < 40, "{from} to {to}: {lost} datagrams overflowed");
    }
}

/// Mbit/s before and after an exchange on a path that loses one percent.
fn on_a_lossy_path(from: Congestion, to: Congestion) -> (f64, f64) {
    let mut world = World::alone(Path::new(50.0, 40, 1.0).loss(0.01), from, 4.0);
    world.flows[0].path.set_congestion(to);
    world.run(6.0);
    (world.goodput(0, 2.0, 4.0), world.goodput(0, 7.0, 10.0))
}

#[test]
fn a_connection_that_suffers_from_loss_recovers_when_it_is_given_bbr() {
    let (cubic, bbr) = on_a_lossy_path(Cubic, Bbr3);
    assert!(
        bbr > 35.0 && bbr > 3.0 * cubic,
        "{cubic:.1}, then {bbr:.1} Mbit/s"
    );
}
