//! Striped flows.

use std::collections::VecDeque;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use stoq_frames::stripe::{Fault, Stripe};
use stoq_wire::code::StreamCode;
use stoq_wire::stripe::{FIRST_LIMIT, MAX_CHUNKS, Record, TOLD_BYTES};
use stoq_wire::varint;

const LANES: u8 = 4;

fn data(offset: u64, bytes: &[u8]) -> Record {
    Record::Data {
        offset,
        data: Bytes::copy_from_slice(bytes),
    }
}

fn stripe() -> Stripe {
    Stripe::new(FIRST_LIMIT)
}

fn popped(stripe: &mut Stripe) -> Vec<u8> {
    std::iter::from_fn(|| stripe.pop()).flatten().collect()
}

/// The application's word as chunks, which are handed in as there is room.
fn said(stripe: &mut Stripe, bytes: &[u8]) {
    stripe.push(Bytes::copy_from_slice(bytes));
}

/// One end with its application.
struct End {
    stripe: Stripe,
    /// What the application is still to say.
    left: VecDeque<Vec<u8>>,
    heard: Vec<u8>,
    told: bool,
}

impl End {
    fn new(chunks: &[Vec<u8>]) -> Self {
        let mut stripe = stripe();
        for lane in 1..LANES {
            assert!(stripe.join(lane));
        }
        Self {
            stripe,
            left: chunks.iter().cloned().collect(),
            heard: Vec::new(),
            told: false,
        }
    }

    /// The application says and takes what it can.
    fn work(&mut self) {
        while let Some(chunk) = self.left.front() {
            if chunk.len() > self.stripe.room() {
                break;
            }
            let chunk = self.left.pop_front().unwrap();
            said(&mut self.stripe, &chunk);
        }
        if self.left.is_empty() {
            self.stripe.finish();
        }
        self.heard.extend(popped(&mut self.stripe));
        if self.stripe.at_end() {
            self.stripe.end_told();
            self.told = true;
        }
    }
}

/// What happens on the way.
#[derive(Debug, Clone)]
enum Step {
    /// A lane of an end has room.
    Send(bool, u8),
    /// What is first on a lane arrives.
    Arrive(bool, u8),
    /// What is first on a lane arrives, and stays to arrive again.
    Twice(bool, u8),
    /// The connection of a lane is lost, with all that is on it.
    Lose(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let lane = 0..LANES;
    let step = prop_oneof![
        8 => (any::<bool>(), lane.clone()).prop_map(|(end, lane)| Step::Send(end, lane)),
        8 => (any::<bool>(), lane.clone()).prop_map(|(end, lane)| Step::Arrive(end, lane)),
        2 => (any::<bool>(), lane).prop_map(|(end, lane)| Step::Twice(end, lane)),
        // Lane 0 stays, so that the flow can end.
        1 => (1..LANES).prop_map(Step::Lose),
    ];
    vec(step, 0..200)
}

/// Two ends and what is on the lanes between them.
struct Pair {
    ends: [End; 2],
    /// By receiving end and lane.
    way: [[VecDeque<Record>; LANES as usize]; 2],
    lost: [bool; LANES as usize],
}

impl Pair {
    fn new(forth: &[Vec<u8>], back: &[Vec<u8>]) -> Self {
        Self {
            ends: [End::new(forth), End::new(back)],
            way: Default::default(),
            lost: [false; LANES as usize],
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send(end, lane) => {
                self.send(usize::from(end), lane);
            }
            Step::Arrive(end, lane) => {
                self.arrive(usize::from(end), lane);
            }
            Step::Twice(end, lane) => {
                let first = self.way[usize::from(end)][usize::from(lane)].front();
                if let Some(record) = first.cloned() {
                    self.ends[usize::from(end)].stripe.take(record).unwrap();
                }
            }
            Step::Lose(lane) => {
                if !std::mem::replace(&mut self.lost[usize::from(lane)], true) {
                    for end in 0..2 {
                        self.way[end][usize::from(lane)].clear();
                        self.ends[end].stripe.lane_lost(lane).unwrap();
                    }
                }
            }
        }
        self.ends.iter_mut().for_each(End::work);
    }

