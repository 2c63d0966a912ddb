//! Every frame comes back as it was written; whatever bytes come are read, refused or waited for.

use std::net::SocketAddr;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use stoq_wire::bare::BareId;
use stoq_wire::control::MAX_LEAF_LEN;
use stoq_wire::extension::Negotiated;
use stoq_wire::frame::beside::{Beside, InnerCid};
use stoq_wire::frame::carrier::{Carrier, admit, takes_streams};
use stoq_wire::frame::hop::{
    Hop, MAX_GATEWAYS, MAX_ORIGIN_LEN, MAX_PACKET_LEN, Route, RouteId, packet_frame,
    packet_overhead,
};
use stoq_wire::frame::key::Key;
use stoq_wire::frame::seed::{Seed, SeedForm, WHOLE};
use stoq_wire::frame::shard::{
    MAX_RANGES, MAX_SHARD_LEN, MAX_SHARDS, Manifest, Range, Shard, ShardBody, TransferId,
};
use stoq_wire::frame::signature::{Signature, Subject};
use stoq_wire::frame::token::{MAX_COVERED, PacketToken, StreamForm, StreamToken, Token};
use stoq_wire::frame::{Frame, FrameError, FrameType, MAX_FRAME_LEN, MAX_IDENTITY_LEN};
use stoq_wire::packet::{StoqPacket, check, reserve};
use stoq_wire::{extension, varint};

const ALL: u64 = u64::MAX;

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes).unwrap();
    bytes
}

fn agreed(reserve: usize) -> Negotiated {
    Negotiated {
        extensions: ALL,
        reserve,
        send_shard: MAX_SHARD_LEN,
        receive_shard: MAX_SHARD_LEN,
    }
}

fn data() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 1..300).prop_map(Bytes::from)
}

fn identity() -> impl Strategy<Value = String> {
    vec(0x21u8..=0x7e, 1..60).prop_map(|bytes| String::from_utf8(bytes).unwrap())
}

fn tokens() -> impl Strategy<Value = Frame> {
    let forms = prop_oneof![Just(StreamForm::Message), Just(StreamForm::Interval)];
    let fields = (forms, 0..=varint::MAX, 1..=MAX_COVERED, any::<[u8; 32]>());
    let of_streams = fields.prop_map(|(form, sequence, length, tag)| {
        Token::Stream(StreamToken {
            form,
            sequence,
            length,
            tag,
        })
    });
    prop_oneof![of_streams, of_packets().prop_map(Token::Packet)].prop_map(Frame::Token)
}

fn of_packets() -> impl Strategy<Value = PacketToken> {
    any::<[u8; 16]>().prop_map(|tag| PacketToken { tag })
}

fn bodies() -> impl Strategy<Value = ShardBody> {
    let manifest = (vec(any::<[u8; 32]>(), 0..9), 1..5000u64, any::<[u8; 32]>()).prop_map(
        |(digests, shard_size, digest)| {
            let size = digests.len() as u64 * shard_size;
            ShardBody::Manifest(Manifest {
                size,
                shard_size,
                digest,
                digests,
            })
        },
    );
    let bulk = (0..=varint::MAX, any::<[u8; 32]>()).prop_map(|(size, digest)| {
        ShardBody::Manifest(Manifest {
            size,
            shard_size: 0,
            digest,
            digests: Vec::new(),
        })
    });
    let offsets = 0..varint::MAX - 300;
    let want = vec((1..1u64 << 40, 1..1u64 << 40), 0..9).prop_map(|steps| {
        let mut next = 0;
        let range = |(gap, length)| {
            let offset = next + gap;
            next = offset + length;
            Range { offset, length }
        };
        ShardBody::Want(steps.into_iter().map(range).collect())
    });
    prop_oneof![
        manifest,
        bulk,
        (offsets.clone(), data()).prop_map(|(offset, data)| ShardBody::Object { offset, data }),
        (offsets, any::<[u8; 32]>(), data()).prop_map(|(offset, digest, data)| ShardBody::Bulk {
            offset,
            digest,
            data
        }),
        want,
    ]
}

