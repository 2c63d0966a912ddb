//! What a peer with a certificate says on a lane of a striped flow, and what becomes of the flow.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use stoq_frames::stripe::Stripe;
use stoq_wire::stripe::{FIRST_LIMIT, Record, StripeError};

/// What a lane of these bytes says when it comes in pieces of `size`.
fn records(input: &[u8], size: usize) -> (Vec<Record>, Option<StripeError>) {
    let (mut stream, mut found) = (BytesMut::new(), Vec::new());
    for piece in input.chunks(size) {
        stream.extend_from_slice(piece);
        loop {
            match Record::take(&mut stream) {
                Ok(Some(record)) => found.push(record),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

/// Has an end of a flow of two lanes take the records, with an application that says and takes
/// something between them, and a lane that is lost in the middle.
fn flow(records: Vec<Record>) {
    let mut stripe = Stripe::new(FIRST_LIMIT);
    assert!(stripe.join(1));
    let middle = records.len() / 2;
    let (mut handed_in, mut handed_on) = (0_u64, 0_u64);
    for (at, record) in records.into_iter().enumerate() {
        if let Err(fault) = stripe.take(record) {
            assert!(!fault.to_string().is_empty());
            return;
        }
        if at % 3 == 0 {
            let ready = std::iter::from_fn(|| stripe.pop());
            handed_on += ready.map(|data| data.len() as u64).sum::<u64>();
        }
        if stripe.at_end() {
            stripe.end_told();
        }
        if at == middle {
            stripe.lane_lost(1).expect("lane 0 is there");
        }
        let room = stripe.room().min(1000);
        stripe.push(vec![7; room].into());
        handed_in += room as u64;
        let lane = if at < middle { at % 2 } else { 0 };
        while let Some(record) = stripe.next(lane as u8) {
            match record {
                Record::Data { offset, data } => assert!(offset + data.len() as u64 <= handed_in),
                Record::Received { received, limit } => {
                    assert!(received <= handed_on + 1 && limit >= FIRST_LIMIT);
                }
                Record::End { .. } => unreachable!("the application says more"),
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let whole = records(input, input.len().max(1));
    assert_eq!(records(input, 7), whole, "it matters how the lane was cut");
    let mut written = Vec::new();
    for record in &whole.0 {
        let (head, data) = record.encode();
        written.extend_from_slice(&head);
        written.extend_from_slice(&data);
    }
    assert_eq!(records(&written, 11), (whole.0.clone(), None));
    flow(whole.0);
});
