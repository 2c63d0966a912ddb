use super::*;

const FREE: Conditions = Conditions {
    rate: 0,
    queue: 0,
    delay: 0,
    jitter: 0,
    loss: 0,
    reorder: 0,
    reorder_by: 0,
    duplicate: 0,
};

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Everything that arrives until `end`, with when.
fn arrivals(link: &mut Link, end: Duration) -> Vec<(Duration, Vec<u8>)> {
    let mut found = Vec::new();
    while let Some(now) = link.next().filter(|now| *now <= end) {
        while let Some(frame) = link.take(now) {
            found.push((now, frame));
        }
    }
    found
}

/// Offers frames with these numbers in their first bytes, a millisecond apart.
fn offer(link: &mut Link, count: u32, bytes: usize) -> Vec<(Duration, u32)> {
    let mut found = Vec::new();
    for number in 0..count {
        let now = millis(u64::from(number));
        found.extend(arrivals(link, now));
        let mut frame = vec![0; bytes];
        frame[..4].copy_from_slice(&number.to_be_bytes());
        link.offer(now, frame);
    }
    found.extend(arrivals(link, millis(1_000_000)));
    let number = |frame: &[u8]| u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
    found
        .iter()
        .map(|(at, frame)| (*at, number(frame)))
        .collect()
}

#[test]
fn without_conditions_a_frame_arrives_at_once() {
    let mut link = Link::new(1, FREE);
    link.offer(millis(3), vec![7; 60]);
    assert_eq!(link.next(), Some(millis(3)));
    assert_eq!(link.take(millis(3)), Some(vec![7; 60]));
    assert_eq!((link.next(), link.take(millis(4))), (None, None));
}

#[test]
fn the_rate_spaces_frames_and_a_full_queue_drops() {
    // 1 Mbit/s: 1250 bytes take 10 ms; the queue holds three of them.
    let slow = Conditions {
        rate: 1_000_000,
        queue: 3750,
        ..FREE
    };
    let mut link = Link::new(1, slow);
    for number in 0..5 {
        link.offer(Duration::ZERO, vec![number; 1250]);
    }
    let found = arrivals(&mut link, millis(1000));
    let told: Vec<_> = found.iter().map(|(at, frame)| (*at, frame[0])).collect();
    assert_eq!(told, [(millis(10), 0), (millis(20), 1), (millis(30), 2)]);
    assert_eq!(link.counters().overflowed, 2);
    assert_eq!(link.counters().delivered, 3);
}

#[test]
fn a_new_rate_holds_for_what_waits() {
    let slow = Conditions {
        rate: 1_000_000,
        queue: 10_000,
        ..FREE
    };
    let mut link = Link::new(1, slow);
    for number in 0..3 {
        link.offer(Duration::ZERO, vec![number; 1250]);
    }
    // Half of the first is sent; the rest goes ten times as fast.
    link.set(
        Conditions {
            rate: 10_000_000,
            ..slow
        },
        millis(5),
    );
    let found = arrivals(&mut link, millis(1000));
    let told: Vec<_> = found.iter().map(|(at, _)| at.as_micros()).collect();
    assert_eq!(told, [5500, 6500, 7500]);
    link.offer(millis(20), vec![0; 1250]);
    link.set(FREE, millis(20));
    assert!(link.take(millis(20)).is_some());
}

#[test]
fn delay_adds_and_jitter_keeps_the_order() {
    let far = Conditions {
        delay: 40_000,
        jitter: 30_000,
        ..FREE
    };
    let mut link = Link::new(1, far);
    let found = offer(&mut link, 1000, 100);
    assert!(found.iter().map(|(_, number)| *number).eq(0..1000));
    let extra: Vec<f64> = found
        .iter()
        .map(|(at, number)| (*at - millis(u64::from(*number) + 40)).as_secs_f64())
        .collect();
    assert!(extra.iter().all(|extra| (0.0..=0.03).contains(extra)));
    assert!(extra.iter().sum::<f64>() / 1000.0 > 0.01);
}

#[test]
fn less_delay_lets_nothing_overtake() {
    let mut link = Link::new(
        1,
        Conditions {
            delay: 40_000,
            ..FREE
        },
    );
    link.offer(millis(0), vec![1; 60]);
    link.set(
        Conditions {
            delay: 1_000,
            ..FREE
        },
        millis(1),
    );
    link.offer(millis(1), vec![2; 60]);
    let found = arrivals(&mut link, millis(100));
    assert_eq!(found[0], (millis(40), vec![1; 60]));
    assert_eq!(found[1], (millis(40), vec![2; 60]));
}

#[test]
fn shares_are_what_they_say() {
    let rough = Conditions {
        loss: 100_000,
        reorder: 50_000,
        reorder_by: 5_000,
        duplicate: 20_000,
        ..FREE
    };
    let mut link = Link::new(7, rough);
    let found = offer(&mut link, 20_000, 60);
    let told = link.counters();
    assert!((1850..2150).contains(&told.lost), "{told:?}");
    assert!((800..1000).contains(&told.reordered), "{told:?}");
    assert!((310..410).contains(&told.duplicated), "{told:?}");
    assert_eq!(told.delivered, told.offered - told.lost + told.duplicated);
    assert_eq!(found.len() as u64, told.delivered);
    let late = found
        .windows(2)
        .filter(|pair| pair[1].1 < pair[0].1)
        .count();
    assert!(late > 500, "{late}");
}

#[test]
fn everything_and_nothing_are_lost_when_that_is_asked_for() {
    let mut all = Link::new(
        1,
        Conditions {
            loss: 1_000_000,
            ..FREE
        },
    );
    assert!(offer(&mut all, 1000, 60).is_empty());
    let mut none = Link::new(1, FREE);
    assert_eq!(offer(&mut none, 1000, 60).len(), 1000);
}

#[test]
fn the_same_seed_decides_the_same_and_another_differently() {
    let rough = Conditions {
        loss: 100_000,
        jitter: 3_000,
        duplicate: 10_000,
        ..FREE
    };
    let told = |seed| offer(&mut Link::new(seed, rough), 2000, 60);
    assert_eq!(told(5), told(5));
    assert_ne!(told(5), told(6));
}

#[test]
fn what_chance_decides_later_does_not_depend_on_earlier_conditions() {
    let lossy = Conditions {
        loss: 200_000,
        ..FREE
    };
    let told = |first: Conditions| {
        let mut link = Link::new(3, first);
        for number in 0..100 {
            link.offer(millis(number), vec![0; 60]);
        }
        link.set(lossy, millis(100));
        let before = link.counters().lost;
        for number in 100..1000 {
            link.offer(millis(number), vec![0; 60]);
        }
        link.counters().lost - before
    };
    assert_eq!(
        told(FREE),
        told(Conditions {
            jitter: 500,
            loss: 900_000,
            ..FREE
        })
    );
}

#[test]
fn memory_is_bounded_without_a_rate_too() {
    let mut link = Link::new(
        1,
        Conditions {
            delay: 10_000_000,
            ..FREE
        },
    );
    for _ in 0..3000 {
        link.offer(Duration::ZERO, vec![0; 100_000]);
    }
    assert_eq!(link.counters().overflowed, 500);
}
