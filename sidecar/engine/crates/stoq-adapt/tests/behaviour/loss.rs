//! Random loss: what a model of the path is for.

use stoq_adapt::Congestion::{self, Bbr3, Cubic};

use crate::wire::Path;
use crate::world::World;

/// Mbit/s after the beginning, on a path of 50 Mbit/s and 40 ms.
fn goodput(congestion: Congestion, loss: f64) -> f64 {
    let path = Path::new(50.0, 40, 1.0).loss(loss);
    World::alone(path, congestion, 10.0).goodput(0, 3.0, 10.0)
}

#[test]
fn up_to_one_percent_of_loss_costs_bbr_little_and_cubic_most() {
    for loss in [0.001, 0.01] {
        let (bbr, cubic) = (goodput(Bbr3, loss), goodput(Cubic, loss));
        assert!(bbr > 36.0, "BBR at {loss}: {bbr:.1} of 50 Mbit/s");
        assert!(
            bbr > 4.0 * cubic,
            "at {loss}: BBR {bbr:.1}, CUBIC {cubic:.1}"
        );
    }
}

#[test]
fn above_its_threshold_of_two_percent_bbr_gives_way_but_not_as_far_as_cubic() {
    let (bbr, cubic) = (goodput(Bbr3, 0.03), goodput(Cubic, 0.03));
    assert!(
        bbr < 36.0 && bbr > 2.0 * cubic,
        "BBR {bbr:.1}, CUBIC {cubic:.1}"
    );
}

#[test]
fn datagrams_that_arrive_late_are_taken_for_lost_and_cost_no_more_than_that() {
    let path = Path {
        late: 0.005,
        ..Path::new(50.0, 40, 1.0)
    };
    let run = |congestion| World::alone(path, congestion, 10.0);
    let world = run(Bbr3);
    let (bbr, cubic) = (
        world.goodput(0, 3.0, 10.0),
        run(Cubic).goodput(0, 3.0, 10.0),
    );
    assert!(
        bbr > 36.0 && bbr > 4.0 * cubic,
        "BBR {bbr:.1}, CUBIC {cubic:.1}"
    );
    assert!(world.flows[0].path.measurement().lost > 0);
}

#[test]
fn a_satellite_with_half_a_percent_of_loss_is_usable_under_bbr() {
    let path = Path::new(10.0, 600, 1.0).loss(0.005);
    let run = |congestion| World::alone(path, congestion, 40.0).goodput(0, 15.0, 40.0);
    let (bbr, cubic) = (run(Bbr3), run(Cubic));
    assert!(
        bbr > 7.0 && bbr > 5.0 * cubic,
        "BBR {bbr:.1}, CUBIC {cubic:.1}"
    );
}
