use super::*;

#[test]
fn a_better_tier_asks_more_of_a_path_and_every_bound_has_its_hysteresis() {
    for pair in Tier::ALL.windows(2) {
        let (worse, better) = (row(pair[0]).thresholds, row(pair[1]).thresholds);
        assert!(better.rtt.leave < worse.rtt.enter, "{pair:?}");
        assert!(better.rate.leave > worse.rate.leave, "{pair:?}");
        assert!(better.loss_ppm.enter < worse.loss_ppm.enter, "{pair:?}");
        assert!(better.rtt.leave.as_nanos() * 2 >= better.rtt.enter.as_nanos() * 3);
        assert!(better.rate.leave * 2 <= better.rate.enter);
        assert!(better.loss_ppm.leave >= 2 * better.loss_ppm.enter);
    }
}

#[test]
fn any_path_at_all_is_in_the_slow_tier() {
    let slow = row(Tier::Slow).thresholds;
    assert_eq!(slow.rate.leave, 0);
    assert!(slow.rtt.leave > Duration::from_secs(3600));
    assert_eq!(slow.loss_ppm.leave, u32::MAX);
}

#[test]
fn parameters_stay_within_what_the_engine_can_set() {
    for tier in Tier::ALL {
        let set = tier.parameters();
        assert!(
            (2_000_000..=16_000_000).contains(&set.receive_window),
            "{tier}"
        );
        assert!(
            (2_000_000..=16_000_000).contains(&set.send_window),
            "{tier}"
        );
        assert!((1..=64).contains(&set.gso_segments), "{tier}");
    }
}