fn hops() -> impl Strategy<Value = Frame> {
    let open = (
        any::<[u8; 16]>(),
        vec(identity(), 1..=MAX_GATEWAYS),
        any::<SocketAddr>(),
        identity(),
        any::<prop::sample::Index>(),
    )
        .prop_map(|(id, gateways, address, identity, at)| {
            Hop::Open(Route {
                id: RouteId(id),
                position: at.index(gateways.len()) as u8,
                gateways,
                // The wire has no scope and no flow label.
                destination: SocketAddr::new(address.ip(), address.port()),
                identity,
            })
        });
    let packet = (0..=varint::MAX, data()).prop_map(|(tunnel, data)| Hop::Packet { tunnel, data });
    let origin = data().prop_map(Hop::Origin);
    let cid = || vec(any::<u8>(), 1..=16).prop_map(|cid| InnerCid::new(&cid).unwrap());
    let forward =
        (any::<[u8; 16]>(), cid(), cid()).prop_map(|(id, source, destination)| Beside::Forward {
            id: BareId(id),
            source,
            destination,
        });
    let forwarded = any::<[u8; 16]>().prop_map(|id| Beside::Forwarded(BareId(id)));
    let seen = any::<[u8; 8]>().prop_map(Beside::Seen);
    let beside = prop_oneof![forward, forwarded, seen].prop_map(Hop::Beside);
    prop_oneof![open, packet, origin, beside].prop_map(Frame::Hop)
}

fn signatures() -> impl Strategy<Value = Frame> {
    let subjects = prop::sample::select(vec![
        Subject::Manifest,
        Subject::Route,
        Subject::Snapshot,
        Subject::Key,
    ]);
    let shapes = prop::sample::select(vec![(666, 0x39), (1280, 0x3a)]);
    let rest = (
        any::<[u8; 32]>(),
        0..=varint::MAX,
        any::<[u8; 32]>(),
        any::<u8>(),
    );
    (subjects, shapes, rest).prop_map(
        |(subject, (length, first), (key_id, until, digest, fill))| {
            let mut signature = vec![fill; length];
            signature[0] = first;
            Frame::Signature(Signature {
                subject,
                key_id,
                until,
                digest,
                signature,
            })
        },
    )
}

fn keys() -> impl Strategy<Value = Frame> {
    let shapes = prop::sample::select(vec![(897, 9), (1793, 10)]);
    let keys = (0..3, any::<[u8; 32]>(), shapes, any::<u8>()).prop_map(
        |(form, old, (length, first), fill)| {
            let mut key = vec![fill; length];
            key[0] = first;
            Frame::Key(match form {
                0 => Key::Announce { key },
                1 => Key::Rotate { old, key },
                _ => Key::Revoke { old },
            })
        },
    );
    let leaves = prop::collection::vec(any::<u8>(), 1..=MAX_LEAF_LEN);
    let certificates = leaves.prop_map(|leaf| Frame::Key(Key::Certificate { leaf }));
    prop_oneof![keys, certificates]
}

fn frames() -> impl Strategy<Value = Frame> {
    let shard = (any::<[u8; 16]>(), bodies()).prop_map(|(id, body)| {
        Frame::Shard(Shard {
            transfer: TransferId(id),
            body,
        })
    });
    let seed = (any::<bool>(), any::<[u8; 16]>(), 1..=WHOLE, identity()).prop_map(
        |(flow, id, share, primary)| {
            let form = if flow {
                SeedForm::Flow
            } else {
                SeedForm::Object
            };
            Frame::Seed(Seed {
                form,
                id,
                share,
                primary,
            })
        },
    );
    prop_oneof![tokens(), shard, hops(), seed, signatures(), keys()]
}

