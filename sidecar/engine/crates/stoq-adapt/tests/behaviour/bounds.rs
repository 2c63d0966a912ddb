//! What a policy bounds stays bounded, whatever the path allows.

use std::time::Duration;

use stoq_adapt::Congestion::{Bbr3, Cubic};
use stoq_adapt::{Mode, Policy, PolicyDocument, Tier};

use crate::wire::Path;
use crate::world::{App, World};

#[test]
fn limits_of_rate_and_window_hold_under_any_controller() {
    for congestion in [Bbr3, Cubic] {
        let mut world = World::alone(Path::new(50.0, 20, 1.0), congestion, 2.0);
        world.flows[0].path.set_limits(None, Some(1_000_000));
        world.run(3.0);
        let paced = world.goodput(0, 3.0, 5.0);
        assert!((7.0..8.1).contains(&paced), "{congestion}: {paced:.2} of 8");

        world.flows[0].path.set_limits(Some(15_000), None);
        world.run(1.0);
        assert!(world.flows[0].path.window() <= 15_000, "{congestion}");
        let goodput = world.goodput(0, 5.5, 6.0);
        assert!(
            goodput < 15_000.0 * 8e-6 / 0.02,
            "{congestion}: {goodput:.1}"
        );
    }
}

#[test]
fn a_pinned_connection_never_changes_and_a_dry_run_only_counts() {
    let document = PolicyDocument {
        tier: Some("home".to_owned()),
        ..PolicyDocument::default()
    };
    let mut world = World::alone(Path::new(200.0, 5, 1.0), Bbr3, 0.5);
    world.adapt(0, Policy::try_from(&document).expect("a policy"));
    world.run(2.0);
    let flow = &world.flows[0];
    assert!(flow.changes.is_empty(), "{:?}", flow.changes);
    let adapter = flow.adapter.as_ref().expect("an adapter");
    assert_eq!(adapter.tier(), Tier::Home);
    assert_eq!(adapter.measured_tier().0, Tier::Performance);

    let document = PolicyDocument {
        congestion: Some("cubic".to_owned()),
        mode: Mode::DryRun,
        ..PolicyDocument::default()
    };
    let mut world = World::alone(Path::new(200.0, 5, 1.0), Bbr3, 0.5);
    world.adapt(0, Policy::try_from(&document).expect("a policy"));
    world.run(2.0);
    assert_eq!(world.flows[0].changes.len(), 1);
    assert_eq!(world.flows[0].path.congestion(), Bbr3);
}

#[test]
fn a_connection_that_begins_with_cubic_changes_with_its_tier() {
    let mut world = World::alone(Path::new(50.0, 40, 1.0).loss(0.005), Cubic, 0.0);
    world.adapt(0, Policy::default());
    world.run(5.0);
    assert_eq!(world.flows[0].path.congestion(), Bbr3);
    let goodput = world.goodput(0, 2.0, 5.0);
    assert!(goodput > 30.0, "{goodput:.1} of 50 Mbit/s");
}

#[test]
fn a_steady_path_changes_nothing_within_a_minute() {
    let jittery = Path {
        jitter: Duration::from_millis(5),
        ..Path::new(30.0, 40, 1.0).loss(0.001)
    };
    let cases = [
        (Path::new(10.0, 20, 1.0), App::Greedy, Tier::Home, Bbr3),
        (jittery, App::Greedy, Tier::Standard, Bbr3),
        // Where CUBIC stays in force, and calls instead of bulk.
        (
            Path::queued(1000.0, 1, 10),
            App::Steady(2_000),
            Tier::Enterprise,
            Cubic,
        ),
    ];
    for (path, app, tier, congestion) in cases {
        let mut world = World::new(path);
        world.add(Cubic, app);
        world.adapt(0, Policy::default());
        world.run(5.0);
        let before = world.flows[0].changes.len();
        world.run(60.0);
        let flow = &world.flows[0];
        let changes = &flow.changes[before..];
        assert!(changes.is_empty(), "{tier}: {changes:?}");
        let holds = flow.adapter.as_ref().map(|adapter| adapter.tier());
        assert_eq!(holds, Some(tier));
        assert_eq!(flow.path.congestion(), congestion, "{tier}");
    }
}
