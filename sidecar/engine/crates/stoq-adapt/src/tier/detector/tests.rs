use proptest::prelude::*;

use super::*;

fn path(samples: u64, rtt_us: u64, mbit: Option<u64>, loss_ppm: u32) -> Measurement {
    let rtt = Duration::from_micros(rtt_us);
    Measurement {
        samples,
        smoothed_rtt: rtt,
        min_rtt: rtt,
        latest_rtt: rtt,
        jitter: Duration::ZERO,
        rate: mbit.map(|mbit| mbit * 125_000),
        loss_ppm: Some(loss_ppm),
        app_limited_ppm: 0,
        delivered: 0,
        lost: 0,
        marks: 0,
    }
}

/// A detector fed every 10 ms.
struct Fed {
    detector: Detector,
    now: Instant,
    samples: u64,
    changes: u32,
}

impl Fed {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            detector: Detector::new(now),
            now,
            samples: 0,
            changes: 0,
        }
    }

    fn feed(&mut self, for_ms: u64, rtt_us: u64, mbit: Option<u64>, loss_ppm: u32) -> Tier {
        for _ in 0..for_ms / 10 {
            self.now += Duration::from_millis(10);
            self.samples += 1;
            let measured = path(self.samples, rtt_us, mbit, loss_ppm);
            let changed = self.detector.observe(&measured, self.now);
            self.changes += u32::from(changed.is_some());
        }
        self.detector.tier()
    }
}

#[test]
fn each_kind_of_path_is_found_within_three_measurements() {
    let paths = [
        (200, Some(9000), 0, Tier::DataCenter),
        (1_500, Some(2000), 0, Tier::Enterprise),
        (10_000, Some(500), 1_000, Tier::Performance),
        (40_000, Some(50), 5_000, Tier::Standard),
        (90_000, Some(10), 10_000, Tier::Home),
        (600_000, Some(2), 10_000, Tier::Slow),
        (200, Some(9000), 300_000, Tier::Slow),
        (200, None, 0, Tier::DataCenter),
    ];
    for (rtt_us, mbit, loss, tier) in paths {
        assert_eq!(Fed::new().feed(30, rtt_us, mbit, loss), tier);
    }
}

#[test]
fn a_path_that_became_slower_is_in_its_tier_within_fifty_milliseconds() {
    let mut fed = Fed::new();
    assert_eq!(fed.feed(100, 300, Some(5000), 0), Tier::DataCenter);
    assert_eq!(fed.feed(50, 300, Some(1000), 0), Tier::Enterprise);
}

#[test]
fn a_better_path_is_believed_after_a_second_and_one_tier_at_a_time() {
    let mut fed = Fed::new();
    assert_eq!(fed.feed(100, 40_000, Some(50), 0), Tier::Standard);
    assert_eq!(fed.feed(900, 300, Some(5000), 0), Tier::Standard);
    assert_eq!(fed.feed(200, 300, Some(5000), 0), Tier::Performance);
    assert_eq!(fed.feed(3000, 300, Some(5000), 0), Tier::DataCenter);
}

#[test]
fn values_between_the_two_thresholds_change_nothing_from_either_side() {
    let mut from_above = Fed::new();
    from_above.feed(100, 300, Some(5000), 0);
    assert_eq!(
        from_above.feed(60_000, 900, Some(2500), 0),
        Tier::DataCenter
    );
    let mut from_below = Fed::new();
    from_below.feed(100, 2000, Some(1000), 0);
    assert_eq!(
        from_below.feed(60_000, 900, Some(2500), 0),
        Tier::Enterprise
    );
}

#[test]
fn one_bad_measurement_changes_nothing_but_lowers_the_confidence() {
    let mut fed = Fed::new();
    fed.feed(100, 300, Some(5000), 0);
    assert_eq!(fed.detector.confidence(), 1.0);
    assert_eq!(fed.feed(10, 50_000, Some(1), 0), Tier::DataCenter);
    assert!(fed.detector.confidence() < 1.0);
    fed.feed(10, 300, Some(5000), 0);
    assert_eq!(fed.detector.confidence(), 1.0);
}

#[test]
fn a_steady_path_does_not_change_within_an_hour() {
    let mut fed = Fed::new();
    fed.feed(100, 10_000, Some(300), 0);
    let before = fed.changes;
    fed.feed(3_600_000, 10_000, Some(300), 0);
    assert_eq!(fed.changes, before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a path does in ten minutes, its parameters change at most 40 times: ways up take
    /// 1, 2, 4 ... 256 s, and a calm minute halves that.
    #[test]
    fn a_flapping_path_does_not_thrash(
        phases in proptest::collection::vec(
            (20_u64..20_000, 100_u64..700_000, proptest::option::of(1_u64..10_000), 0_u32..150_000),
            1..200,
        )
    ) {
        let mut fed = Fed::new();
        let end = fed.now + Duration::from_secs(600);
        'run: loop {
            for (for_ms, rtt_us, mbit, loss) in &phases {
                fed.feed(*for_ms, *rtt_us, *mbit, *loss);
                if fed.now >= end {
                    break 'run;
                }
            }
        }
        prop_assert!(fed.changes <= 40, "{} changes", fed.changes);
    }

    /// The same for the worst schedule against it: bad as soon as it went up.
    #[test]
    fn a_path_that_turns_bad_whenever_it_went_up_is_left_alone(
        good in 100_u64..5_000, bad in 5_000_u64..500_000
    ) {
        let mut fed = Fed::new();
        let end = fed.now + Duration::from_secs(600);
        while fed.now < end {
            let before = fed.detector.tier();
            fed.feed(10, good, Some(5000), 0);
            if fed.detector.tier() > before {
                fed.feed(100, bad, Some(3), 0);
            }
        }
        prop_assert!(fed.changes <= 40, "{} changes", fed.changes);
    }
}