/// The largest frame of each form that has a length.
fn longest() -> Vec<Frame> {
    let shard = |body| {
        Frame::Shard(Shard {
            transfer: TransferId([1; 16]),
            body,
        })
    };
    let most = Bytes::from(vec![7; MAX_SHARD_LEN as usize]);
    let name = "x".repeat(MAX_IDENTITY_LEN as usize);
    vec![
        shard(ShardBody::Bulk {
            offset: varint::MAX - MAX_SHARD_LEN,
            digest: [2; 32],
            data: most.clone(),
        }),
        shard(ShardBody::Object {
            offset: varint::MAX - MAX_SHARD_LEN,
            data: most,
        }),
        shard(ShardBody::Manifest(Manifest {
            size: MAX_SHARDS * MAX_SHARD_LEN,
            shard_size: MAX_SHARD_LEN,
            digest: [3; 32],
            digests: vec![[4; 32]; MAX_SHARDS as usize],
        })),
        shard(ShardBody::Want(
            (0..MAX_RANGES as u64)
                .map(|at| Range {
                    offset: at * 2,
                    length: 1,
                })
                .collect(),
        )),
        Frame::Hop(Hop::Packet {
            tunnel: varint::MAX,
            data: Bytes::from(vec![8; MAX_PACKET_LEN as usize]),
        }),
        Frame::Hop(Hop::Origin(Bytes::from(vec![9; MAX_ORIGIN_LEN as usize]))),
        Frame::Hop(Hop::Open(Route {
            id: RouteId([9; 16]),
            position: 7,
            gateways: vec![name.clone(); MAX_GATEWAYS],
            destination: "[fd00::1]:65535".parse().unwrap(),
            identity: name,
        })),
    ]
}

#[test]
fn the_longest_of_each_frame_is_read_and_none_is_longer_than_the_limit() {
    let mut lengths = Vec::new();
    for frame in longest() {
        let bytes = encoded(&frame);
        lengths.push(bytes.len());
        assert_eq!(Frame::decode(&bytes), Ok(Some((frame, bytes.len()))));
    }
    // The length of 1 MiB is said in four bytes.
    assert_eq!(lengths.into_iter().max(), Some(MAX_FRAME_LEN - 4));
}

#[test]
fn what_is_beyond_a_limit_is_not_written() {
    for mut frame in longest() {
        match &mut frame {
            Frame::Shard(Shard { body, .. }) => match body {
                ShardBody::Bulk { data, .. } | ShardBody::Object { data, .. } => {
                    *data = Bytes::from(vec![0; MAX_SHARD_LEN as usize + 1]);
                }
                ShardBody::Manifest(manifest) => manifest.size += 1,
                ShardBody::Want(ranges) => ranges.push(Range {
                    offset: 9999,
                    length: 1,
                }),
            },
            Frame::Hop(Hop::Packet { data, .. }) => {
                *data = Bytes::from(vec![0; MAX_PACKET_LEN as usize + 1]);
            }
            Frame::Hop(Hop::Origin(leaf)) => {
                *leaf = Bytes::from(vec![0; MAX_ORIGIN_LEN as usize + 1]);
            }
            Frame::Hop(Hop::Open(route)) => route.identity.push('x'),
            other => panic!("{other:?}"),
        }
        let mut out = vec![1, 2, 3];
        let refused = frame.encode(&mut out).unwrap_err();
        assert!(matches!(refused, FrameError::Value { .. }), "{refused}");
        assert_eq!(out, [1, 2, 3], "nothing of it is left behind");
    }
}

#[test]
fn a_length_beyond_its_limit_is_refused_before_the_data_is_there() {
    let mut bytes = Vec::new();
    varint::write(FrameType::Shard.as_u64(), &mut bytes);
    bytes.push(1);
    bytes.extend([0; 16]);
    varint::write(0, &mut bytes);
    varint::write(MAX_SHARD_LEN + 1, &mut bytes);
    let refused = Frame::decode(&bytes).unwrap_err();
    assert!(refused.to_string().contains("1048577"), "{refused}");
}

#[test]
fn nothing_at_all_is_no_frame_yet() {
    assert_eq!(Frame::decode(&[]), Ok(None));
}

#[test]
fn a_frame_is_admitted_by_the_table_and_its_extension_alone() {
    let mut admitted = 0;
    for kind in FrameType::ALL {
        for form in 0..=u8::MAX {
            for carrier in Carrier::ALL {
                let refused = admit(kind, form, carrier, 0).unwrap_err();
                match admit(kind, form, carrier, ALL) {
                    Ok(()) => {
                        admitted += 1;
                        assert!(matches!(refused, FrameError::NotInUse { .. }));
                    }
                    Err(error) => assert_eq!(error, refused),
                }
            }
        }
    }
    assert_eq!(admitted, 26, "the table of the wire format");
}