    fn send(&mut self, end: usize, lane: u8) -> bool {
        if self.lost[usize::from(lane)] {
            return false;
        }
        let record = self.ends[end].stripe.next(lane);
        let found = record.is_some();
        self.way[1 - end][usize::from(lane)].extend(record);
        found
    }

    fn arrive(&mut self, end: usize, lane: u8) -> bool {
        let record = self.way[end][usize::from(lane)].pop_front();
        let found = record.is_some();
        if let Some(record) = record {
            self.ends[end].stripe.take(record).unwrap();
        }
        found
    }

    /// Lets everything that is left happen; `false` when it goes on for ever.
    fn settle(&mut self) -> bool {
        for _ in 0..100_000 {
            self.ends.iter_mut().for_each(End::work);
            let mut moved = false;
            for end in 0..2 {
                for lane in 0..LANES {
                    moved |= self.send(end, lane);
                    moved |= self.arrive(end, lane);
                }
            }
            if !moved {
                return true;
            }
        }
        false
    }
}

fn chunks() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 1..40), 0..60)
}

proptest! {
    /// Lanes overtake each other, bring things twice and are lost: both applications hear what the
    /// other has said, to the end, and both ends know it.
    #[test]
    fn what_one_says_the_other_hears_whatever_becomes_of_the_lanes(
        forth in chunks(),
        back in chunks(),
        steps in steps(),
    ) {
        let mut pair = Pair::new(&forth, &back);
        for step in steps {
            pair.step(step);
            prop_assert!(forth.concat().starts_with(&pair.ends[1].heard));
            prop_assert!(back.concat().starts_with(&pair.ends[0].heard));
        }
        prop_assert!(pair.settle());
        prop_assert_eq!(&pair.ends[1].heard, &forth.concat());
        prop_assert_eq!(&pair.ends[0].heard, &back.concat());
        for end in &pair.ends {
            prop_assert!(end.told && end.stripe.is_finished());
        }
    }

    /// Any offsets, lengths and ends, many of them contradicting each other: what is handed on is a
    /// beginning of the flow, and after a fault nothing more is asked for.
    #[test]
    fn records_that_contradict_each_other_never_give_wrong_bytes(
        flow in vec(any::<u8>(), 1..200),
        picked in vec((any::<prop::sample::Index>(), 1..40_usize, any::<bool>()), 1..60),
    ) {
        let mut stripe = stripe();
        let mut heard = Vec::new();
        for (at, length, ends) in picked {
            let at = at.index(flow.len());
            let record = match ends {
                true => Record::End { size: at as u64 },
                false => data(at as u64, &flow[at..flow.len().min(at + length)]),
            };
            if stripe.take(record).is_err() {
                break;
            }
            heard.extend(popped(&mut stripe));
        }
        prop_assert!(flow.starts_with(&heard));
    }
}

/// A record that a hostile peer may say: numbers near what matters, and far away.
fn any_record() -> impl Strategy<Value = Record> {
    let near = 0..2 * FIRST_LIMIT;
    let number = prop_oneof![4 => near.clone(), 1 => 0..=varint::MAX];
    prop_oneof![
        4 => (near, 1..65_536_usize).prop_map(|(offset, length)| data(offset, &vec![7; length])),
        1 => number.clone().prop_map(|size| Record::End { size }),
        4 => (number.clone(), number)
            .prop_map(|(received, limit)| Record::Received { received, limit }),
    ]
}

