//! Shallow and deep buffers, and queues that mark.

use std::time::Duration;

use stoq_adapt::Congestion::{self, Bbr3, Cubic};

use crate::wire::Path;
use crate::world::World;

/// Mbit/s, time in the queue and datagrams that overflowed it, after the beginning.
fn steady(path: Path, congestion: Congestion) -> (f64, Duration, u64) {
    let mut world = World::alone(path, congestion, 4.0);
    world.wire.take_queueing();
    let before = world.wire.overflowed;
    world.run(8.0);
    let overflowed = world.wire.overflowed - before;
    (
        world.goodput(0, 4.0, 12.0),
        world.wire.take_queueing(),
        overflowed,
    )
}

#[test]
fn a_deep_buffer_stays_empty_under_bbr_and_full_under_cubic() {
    let path = Path::new(20.0, 40, 8.0);
    let (bbr, bbr_queue, overflowed) = steady(path, Bbr3);
    let (cubic, cubic_queue, _) = steady(path, Cubic);
    assert!(bbr > 0.95 * cubic, "BBR {bbr:.1}, CUBIC {cubic:.1} Mbit/s");
    assert!(
        bbr_queue * 10 < cubic_queue,
        "{bbr_queue:?}, {cubic_queue:?}"
    );
    assert_eq!(overflowed, 0);
}

#[test]
fn a_buffer_of_a_tenth_of_the_product_costs_bbr_no_more_than_cubic() {
    let path = Path::new(50.0, 40, 0.1);
    let (bbr, ..) = steady(path, Bbr3);
    let (cubic, ..) = steady(path, Cubic);
    assert!(bbr > 0.95 * cubic, "BBR {bbr:.1}, CUBIC {cubic:.1} Mbit/s");
}

#[test]
fn a_queue_that_marks_is_kept_short_without_a_loss() {
    let path = Path {
        mark_above: Some(30_000),
        ..Path::new(20.0, 40, 4.0)
    };
    for congestion in [Bbr3, Cubic] {
        let mut world = World::alone(path, congestion, 3.0);
        let before = world.wire.overflowed;
        world.wire.take_queueing();
        world.run(6.0);
        assert_eq!(world.wire.overflowed, before, "{congestion}");
        let queue = world.wire.take_queueing();
        assert!(queue < Duration::from_millis(20), "{congestion}: {queue:?}");
        let goodput = world.goodput(0, 3.0, 9.0);
        assert!(goodput > 14.0, "{congestion}: {goodput:.1} of 20 Mbit/s");
        assert!(world.flows[0].path.measurement().marks > 0, "{congestion}");
    }
}
