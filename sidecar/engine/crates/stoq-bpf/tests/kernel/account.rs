//! Frames through `tc_account`.

use std::collections::HashMap;

use stoq_bpf::{Account, AccountKey, Accounted, Action, Arrival, Class, Direction};

use crate::frames::*;
use Direction::{FromPod, ToPod};

const ARRIVAL: Arrival = Arrival {
    ifindex: 1,
    received_by: 7,
    segments: 0,
};

/// What one frame adds: the account that it changed, and by how much.
fn accounted(
    account: &mut Account,
    direction: Direction,
    frame: &[u8],
    arrival: Arrival,
) -> (AccountKey, Accounted) {
    let before: HashMap<_, _> = account.read().unwrap().into_iter().collect();
    let action = account.run(direction, frame, arrival).unwrap();
    assert_eq!(action, Action::Pass);
    let mut changed = account.read().unwrap();
    changed.retain(|(key, count)| before.get(key) != Some(count));
    let [(key, now)] = changed[..] else {
        panic!("{changed:?}")
    };
    let then = before.get(&key).copied().unwrap_or_default();
    let added = Accounted {
        packets: now.packets - then.packets,
        payload_bytes: now.payload_bytes - then.payload_bytes,
    };
    (key, added)
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn every_packet_has_a_class_and_a_peer() {
    let mut account = Account::load(None).unwrap();
    let first = Frame {
        fragment: Some((0, true)),
        ..frame(true, UDP, udp(1, 2, &[0; 8]))
    };
    for (made, class, bytes) in [
        (frame(true, UDP, udp(1, STOQ, &[0; 30])), Class::Stoq, 30),
        (frame(false, UDP, udp(STOQ, 1, &[0; 30])), Class::Stoq, 30),
        (
            frame(true, UDP, udp(1, CONTROL, &[0; 5])),
            Class::Control,
            5,
        ),
        (frame(false, TCP, tcp(1, STOQ, SYN, b"abc")), Class::Tcp, 3),
        (frame(true, UDP, udp(1, 53, b"ab")), Class::Udp, 2),
        (frame(true, 58, icmp(128)), Class::Icmp, 8),
        (frame(false, 1, icmp(8)), Class::Icmp, 8),
        (frame(false, 132, vec![0; 12]), Class::Other, 12),
        (first.clone(), Class::Udp, 8),
        (
            Frame {
                fragment: Some((1, false)),
                ..first
            },
            Class::Other,
            16,
        ),
        (
            Frame {
                tags: vec![0x8100],
                extensions: vec![options(0, 2)],
                ..frame(true, TCP, tcp(1, 2, ACK, b"x"))
            },
            Class::Tcp,
            1,
        ),
        (
            Frame {
                tags: vec![0x88a8, 0x8100],
                extensions: vec![(0, vec![1; 40])],
                ..frame(false, UDP, udp(1, STOQ, &[0; 9]))
            },
            Class::Stoq,
            9,
        ),
        (
            Frame {
                fragment: Some((9, true)),
                ..frame(false, TCP, tcp(1, 2, ACK, b"xyz"))
            },
            Class::Other,
            23,
        ),
        // RFC 8200, 4.5: whole in one fragment.
        (
            Frame {
                fragment: Some((0, false)),
                ..frame(true, UDP, udp(1, STOQ, &[0; 7]))
            },
            Class::Stoq,
            7,
        ),
    ] {
        let (key, count) = accounted(&mut account, FromPod, &made.build(), ARRIVAL);
        assert_eq!(
            (key.ifindex, key.peer, key.direction),
            (1, made.destination, FromPod)
        );
        assert_eq!(
            (key.class, count),
            (
                class,
                Accounted {
                    packets: 1,
                    payload_bytes: bytes
                }
            ),
            "{made:?}"
        );
    }
    let registry = frame(true, UDP, udp(CONTROL, 1, &[0; 5]));
    let (key, _) = accounted(&mut account, ToPod, &registry.build(), ARRIVAL);
    assert_eq!((key.class, key.peer), (Class::Control, registry.source));
    let (key, _) = accounted(&mut account, FromPod, &registry.build(), ARRIVAL);
    assert_eq!(
        key.class,
        Class::Udp,
        "a pod that only takes the registry's port"
    );
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn what_cannot_be_read_is_accounted_whole_and_to_nobody() {
    let mut account = Account::load(None).unwrap();
    for broken in [
        ethernet(0x0806, &[0; 28]),
        ethernet(0x8100, &[0, 7, 8, 0, 0x45, 0]),
        frame(true, TCP, vec![0; 10]).build(),
        frame(true, TCP, tcp(1, 2, SYN, b"")).build()[..70].to_vec(),
    ] {
        let (key, count) = accounted(&mut account, ToPod, &broken, ARRIVAL);
        assert_eq!(
            (key.class, key.peer.to_string()),
            (Class::Other, "::".into())
        );
        assert_eq!(
            count,
            Accounted {
                packets: 1,
                payload_bytes: broken.len() as u64
            }
        );
    }
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn a_frame_cut_anywhere_is_nobodys() {
    let mut account = Account::load(None).unwrap();
    for ipv6 in [false, true] {
        let made = frame(ipv6, UDP, udp(1, STOQ, &[0; 9]));
        let chained = Frame {
            extensions: vec![if ipv6 { options(0, 2) } else { (0, vec![1; 8]) }],
            ..made.clone()
        };
        for whole in [made.build(), chained.build()] {
            // Of less than IP's header the kernel makes no test packet.
            for length in 14 + if ipv6 { 40 } else { 20 }..whole.len() {
                let (key, count) = accounted(&mut account, FromPod, &whole[..length], ARRIVAL);
                assert_eq!(
                    (key.class, key.peer.to_string(), count.payload_bytes),
                    (Class::Other, "::".into(), length as u64),
                    "cut at {length}, IPv6: {ipv6}"
                );
            }
        }
    }
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn accounts_add_up_and_gso_counts_as_segments_with_each_byte_once() {
    let mut account = Account::load(None).unwrap();
    let large = frame(true, TCP, tcp(1, 2, ACK, &[0; 3000])).build();
    let small = frame(true, TCP, tcp(9, 9, ACK, b"x")).build();
    account
        .run(
            FromPod,
            &large,
            Arrival {
                segments: 44,
                ..ARRIVAL
            },
        )
        .unwrap();
    account.run(FromPod, &small, ARRIVAL).unwrap();
    account.run(ToPod, &small, ARRIVAL).unwrap();
    let mut read = account.read().unwrap();
    read.sort_by_key(|(key, _)| key.direction as u8);
    let counts: Vec<_> = read
        .iter()
        .map(|(_, count)| (count.packets, count.payload_bytes))
        .collect();
    assert_eq!(counts, [(1, 1), (45, 3001)]);
}