proptest! {
    /// Whatever a peer says, and however seldom the application takes what has come: what is kept of
    /// either direction has its bound, nothing goes that was not handed in, and nothing panics.
    #[test]
    fn a_hostile_peer_has_no_more_kept_than_the_window(
        said_first in vec((any_record(), any::<bool>(), 0..LANES), 1..80),
    ) {
        let mut stripe = stripe();
        (1..LANES).for_each(|lane| assert!(stripe.join(lane)));
        let (mut handed_in, mut sent, mut come, mut taken) = (0_u64, 0_u64, 0_u64, 0_u64);
        let mut word = 0_u64;
        for (record, takes, lane) in said_first {
            if let Record::Received { received, .. } = record {
                word = word.max(received.min(sent));
            }
            if let Record::Data { offset, data } = &record {
                come = come.max(offset + data.len() as u64);
            }
            if stripe.take(record).is_err() {
                break;
            }
            if takes {
                taken += popped(&mut stripe).len() as u64;
            }
            prop_assert!(come <= taken + FIRST_LIMIT);
            while stripe.room() > 0 && stripe.ahead() < 16 {
                let room = stripe.room().min(10_000);
                said(&mut stripe, &vec![7; room]);
                handed_in += room as u64;
            }
            prop_assert!(handed_in <= word + FIRST_LIMIT);
            while let Some(record) = stripe.next(lane) {
                if let Record::Data { offset, data } = record {
                    sent = sent.max(offset + data.len() as u64);
                }
            }
            prop_assert!(sent <= handed_in);
        }
    }
}

#[test]
fn a_gap_holds_back_what_is_behind_it() {
    let mut stripe = stripe();
    stripe.take(data(3, b"def")).unwrap();
    stripe.take(Record::End { size: 6 }).unwrap();
    assert_eq!(stripe.pop(), None);
    assert!(!stripe.at_end());
    stripe.take(data(0, b"abc")).unwrap();
    assert_eq!(popped(&mut stripe), b"abcdef");
    assert!(stripe.at_end());
}

#[test]
fn a_repetition_is_passed_over_and_an_overlap_is_a_fault() {
    let mut stripe = stripe();
    stripe.take(data(4, b"efgh")).unwrap();
    stripe.take(data(4, b"EFGH")).unwrap();
    for (offset, bytes) in [(2, &b"cdef"[..]), (4, b"ef"), (6, b"ghi"), (5, b"f")] {
        let fault = stripe.take(data(offset, bytes)).unwrap_err();
        assert_eq!(fault, Fault::Overlap(offset));
        assert_eq!(fault.code(), StreamCode::BadShard);
    }
    stripe.take(data(0, b"abcd")).unwrap();
    assert_eq!(popped(&mut stripe), b"abcdefgh");
    stripe.take(data(0, b"abcd")).unwrap();
    assert_eq!(stripe.take(data(6, b"ghi")), Err(Fault::Overlap(6)));
}

#[test]
fn nothing_ends_behind_the_limit_and_the_limit_grows_as_the_application_takes() {
    let mut stripe = stripe();
    let whole = vec![7; FIRST_LIMIT as usize + 1];
    let end = FIRST_LIMIT + 1;
    let limit = FIRST_LIMIT;
    let first = Record::Received { received: 0, limit };
    assert_eq!(stripe.next(0), Some(first));
    assert_eq!(
        stripe.take(data(0, &whole)),
        Err(Fault::Limit { end, limit })
    );
    stripe.take(data(0, &whole[1..])).unwrap();
    assert_eq!(stripe.next(0), None);
    assert_eq!(stripe.pop().map(|data| data.len()), Some(limit as usize));
    let told = Record::Received {
        received: limit,
        limit: 2 * limit,
    };
    assert_eq!(stripe.next(0), Some(told));
    stripe.take(data(limit, &whole[1..])).unwrap();
}

