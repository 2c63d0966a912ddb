//! BBR paces alone (`docs/decisions/0048-bbr-paces-alone.md`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn_proto::congestion::ControllerFactory;
use stoq_adapt::Congestion::{Bbr3, Cubic, NewReno};
use stoq_adapt::{AdaptiveConfig, PathHandle};

use crate::schedules::{begin, jittery, late, path};
use crate::side::{INITIAL_WINDOW, MTU};
use crate::wire::Path;

/// From here on quinn-proto's pacer holds nothing back.
const UNPACED: u64 = 1 << 32;

/// Mbit/s of an adapting flow whose two ends look only every so many milliseconds, as on machines
/// without a CPU to spare.
fn looking_every(milliseconds: u64, path: Path) -> f64 {
    let mut world = begin(path, true);
    world.slice = Duration::from_millis(milliseconds);
    world.run(10.0);
    world.goodput(0, 1.0, 10.0)
}

#[test]
fn a_worker_that_comes_late_costs_little_on_a_path_that_jitters() {
    let jitter = late(0.005, jittery(10, path(100.0, 20, 50)));
    for milliseconds in [1, 2, 5, 10] {
        let goodput = looking_every(milliseconds, jitter);
        assert!(
            goodput > 85.0,
            "every {milliseconds} ms: {goodput:.1} of 100 Mbit/s"
        );
    }
}

#[test]
fn a_worker_that_looks_every_five_milliseconds_costs_little_on_paths_that_do_not_change() {
    let short = looking_every(5, path(100.0, 10, 40));
    assert!(short > 90.0, "{short:.1} of 100 Mbit/s");
    let deep = looking_every(5, path(50.0, 20, 200));
    assert!(deep > 45.0, "{deep:.1} of 50 Mbit/s behind a deep buffer");
}

#[test]
fn quinns_pacer_rests_under_bbr_until_the_next_aggregate_might_not_fit() {
    let now = Instant::now();
    let config = Arc::new(AdaptiveConfig::new(Bbr3, INITIAL_WINDOW, 1));
    let mut controller = config.build(now, MTU);
    let handle = PathHandle::of(&*controller).expect("our controller");
    assert_eq!(controller.window(), UNPACED);
    assert_eq!(handle.window(), INITIAL_WINDOW);
    let mut sent = 0;
    while sent + handle.send_quantum() + u64::from(MTU) <= INITIAL_WINDOW {
        assert_eq!(controller.window(), UNPACED, "{sent} bytes in flight");
        // As small as an ACK: what is sent counts whether it is one or not.
        controller.on_sent(now, 100, 1);
        sent += 100;
    }
    assert_eq!(
        controller.window(),
        INITIAL_WINDOW,
        "{sent} bytes in flight"
    );
    controller.on_congestion_event(now, now, false, sent);
    assert_eq!(controller.window(), UNPACED, "all of it is lost");
}

#[test]
fn a_window_that_a_policy_bounds_holds_though_nothing_but_bbr_paces() {
    let mut world = begin(path(100.0, 20, 50), true);
    world.run(2.0);
    assert_eq!(world.flows[0].path.congestion(), Bbr3);
    world.flows[0].path.set_limits(Some(100_000), None);
    world.run(2.0);
    let most = 100_000.0 * 8e-6 / 0.02;
    let goodput = world.goodput(0, 3.0, 4.0);
    assert!(
        (0.8 * most..most).contains(&goodput),
        "{goodput:.1} of {most:.1} Mbit/s"
    );
}

#[test]
fn cubic_and_newreno_leave_the_pacing_to_quinn() {
    for congestion in [Cubic, NewReno] {
        let config = Arc::new(AdaptiveConfig::new(congestion, INITIAL_WINDOW, 1));
        let controller = config.build(Instant::now(), MTU);
        assert_eq!(controller.window(), INITIAL_WINDOW, "{congestion}");
        let handle = PathHandle::of(&*controller).expect("our controller");
        assert_eq!(handle.pacing_rate(), None, "{congestion}");
    }
}
