use super::*;

fn ack(rtt_ms: u64, rate: Option<u64>, acked: u64, app_limited: bool) -> RateSample {
    RateSample {
        rate,
        delivered: acked,
        prior_delivered: acked,
        total_delivered: acked,
        newly_acked: acked,
        in_flight: 0,
        tx_in_flight: acked,
        lost: 0,
        rtt: Duration::from_millis(rtt_ms),
        app_limited,
    }
}

struct Metered {
    meter: PathMeter,
    now: Instant,
}

impl Metered {
    fn new() -> Self {
        let now = Instant::now();
        let meter = PathMeter::new(now);
        Self { meter, now }
    }

    /// An ACK of 10,000 bytes every 10 ms.
    fn feed(&mut self, for_ms: u64, rtt_ms: u64, rate: u64, app_limited: bool) -> Measurement {
        for _ in 0..for_ms / 10 {
            self.now += Duration::from_millis(10);
            let sample = ack(rtt_ms, Some(rate), 10_000, app_limited);
            self.meter.on_ack(self.now, &sample, app_limited);
        }
        self.meter.measurement(self.now)
    }
}

#[test]
fn round_trips_are_smoothed_and_the_smallest_is_kept_for_ten_seconds() {
    let mut metered = Metered::new();
    metered.feed(1_000, 20, 1, false);
    let measured = metered.feed(1_000, 60, 1, false);
    assert!(measured.smoothed_rtt > Duration::from_millis(59));
    assert_eq!(measured.min_rtt, Duration::from_millis(20));
    assert_eq!(measured.latest_rtt, Duration::from_millis(60));
    assert!(metered.meter.path_is_full());
    let measured = metered.feed(10_000, 60, 1, false);
    assert_eq!(measured.min_rtt, Duration::from_millis(60));
    assert!(!metered.meter.path_is_full());
}

#[test]
fn jitter_is_the_smoothed_difference_of_neighbours() {
    let mut metered = Metered::new();
    assert_eq!(metered.feed(1_000, 20, 1, false).jitter, Duration::ZERO);
    for _ in 0..200 {
        metered.feed(10, 20, 1, false);
        metered.feed(10, 28, 1, false);
    }
    let jitter = metered.meter.measurement(metered.now).jitter;
    assert!(jitter.abs_diff(Duration::from_millis(8)) < Duration::from_micros(10));
}

#[test]
fn a_slower_path_shows_after_three_round_trips_although_its_queue_fills() {
    let mut metered = Metered::new();
    assert_eq!(metered.feed(1_000, 20, 9_000, false).rate, Some(9_000));
    assert_eq!(metered.feed(30, 200, 1_000, false).rate, Some(9_000));
    assert_eq!(metered.feed(60, 200, 1_000, false).rate, Some(1_000));
}

#[test]
fn an_application_that_asks_for_little_does_not_lower_the_rate_until_it_is_forgotten() {
    let mut metered = Metered::new();
    metered.feed(1_000, 20, 9_000, false);
    let measured = metered.feed(3_000, 20, 100, true);
    assert_eq!(measured.rate, Some(9_000));
    assert!(measured.app_limited_ppm > 900_000);
    assert_eq!(metered.feed(28_000, 20, 100, true).rate, None);
}

#[test]
fn loss_is_a_share_of_two_seconds_without_its_burst() {
    let mut metered = Metered::new();
    assert_eq!(metered.feed(50, 20, 1, false).loss_ppm, None);
    metered.feed(2_000, 20, 1, false);
    metered.meter.on_lost(metered.now, 500_000);
    let measured = metered.feed(10, 20, 1, false);
    assert_eq!((measured.loss_ppm, measured.lost), (Some(0), 500_000));
    for _ in 0..40 {
        metered.feed(100, 20, 1, false);
        metered.meter.on_lost(metered.now, 1_000);
    }
    let steady = metered
        .meter
        .measurement(metered.now)
        .loss_ppm
        .expect("a share");
    assert!((6_000..11_000).contains(&steady), "{steady}");
    let later = metered.feed(3_000, 20, 1, false);
    assert_eq!((later.loss_ppm, later.lost), (Some(0), 540_000));
}

#[test]
fn a_pause_empties_the_window() {
    let mut metered = Metered::new();
    metered.feed(2_000, 20, 1, false);
    metered.now += Duration::from_secs(3_600);
    assert_eq!(metered.meter.measurement(metered.now).loss_ppm, None);
}

#[test]
fn a_path_whose_acks_are_late_is_as_near_as_quic_says() {
    let mut metered = Metered::new();
    // Made up before the first ACK, so no word about the path.
    metered.meter.on_smoothed(Duration::from_millis(1));
    assert_eq!(metered.feed(10, 25, 1_000, true).min_rtt.as_millis(), 25);
    metered.meter.on_smoothed(Duration::from_millis(3));
    assert_eq!(metered.feed(10, 25, 1_000, true).min_rtt.as_millis(), 3);
    metered.meter.on_smoothed(Duration::from_millis(50));
    assert_eq!(metered.feed(10, 25, 1_000, true).min_rtt.as_millis(), 25);
}

#[test]
fn what_was_sent_before_the_first_ack_is_no_measure_of_the_rate() {
    let mut metered = Metered::new();
    let first = RateSample {
        prior_delivered: 0,
        ..ack(5, Some(1_000), 3_000, false)
    };
    metered.meter.on_ack(metered.now, &first, false);
    assert_eq!(metered.meter.measurement(metered.now).rate, None);
    let later = metered.feed(10, 5, 2_000_000, false);
    assert_eq!(later.rate, Some(2_000_000));
}

#[test]
fn a_path_that_has_become_longer_is_measured_anew() {
    let mut metered = Metered::new();
    metered.feed(100, 1, 20_000_000, false);
    metered.feed(100, 40, 1_000_000, false);
    let forty = Duration::from_millis(40);
    metered.meter.on_moved(metered.now, forty);
    let moved = metered.meter.measurement(metered.now);
    assert_eq!((moved.min_rtt, moved.rate), (forty, None));
    assert_eq!(
        metered.feed(10, 40, 5_000_000, false).rate,
        Some(5_000_000),
        "a lower rate than before, but of this path"
    );
}