#[test]
fn a_sender_keeps_to_the_limit_and_to_the_number_of_chunks() {
    let mut sender = stripe();
    for _ in 0..MAX_CHUNKS {
        assert!(sender.room() > 0);
        said(&mut sender, b"x");
    }
    assert_eq!(sender.room(), 0);
    while sender.next(0).is_some() {}
    let received = MAX_CHUNKS as u64;
    let limit = received + 5;
    sender
        .take(Record::Received { received, limit: 0 })
        .unwrap();
    sender
        .take(Record::Received { received: 1, limit })
        .unwrap();
    // A limit is never taken back.
    assert_eq!(sender.room() as u64, 65_536);
    let more = received + 1;
    let word = Record::Received {
        received: more,
        limit,
    };
    assert_eq!(sender.take(word), Err(Fault::Received(more)));
}

#[test]
fn a_sender_keeps_no_more_than_its_window_whatever_limit_it_is_told() {
    let mut sender = stripe();
    let (received, limit) = (0, varint::MAX);
    sender.take(Record::Received { received, limit }).unwrap();
    let mut kept = 0;
    while sender.room() > 0 {
        let chunk = vec![7; sender.room()];
        said(&mut sender, &chunk);
        kept += chunk.len() as u64;
        while sender.next(0).is_some() {}
    }
    assert_eq!(kept, FIRST_LIMIT);
    let received = 1000;
    sender.take(Record::Received { received, limit }).unwrap();
    assert_eq!(sender.room(), 1000);
}

#[test]
fn a_receiver_with_a_large_window_has_no_sender_with_a_small_one_wait() {
    let mut receiver = Stripe::new(64 * FIRST_LIMIT);
    assert!(matches!(receiver.next(0), Some(Record::Received { .. })));
    receiver
        .take(data(0, &[7; TOLD_BYTES as usize - 1]))
        .unwrap();
    popped(&mut receiver);
    assert_eq!(receiver.next(0), None);
    receiver.take(data(TOLD_BYTES - 1, b"x")).unwrap();
    popped(&mut receiver);
    let told = receiver.next(0);
    assert!(matches!(told, Some(Record::Received { received, .. }) if received == TOLD_BYTES));
}

#[test]
fn what_never_went_cannot_have_come() {
    let mut sender = stripe();
    for chunk in [b"a", b"b"] {
        said(&mut sender, chunk);
    }
    sender.finish();
    assert!(matches!(sender.next(0), Some(Record::Received { .. })));
    assert_eq!(sender.next(0), Some(data(0, b"a")));
    let word = |received| Record::Received { received, limit: 0 };
    sender.take(word(1)).unwrap();
    assert_eq!(sender.take(word(2)), Err(Fault::Received(2)));
    assert_eq!(sender.next(0), Some(data(1, b"b")));
    sender.take(word(2)).unwrap();
    assert_eq!(sender.take(word(3)), Err(Fault::Received(3)));
    assert_eq!(sender.next(0), Some(Record::End { size: 2 }));
    sender.take(word(3)).unwrap();
}

#[test]
fn what_went_with_a_lane_that_is_lost_may_have_come_all_the_same() {
    let mut sender = stripe();
    assert!(sender.join(1));
    said(&mut sender, b"ab");
    sender.finish();
    assert!(matches!(sender.next(0), Some(Record::Received { .. })));
    assert_eq!(sender.next(1), Some(data(0, b"ab")));
    assert_eq!(sender.next(1), Some(Record::End { size: 2 }));
    sender.lane_lost(1).unwrap();
    sender
        .take(Record::Received {
            received: 3,
            limit: 0,
        })
        .unwrap();
    assert!(matches!(sender.next(0), Some(Record::Received { .. })));
    assert_eq!(sender.next(0), None);
}

#[test]
fn a_lane_that_is_gone_is_not_opened_again() {
    let mut stripe = stripe();
    assert!(stripe.join(1));
    stripe.lane_lost(1).unwrap();
    assert!(!stripe.join(1));
    assert!(!stripe.join(0));
    assert_eq!(stripe.lanes(), 1);
}