#[test]
fn streams_of_frames_are_taken_where_an_extension_needs_them() {
    assert!(!takes_streams(0));
    assert!(!takes_streams(
        extension::STREAM_TOKENS | extension::PACKET_TOKENS
    ));
    assert!(takes_streams(extension::HOPS));
}

#[test]
fn more_data_than_was_announced_is_refused() {
    let shard = |body| {
        Frame::Shard(Shard {
            transfer: TransferId([0; 16]),
            body,
        })
    };
    let manifest = |shard_size| {
        shard(ShardBody::Manifest(Manifest {
            size: 0,
            shard_size,
            digest: [0; 32],
            digests: vec![],
        }))
    };
    let data = Bytes::from_static(b"four");
    let most = |receive_shard| Negotiated {
        receive_shard,
        ..agreed(0)
    };
    let takes = |frame: &Frame, most_taken| {
        let found = check(frame, Carrier::Stream, &most(most_taken));
        assert!(matches!(found, Ok(()) | Err(FrameError::Shard { .. })));
        found.is_ok()
    };
    for frame in [shard(ShardBody::Object { offset: 0, data }), manifest(4)] {
        assert!(takes(&frame, 4));
        assert!(!takes(&frame, 3));
    }
    assert!(takes(&manifest(0), 1));
    assert!(
        !takes(&manifest(0), 0),
        "no transfer comes to who takes no data"
    );
    assert!(takes(&shard(ShardBody::Want(vec![])), 0));
}

