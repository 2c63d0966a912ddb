use super::*;

const RTT: Duration = Duration::from_millis(100);

fn ms(start: Instant, ms: u64) -> Instant {
    start + Duration::from_millis(ms)
}

/// Sends 10,000 bytes every 10 ms from the beginning to 90 ms.
fn sending(start: Instant) -> Sampler {
    let mut sampler = Sampler::new(start);
    for at in (0..100).step_by(10) {
        sampler.on_sent(ms(start, at), 10_000, RTT);
    }
    sampler
}

#[test]
fn the_rate_is_what_arrived_over_the_longer_of_sending_and_acknowledging() {
    let start = Instant::now();
    let mut sampler = sending(start);
    let mut rates = Vec::new();
    for at in (0..100).step_by(10) {
        let now = ms(start, 100 + at);
        sampler.on_ack(now, ms(start, at), 10_000);
        sampler.on_sent(now, 10_000, RTT);
        rates.push(sampler.on_end_acks(now, 100_000, false, RTT));
    }
    // A megabyte per second goes in; a round trip later the samples say so.
    let now = ms(start, 200);
    sampler.on_ack(now, ms(start, 100), 10_000);
    let sample = sampler
        .on_end_acks(now, 90_000, false, RTT)
        .expect("a sample");
    assert_eq!(sample.rate, Some(1_000_000));
    assert_eq!(sample.rtt, RTT);
    assert_eq!(sample.total_delivered, 110_000);
    assert!(
        rates
            .iter()
            .flatten()
            .all(|sample| sample.rate <= Some(1_000_000))
    );
}

#[test]
fn acks_that_arrive_at_once_do_not_raise_the_rate_above_that_of_sending() {
    let start = Instant::now();
    let mut sampler = sending(start);
    let now = ms(start, 190);
    for at in (0..100).step_by(10) {
        sampler.on_ack(now, ms(start, at), 10_000);
    }
    let sample = sampler.on_end_acks(now, 0, false, RTT).expect("a sample");
    assert_eq!(sample.delivered, 100_000);
    assert!(sample.rate < Some(530_000), "{:?}", sample.rate);
}

#[test]
fn an_interval_shorter_than_the_smallest_round_trip_gives_no_rate() {
    let start = Instant::now();
    let mut sampler = Sampler::new(start);
    sampler.on_sent(start, 5_000, RTT);
    sampler.on_ack(ms(start, 50), start, 5_000);
    let sample = sampler
        .on_end_acks(ms(start, 50), 0, false, RTT)
        .expect("a sample");
    assert_eq!(sample.rate, None);
}

#[test]
fn what_is_sent_while_the_application_is_the_limit_is_marked_until_it_is_through() {
    let start = Instant::now();
    let mut sampler = Sampler::new(start);
    sampler.on_sent(start, 5_000, RTT);
    sampler.on_ack(ms(start, 100), start, 5_000);
    assert!(sampler.on_end_acks(ms(start, 100), 0, true, RTT).is_some());
    assert!(sampler.is_app_limited());
    sampler.on_sent(ms(start, 200), 5_000, RTT);
    sampler.on_ack(ms(start, 300), ms(start, 200), 5_000);
    let sample = sampler
        .on_end_acks(ms(start, 300), 0, false, RTT)
        .expect("a sample");
    assert!(sample.app_limited);
    assert!(!sampler.is_app_limited());
}

#[test]
fn losses_since_a_send_are_counted_and_taken_out_of_flight() {
    let start = Instant::now();
    let mut sampler = sending(start);
    assert_eq!(sampler.in_flight(), 100_000);
    let first = sampler.on_lost(ms(start, 0), 1_200);
    assert_eq!((first.tx_in_flight, first.lost), (10_000, 1_200));
    let second = sampler.on_lost(ms(start, 50), 2_400);
    assert_eq!((second.tx_in_flight, second.lost), (60_000, 3_600));
    assert_eq!(sampler.in_flight(), 96_400);
    let mark = sampler.on_lost(ms(start, 90), 0);
    assert_eq!((mark.size, mark.tx_in_flight), (0, 100_000));
}

#[test]
fn mere_acks_are_not_in_flight_and_leave_little_behind() {
    let start = Instant::now();
    let mut sampler = Sampler::new(start);
    for at in 0..5_000 {
        sampler.on_sent(ms(start, at), 40, Duration::ZERO);
    }
    assert_eq!(sampler.in_flight(), 0);
    assert_eq!(sampler.records.len(), IDLE_RECORDS);
}

#[test]
fn memory_is_bounded_while_busy_and_given_back_when_all_has_arrived() {
    let start = Instant::now();
    let mut sampler = Sampler::new(start);
    for at in 0..5_000 {
        sampler.on_sent(ms(start, at), 1_200, Duration::ZERO);
    }
    assert_eq!(sampler.records.len(), MOST_RECORDS);
    assert!(size_of::<Record>() * MOST_RECORDS <= 100_000);
    sampler.on_ack(ms(start, 6_000), ms(start, 4_999), 1_200);
    assert!(
        sampler
            .on_end_acks(ms(start, 6_000), 0, false, RTT)
            .is_some()
    );
    assert!(sampler.records.capacity() <= 2 * IDLE_RECORDS);
}

#[test]
fn sends_within_a_fraction_of_the_round_trip_share_a_snapshot_and_old_ones_go() {
    let start = Instant::now();
    let mut sampler = Sampler::new(start);
    for at in 0..100_000 {
        let now = start + Duration::from_micros(at * 10);
        sampler.on_sent(now, 1_200, RTT);
        if at >= 10_000 {
            let sent = start + Duration::from_micros((at - 10_000) * 10);
            sampler.on_ack(now, sent, 1_200);
            sampler.on_end_acks(now, 12_000_000, false, RTT);
        }
    }
    let kept = sampler.records.len();
    assert!(
        (PER_ROUND as usize..=3 * PER_ROUND as usize).contains(&kept),
        "{kept}"
    );
}

#[test]
fn an_ack_for_something_forgotten_counts_as_delivered_and_gives_no_sample() {
    let start = Instant::now();
    let mut sampler = Sampler::new(start);
    sampler.on_ack(ms(start, 10), start, 3_000);
    assert!(sampler.on_end_acks(ms(start, 10), 0, false, RTT).is_none());
    sampler.on_sent(ms(start, 20), 1_000, RTT);
    sampler.on_ack(ms(start, 120), ms(start, 20), 1_000);
    let sample = sampler
        .on_end_acks(ms(start, 120), 0, false, RTT)
        .expect("a sample");
    assert_eq!(sample.total_delivered, 4_000);
}