#[test]
fn a_receiver_keeps_no_more_chunks_than_a_sender_may_have_on_the_way() {
    let mut stripe = stripe();
    for chunk in 0..MAX_CHUNKS as u64 {
        stripe.take(data(1 + chunk * 2, b"x")).unwrap();
    }
    let one_more = 1 + 2 * MAX_CHUNKS as u64;
    assert_eq!(stripe.take(data(one_more, b"x")), Err(Fault::Chunks));
}

#[test]
fn two_ends_and_data_behind_the_end_are_faults() {
    let mut stripe = stripe();
    stripe.take(data(2, b"cd")).unwrap();
    assert_eq!(stripe.take(Record::End { size: 3 }), Err(Fault::End(3)));
    stripe.take(Record::End { size: 6 }).unwrap();
    stripe.take(Record::End { size: 6 }).unwrap();
    assert_eq!(stripe.take(Record::End { size: 7 }), Err(Fault::End(7)));
    assert_eq!(stripe.take(data(4, b"efg")), Err(Fault::End(7)));
}

#[test]
fn what_a_lost_lane_had_goes_first_on_another() {
    let mut sender = stripe();
    assert!(sender.join(1) && !sender.join(1) && !sender.join(8));
    assert!(matches!(sender.next(0), Some(Record::Received { .. })));
    for chunk in [b"a", b"b", b"c"] {
        said(&mut sender, chunk);
    }
    assert_eq!(sender.next(1), Some(data(0, b"a")));
    assert_eq!(sender.next(0), Some(data(1, b"b")));
    sender.lane_lost(1).unwrap();
    assert_eq!(sender.lanes(), 1);
    assert!(matches!(sender.next(0), Some(Record::Received { .. })));
    assert_eq!(sender.next(0), Some(data(0, b"a")));
    assert_eq!(sender.next(0), Some(data(2, b"c")));
    assert_eq!(sender.next(0), None);
}

#[test]
fn no_lane_gets_more_than_its_share_of_what_may_be_on_the_way() {
    let window = 16 * FIRST_LIMIT;
    let mut sender = Stripe::new(window);
    (1..LANES).for_each(|lane| assert!(sender.join(lane)));
    assert!(matches!(sender.next(0), Some(Record::Received { .. })));
    let (received, limit) = (0, window);
    sender.take(Record::Received { received, limit }).unwrap();
    let chunk = vec![7; 65_536];
    let all = window as usize / chunk.len();
    (0..all).for_each(|_| said(&mut sender, &chunk));
    for lane in 0..LANES {
        assert!(sender.is_due());
        let taken = std::iter::from_fn(|| sender.next(lane)).count();
        assert_eq!(taken, all / usize::from(LANES));
    }
    assert!(!sender.is_due());
}

#[test]
fn without_its_first_lane_the_flow_is_reset() {
    let mut stripe = stripe();
    let fault = stripe.lane_lost(0).unwrap_err();
    assert_eq!((fault, fault.code()), (Fault::FirstLane, StreamCode::Reset));
}

#[test]
fn the_end_of_a_lane_says_that_the_peer_has_all_and_is_a_fault_before() {
    let mut stripe = stripe();
    assert_eq!(stripe.lane_ended(), Err(Fault::Early));
    stripe.finish();
    assert_eq!(stripe.lane_ended(), Err(Fault::Early));
    stripe.take(Record::End { size: 0 }).unwrap();
    stripe.end_told();
    // It cannot have an end that never went.
    assert_eq!(stripe.lane_ended(), Err(Fault::Early));
    while stripe.next(0).is_some() {}
    assert!(!stripe.is_finished());
    stripe.lane_ended().unwrap();
    assert!(stripe.is_finished());
    // The last lane may go then.
    stripe.lane_lost(0).unwrap();
}

#[test]
fn whoever_has_said_anything_has_taken_the_flow() {
    let mut one = stripe();
    assert!(!one.answered());
    let limit = FIRST_LIMIT;
    one.take(Record::Received { received: 0, limit }).unwrap();
    assert!(one.answered());
}
