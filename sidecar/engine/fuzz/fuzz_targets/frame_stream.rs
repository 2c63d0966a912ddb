//! A stream of frames, and the transfers that its shards make.
#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use stoq_frames::shard::{Limits, Outcome, Share, Store};
use stoq_frames::stream::{FrameReader, Item};
use stoq_wire::extension::Negotiated;
use stoq_wire::frame::Frame;
use stoq_wire::frame::shard::MAX_RANGES;

fuzz_target!(|input: &[u8]| {
    let agreed = Negotiated {
        extensions: u64::MAX,
        reserve: 0,
        send_shard: 1000,
        receive_shard: 1000,
    };
    let limits = Limits {
        bytes: 4000,
        transfers: 3,
        each: Share {
            bytes: 3000,
            transfers: 3,
        },
        object: 2000,
        ..Limits::default()
    };
    let (mut reader, mut store, now) =
        (FrameReader::new(agreed), Store::new(limits), Instant::now());
    for piece in input.chunks(50) {
        reader.push(piece);
        loop {
            match reader.next_item() {
                Ok(Some(Item::Frame(Frame::Shard(shard)))) => {
                    let id = shard.transfer;
                    let taken = store.take("spiffe://test/ns/a/sa/b", shard, now);
                    assert!(store.cost() <= limits.bytes);
                    let missing = store.missing(id);
                    assert!(
                        missing
                            .as_ref()
                            .is_none_or(|ranges| ranges.len() <= MAX_RANGES)
                    );
                    if let Ok(Outcome::Taken { whole: true, .. }) = taken {
                        assert_eq!(missing, Some(vec![]));
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    return;
                }
            }
        }
    }
});