proptest! {
    #[test]
    fn a_packet_is_framed_at_once_as_its_frame_is_written(
        tunnel in 0..=varint::MAX,
        data in proptest::collection::vec(any::<u8>(), 1..2000),
    ) {
        let made = packet_frame(tunnel, &data);
        prop_assert_eq!(made.len(), data.len() + packet_overhead(tunnel, data.len()));
        let mut written = Vec::new();
        Frame::Hop(Hop::Packet { tunnel, data: data.into() }).encode(&mut written).unwrap();
        prop_assert_eq!(&made[..], &written[..]);
    }

    #[test]
    fn frames_come_back(frame in frames(), rest in vec(any::<u8>(), 0..20)) {
        let mut bytes = encoded(&frame);
        let length = bytes.len();
        bytes.extend(rest);
        let expected = Ok(Some((frame, length)));
        prop_assert_eq!(Frame::decode(&bytes), expected.clone());
        prop_assert_eq!(Frame::decode_shared(&Bytes::from(bytes)), expected);
    }

    #[test]
    fn the_rest_of_a_frame_is_waited_for(frame in frames(), at in any::<prop::sample::Index>()) {
        let bytes = encoded(&frame);
        prop_assert_eq!(Frame::decode(&bytes[..at.index(bytes.len())]), Ok(None));
    }

    #[test]
    fn any_bytes_after_a_type_are_read_refused_or_waited_for(
        kind in prop::sample::select(FrameType::ALL.to_vec()),
        form in 0u8..5,
        rest in vec(any::<u8>(), 0..400),
    ) {
        let mut bytes = Vec::new();
        varint::write(kind.as_u64(), &mut bytes);
        bytes.push(form);
        bytes.extend(rest);
        if let Ok(Some((frame, used))) = Frame::decode(&bytes) {
            prop_assert!(used <= bytes.len());
            let again = encoded(&frame);
            prop_assert_eq!(Frame::decode(&again), Ok(Some((frame, again.len()))));
        }
    }

    #[test]
    fn a_changed_frame_is_read_refused_or_waited_for(
        frame in frames(),
        at in any::<prop::sample::Index>(),
        to: u8,
    ) {
        let mut bytes = encoded(&frame);
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(Some((_, used))) = Frame::decode(&bytes) {
            prop_assert!(used <= bytes.len());
        }
    }

    #[test]
    fn a_token_in_the_reserve_comes_back(
        token in of_packets(),
        payload in vec(any::<u8>(), 0..100),
        size in 0usize..=256,
    ) {
        let frame = Frame::Token(Token::Packet(token));
        let mut packet = payload.clone();
        packet.resize(payload.len() + size, 0xaa);
        let needed = encoded(&frame).len();
        let written = reserve::write(Some(&token), &mut packet[payload.len()..]);
        prop_assert_eq!(written.is_ok(), needed <= size);
        let found = StoqPacket::from_packet(&Bytes::from(packet), &agreed(size));
        // Nothing but zeros was left of what did not fit.
        let expected = StoqPacket {
            payload: Bytes::from(payload),
            token: written.is_ok().then_some(Token::Packet(token)),
            ..StoqPacket::default()
        };
        prop_assert_eq!(found, Ok(expected));
    }

    #[test]
    fn no_frame_but_a_packets_token_is_taken_from_the_reserve(frame in frames()) {
        let bytes = encoded(&frame);
        let found = StoqPacket::from_packet(&Bytes::from(bytes.clone()), &agreed(bytes.len()));
        match frame {
            Frame::Token(token @ Token::Packet(_)) => {
                prop_assert_eq!(found.map(|packet| packet.token), Ok(Some(token)));
            }
            _ => {
                let wrong = matches!(found, Err(FrameError::Carrier { .. }));
                prop_assert!(wrong, "{:?}", found);
            }
        }
    }

    #[test]
    fn any_payload_is_split_or_refused(
        payload in vec(prop_oneof![Just(0u8), any::<u8>()], 0..300),
        size in 0usize..=256,
    ) {
        if let Ok((length, _)) = reserve::read(&payload, &agreed(size)) {
            prop_assert_eq!(length + size, payload.len());
        }
    }

    #[test]
    fn a_datagram_has_one_frame(frame in frames(), more in vec(any::<u8>(), 1..4)) {
        let mut bytes = encoded(&frame);
        let admitted = admit(frame.kind(), frame.form(), Carrier::Datagram, ALL);
        let read = |bytes: &[u8]| {
            StoqPacket::from_datagram(&Bytes::copy_from_slice(bytes), &agreed(0))
        };
        let cut = bytes.len() - 1;
        prop_assert_eq!(read(&bytes[..cut]), Err(FrameError::Truncated(cut)));
        match read(&bytes) {
            Ok(packet) => {
                prop_assert_eq!(packet.frames().collect::<Vec<_>>(), vec![frame]);
                let mut again = Vec::new();
                packet.encode(Carrier::Datagram, &agreed(0), &mut again).unwrap();
                prop_assert_eq!(&again, &bytes);
            }
            Err(error) => prop_assert_eq!(Err(error), admitted),
        }
        bytes.extend(&more);
        prop_assert_eq!(read(&bytes), Err(FrameError::Trailing(more.len())));
    }
}

#[test]
fn a_reserve_that_is_not_as_agreed_is_refused() {
    let token = Token::Packet(PacketToken { tag: [1; 16] });
    let one = encoded(&Frame::Token(token));
    let read = |bytes: &[u8], reserve| reserve::read(bytes, &agreed(reserve)).unwrap_err();
    let missing = FrameError::NoReserve {
        length: 3,
        reserve: 4,
    };
    assert_eq!(read(&[0; 3], 4), missing);
    assert_eq!(
        read(&[one.clone(), one.clone()].concat(), 2 * one.len()),
        FrameError::Twice("TOKEN")
    );
    assert_eq!(
        read(&[one.as_slice(), &[0, 1]].concat(), one.len() + 2),
        FrameError::Padding
    );
    let cut = &one[..one.len() - 1];
    assert_eq!(read(cut, cut.len()), FrameError::Truncated(cut.len()));
    let without = Negotiated {
        extensions: extension::STREAM_TOKENS,
        ..agreed(one.len())
    };
    let refused = FrameError::NotInUse {
        frame: "TOKEN",
        form: 3,
    };
    assert_eq!(reserve::read(&one, &without), Err(refused));
}
