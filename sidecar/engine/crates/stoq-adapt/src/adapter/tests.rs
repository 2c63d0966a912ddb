use std::time::Duration;

use super::*;
use crate::congestion::Congestion;
use crate::policy::{Bounds, PolicyDocument};

fn measured(samples: u64, rtt_us: u64) -> Measurement {
    let rtt = Duration::from_micros(rtt_us);
    Measurement {
        samples,
        smoothed_rtt: rtt,
        min_rtt: rtt,
        latest_rtt: rtt,
        jitter: Duration::ZERO,
        rate: None,
        loss_ppm: None,
        app_limited_ppm: 0,
        delivered: 0,
        lost: 0,
        marks: 0,
    }
}

/// What a connection is made with.
const FIRST: Parameters = Parameters {
    congestion: Congestion::Cubic,
    receive_window: 3_000_000,
    send_window: 5_000_000,
    gso_segments: 7,
};

/// An adapter that has seen three measurements of a path of 200 µs.
fn near(policy: Policy) -> (Adapter, Option<Change>, Instant) {
    let now = Instant::now();
    let mut adapter = Adapter::new(policy, now);
    let change = (1..=3).find_map(|n| adapter.observe(&measured(n, 200), now));
    (adapter, change, now)
}

#[test]
fn a_near_path_gets_the_data_centres_parameters_and_the_cause_is_told() {
    let (adapter, change, _) = near(Policy::default());
    let change = change.expect("a change");
    assert_eq!((change.from, change.to), (Tier::Standard, Tier::DataCenter));
    assert_eq!(change.cause, Cause::Measured);
    assert_eq!(change.parameters, Tier::DataCenter.parameters());
    assert_eq!(adapter.parameters(), change.parameters);
}

#[test]
fn a_path_that_is_what_was_assumed_gets_its_controller_once_that_is_known() {
    let now = Instant::now();
    let mut adapter = Adapter::new(Policy::default(), now);
    let path = PathHandle::new(Congestion::Cubic);
    assert_eq!(adapter.begin(&path, FIRST), FIRST);
    assert_eq!(path.wanted(), Congestion::Cubic);
    assert_eq!(path.window_limit(), FIRST.send_window);
    let changes: Vec<Change> = (1..=9)
        .filter_map(|n| adapter.observe(&measured(n, 50_000), now))
        .collect();
    assert_eq!(changes.len(), 1);
    assert_eq!(
        (changes[0].from, changes[0].to),
        (Tier::Standard, Tier::Standard)
    );
    adapter.apply(&changes[0], &path);
    assert_eq!(path.wanted(), Congestion::Bbr3);
}

#[test]
fn a_policy_that_determines_the_controller_has_it_from_the_beginning() {
    for (tier, congestion) in [(Some("home"), None), (None, Some("bbr3"))] {
        let document = PolicyDocument {
            tier: tier.map(str::to_owned),
            congestion: congestion.map(str::to_owned),
            ..PolicyDocument::default()
        };
        let policy = Policy::try_from(&document).expect("a policy");
        let path = PathHandle::new(Congestion::Cubic);
        let holds = Adapter::new(policy, Instant::now()).begin(&path, FIRST);
        assert_eq!(path.wanted(), Congestion::Bbr3);
        assert_eq!(holds.congestion, Congestion::Bbr3);
        let pinned = tier.map_or(FIRST.send_window, |_| Tier::Home.parameters().send_window);
        assert_eq!(holds.send_window, pinned);
    }
}

#[test]
fn nothing_new_measured_is_nothing_decided() {
    let (mut adapter, _, now) = near(Policy::default());
    for second in 1..100 {
        let later = now + Duration::from_secs(second);
        assert_eq!(adapter.observe(&measured(3, 900_000), later), None);
    }
}

#[test]
fn another_policy_changes_what_it_bounds_and_the_same_one_nothing() {
    let (mut adapter, ..) = near(Policy::default());
    assert_eq!(adapter.set_policy(Policy::default()), None);
    let policy = Policy {
        receive_window: Bounds {
            least: 100_000,
            most: 200_000,
        },
        ..Policy::default()
    };
    let change = adapter.set_policy(policy).expect("a change");
    assert_eq!(
        (change.from, change.to),
        (Tier::DataCenter, Tier::DataCenter)
    );
    assert_eq!(change.cause, Cause::Policy);
    assert_eq!(change.parameters.receive_window, 200_000);
    let document = PolicyDocument {
        tier: Some("slow".to_owned()),
        ..PolicyDocument::default()
    };
    let pinned = Policy::try_from(&document).expect("a policy");
    let change = adapter.set_policy(pinned).expect("a change");
    assert_eq!((change.to, change.cause), (Tier::Slow, Cause::Policy));
}

#[test]
fn a_manual_trigger_decides_at_once_and_has_bbr_search_anew() {
    let (mut adapter, _, now) = near(Policy::default());
    let change = adapter.trigger(&measured(4, 10_000), now);
    assert_eq!(
        (change.to, change.cause),
        (Tier::Performance, Cause::Manual)
    );
    let path = PathHandle::new(Congestion::Cubic);
    adapter.apply(&change, &path);
    assert_eq!(path.wanted(), Congestion::Bbr3);
    assert_eq!(path.window_limit(), change.parameters.send_window);
    assert!(path.take_restart() && !path.take_restart());
}

#[test]
fn a_trigger_before_anything_is_measured_assumes_what_the_beginning_does() {
    let now = Instant::now();
    let mut adapter = Adapter::new(Policy::default(), now);
    assert_eq!(adapter.trigger(&measured(0, 0), now).to, Tier::Standard);
}

#[test]
fn a_dry_run_tells_and_leaves_the_connection_alone() {
    let policy = Policy {
        dry_run: true,
        ..Policy::default()
    };
    let (adapter, change, _) = near(policy);
    let change = change.expect("a change");
    let path = PathHandle::new(Congestion::Bbr3);
    adapter.apply(&change, &path);
    assert!(change.dry_run);
    assert_eq!(path.wanted(), Congestion::Bbr3);
    assert_eq!(path.window_limit(), u64::MAX);
    assert_eq!(adapter.begin(&path, FIRST), FIRST);
}

#[test]
fn a_dry_run_that_ends_is_made_good_and_a_limit_of_the_rate_holds_at_once() {
    let dry = Policy {
        dry_run: true,
        ..Policy::default()
    };
    let (mut adapter, ..) = near(dry);
    let change = adapter.set_policy(Policy::default()).expect("a change");
    assert!(!change.dry_run);
    assert_eq!(change.parameters, Tier::DataCenter.parameters());
    let slower = Policy {
        max_rate: Some(1_000_000),
        ..Policy::default()
    };
    let change = adapter.set_policy(slower).expect("a change");
    let path = PathHandle::new(Congestion::Cubic);
    adapter.apply(&change, &path);
    assert_eq!(path.pacing_rate(), Some(1_000_000));
}
