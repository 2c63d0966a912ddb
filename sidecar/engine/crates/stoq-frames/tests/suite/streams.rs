//! Frames after each other on a stream.

use bytes::Bytes;
use proptest::prelude::*;
use stoq_frames::stream::{FrameReader, Item, StreamFault};
use stoq_wire::extension::Negotiated;
use stoq_wire::frame::hop::{Hop, Route, RouteId};
use stoq_wire::frame::key::Key;
use stoq_wire::frame::seed::{Seed, SeedForm};
use stoq_wire::frame::shard::{Shard, ShardBody, TransferId};
use stoq_wire::frame::{Frame, FrameError};

const AGREED: Negotiated = Negotiated {
    extensions: u64::MAX,
    reserve: 0,
    send_shard: 100,
    receive_shard: 100,
};

fn shard() -> Frame {
    Frame::Shard(Shard {
        transfer: TransferId([1; 16]),
        body: ShardBody::Object {
            offset: 0,
            data: Bytes::from_static(b"data"),
        },
    })
}

fn open() -> Frame {
    Frame::Hop(Hop::Open(Route {
        id: RouteId([2; 16]),
        position: 0,
        gateways: vec!["spiffe://a/ns/b/sa/c".to_owned()],
        destination: "10.0.0.1:14008".parse().unwrap(),
        identity: "spiffe://a/ns/b/sa/d".to_owned(),
    }))
}

fn packet() -> Frame {
    Frame::Hop(Hop::Packet {
        tunnel: 0,
        data: Bytes::from_static(b"inner"),
    })
}

fn seed(form: SeedForm) -> Frame {
    Frame::Seed(Seed {
        form,
        id: [3; 16],
        share: 1,
        primary: "spiffe://a/ns/b/sa/d".to_owned(),
    })
}

fn key() -> Frame {
    Frame::Key(Key::Revoke { old: [4; 32] })
}

fn encoded(frames: &[Frame]) -> Vec<u8> {
    let mut out = Vec::new();
    frames
        .iter()
        .for_each(|frame| frame.encode(&mut out).unwrap());
    out
}

/// What comes of a stream that arrives in pieces of `step` bytes.
fn read(stream: &[u8], step: usize) -> Result<Vec<Item>, StreamFault> {
    let (mut reader, mut found) = (FrameReader::new(AGREED), Vec::new());
    for piece in stream.chunks(step) {
        reader.push(piece);
        while let Some(item) = reader.next_item()? {
            found.push(item);
        }
    }
    reader.finish().map(|()| found)
}

proptest! {
    #[test]
    fn the_frames_of_a_stream_come_in_any_pieces(step in 1usize..200) {
        for frames in [
            vec![key(), shard(), key(), shard()],
            vec![open(), packet(), packet()],
            vec![key(), seed(SeedForm::Object), shard()],
            vec![],
        ] {
            let found = read(&encoded(&frames), step).unwrap();
            prop_assert_eq!(found, frames.into_iter().map(Item::Frame).collect::<Vec<_>>());
        }
    }

    #[test]
    fn any_bytes_are_items_or_a_fault(
        start in 0usize..4,
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        step in 1usize..50,
    ) {
        let first = [vec![], vec![shard()], vec![open()], vec![seed(SeedForm::Object)]];
        let mut stream = encoded(&first[start]);
        stream.extend(bytes);
        if let Ok(items) = read(&stream, step) {
            prop_assert!(items.len() <= stream.len());
        }
    }
}

#[test]
fn the_bytes_of_a_mirrored_flow_follow_raw() {
    let mut stream = encoded(&[seed(SeedForm::Flow)]);
    stream.extend(b"raw bytes");
    let items = read(&stream, 7).unwrap();
    let raw = |item: &Item| match item {
        Item::Raw(bytes) => bytes.to_vec(),
        Item::Frame(_) => vec![],
    };
    assert_eq!(items[0], Item::Frame(seed(SeedForm::Flow)));
    assert_eq!(items.iter().flat_map(raw).collect::<Vec<_>>(), b"raw bytes");
}

#[test]
fn a_frame_that_does_not_belong_there_is_a_fault() {
    for (frames, name) in [
        (vec![packet()], "HOP"),
        (vec![shard(), open()], "HOP"),
        (vec![open(), open()], "HOP"),
        (vec![open(), shard()], "SHARD"),
        (vec![seed(SeedForm::Object), seed(SeedForm::Object)], "SEED"),
    ] {
        assert_eq!(
            read(&encoded(&frames), 999),
            Err(StreamFault::Misplaced(name))
        );
    }
}

#[test]
fn the_end_inside_a_frame_is_a_fault() {
    let stream = encoded(&[shard()]);
    let cut = stream.len() - 1;
    let fault = FrameError::Truncated(cut).into();
    assert_eq!(read(&stream[..cut], 5), Err(fault));
}

#[test]
fn a_frame_that_was_not_agreed_on_is_a_fault() {
    let mut reader = FrameReader::new(Negotiated::default());
    reader.push(&encoded(&[shard()]));
    let fault = FrameError::NotInUse {
        frame: "SHARD",
        form: 1,
    };
    assert_eq!(reader.next_item(), Err(fault.into()));
}

#[test]
fn data_beyond_the_maximum_shard_is_refused_before_it_is_there() {
    let long = Frame::Shard(Shard {
        transfer: TransferId([1; 16]),
        body: ShardBody::Object {
            offset: 0,
            data: Bytes::from(vec![0; 1 << 20]),
        },
    });
    let (mut reader, mut pushed) = (FrameReader::new(AGREED), 0);
    let fault = encoded(&[long]).chunks(1000).find_map(|piece| {
        reader.push(piece);
        pushed += piece.len();
        reader.next_item().err()
    });
    assert!(matches!(
        fault,
        Some(StreamFault::Frame(FrameError::Shard { most: 100, .. }))
    ));
    assert!(pushed < 140_000, "{pushed}");
}

#[test]
fn the_answer_to_a_route_is_packets_and_nothing_else() {
    let packet = Frame::Hop(Hop::Packet {
        tunnel: 4,
        data: Bytes::from_static(b"inner"),
    });
    let mut answer = FrameReader::of_tunnel(AGREED);
    answer.push(&encoded(std::slice::from_ref(&packet)));
    assert_eq!(answer.next_item(), Ok(Some(Item::Frame(packet))));
    answer.push(&encoded(&[shard()]));
    assert_eq!(answer.next_item(), Err(StreamFault::Misplaced("SHARD")));
}
