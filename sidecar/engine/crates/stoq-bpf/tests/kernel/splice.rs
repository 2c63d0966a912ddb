//! Frames through `tc_splice`.

use stoq_bpf::{Action, Arrival, End, Pair, Splice};

use crate::frames::*;

const PORT: u16 = 5432;
/// The only interface that is sure to be there is that of both pods.
const LINK: u32 = 1;
const ARRIVAL: Arrival = Arrival {
    ifindex: LINK,
    received_by: 0,
    segments: 0,
};
pub(crate) const FOR_EVER: u64 = u64::MAX;
/// `TC_ACT_REDIRECT`
pub(crate) const REDIRECT: Action = Action::Other(7);

/// Host 1 is the client, host 2 the server, as in [`frame`].
pub(crate) fn pair(ipv6: bool) -> Pair {
    let made = frame(ipv6, TCP, vec![]);
    let end = |address| End {
        ifindex: LINK,
        address,
    };
    Pair {
        client: end(made.source),
        server: end(made.destination),
        port: PORT,
    }
}

fn joined(until_ns: u64) -> Splice {
    let mut splice = Splice::load(None).unwrap();
    for ipv6 in [false, true] {
        splice.join(pair(ipv6), until_ns).unwrap();
    }
    splice
}

fn request(ipv6: bool) -> Frame {
    frame(ipv6, TCP, tcp(40_000, PORT, ACK, b"question"))
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn both_ways_of_a_pair_go_to_the_other_pod_and_are_counted() {
    let mut splice = joined(FOR_EVER);
    for ipv6 in [false, true] {
        let asked = request(ipv6);
        let opened = frame(ipv6, TCP, tcp(40_000, PORT, SYN, b""));
        let answered = asked.back(tcp(PORT, 40_000, ACK, b"answer"));
        let accepted = asked.back(tcp(PORT, 40_000, SYN | ACK, b""));
        for made in [opened, accepted, asked, answered] {
            assert_eq!(
                splice.run(&made.build(), ARRIVAL).unwrap(),
                REDIRECT,
                "{made:?}"
            );
        }
    }
    let before = splice.counts().unwrap();
    assert_eq!((before[0].0, before[0].1.packets), (LINK, 8));
    let large = Arrival {
        segments: 44,
        ..ARRIVAL
    };
    let made = request(true).build();
    splice.run(&made, large).unwrap();
    let after = splice.counts().unwrap()[0].1;
    assert_eq!(after.packets - before[0].1.packets, 44);
    assert_eq!(after.bytes - before[0].1.bytes, made.len() as u64);
}

/// With options of IPv4, or extension headers of IPv6 behind which TCP is all the same.
fn behind_headers(ipv6: bool) -> Vec<Frame> {
    let asked = request(ipv6);
    let chains = if ipv6 {
        vec![
            vec![options(0, 2)],
            vec![options(0, 1), options(43, 1), options(60, 3)],
        ]
    } else {
        vec![vec![(0, vec![1; 8])], vec![(0, vec![1; 40])]]
    };
    let mut made: Vec<_> = chains
        .into_iter()
        .map(|extensions| Frame {
            extensions,
            ..asked.clone()
        })
        .collect();
    // RFC 8200, 4.5: whole in one fragment, it is not fragmented.
    made.push(Frame {
        fragment: Some((0, false)),
        ..asked
    });
    made
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn gso_packets_go_whole_and_count_as_their_segments() {
    let mut splice = joined(FOR_EVER);
    let arrival = Arrival {
        segments: 3,
        ..ARRIVAL
    };
    let mut bytes = 0;
    for ipv6 in [false, true] {
        let asked = frame(ipv6, TCP, tcp(40_000, PORT, ACK, &[1; 3000]));
        let answered = asked.back(tcp(PORT, 40_000, ACK, &[2; 3500]));
        for made in [asked, answered] {
            let large = made.build();
            assert_eq!(splice.run(&large, arrival).unwrap(), REDIRECT, "{ipv6}");
            bytes += large.len() as u64;
        }
    }
    let [(LINK, count)] = splice.counts().unwrap()[..] else {
        panic!("{:?}", splice.counts())
    };
    assert_eq!((count.packets, count.bytes), (4 * 3, bytes));
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn headers_before_tcp_do_not_part_a_pair_and_hide_nothing() {
    let mut splice = joined(FOR_EVER);
    for ipv6 in [false, true] {
        for made in behind_headers(ipv6) {
            assert_eq!(
                splice.run(&made.build(), ARRIVAL).unwrap(),
                REDIRECT,
                "{made:?}"
            );
            let another = Frame {
                transport: tcp(40_000, PORT + 1, ACK, b"question"),
                ..made.clone()
            };
            let udp_behind = Frame {
                protocol: UDP,
                transport: udp(40_000, PORT, b"question"),
                ..made.clone()
            };
            let later = Frame {
                fragment: Some((9, false)),
                ..made.clone()
            };
            let first = Frame {
                fragment: Some((0, true)),
                ..made.clone()
            };
            let twice_tagged = Frame {
                tags: vec![0x88a8, 0x8100],
                ..made
            };
            for passed in [another, udp_behind, later, first, twice_tagged] {
                assert_eq!(
                    splice.run(&passed.build(), ARRIVAL).unwrap(),
                    Action::Pass,
                    "{passed:?}"
                );
            }
        }
    }
    let deep = Frame {
        extensions: vec![options(60, 1); 9],
        ..request(true)
    };
    assert_eq!(splice.run(&deep.build(), ARRIVAL).unwrap(), Action::Pass);
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn a_frame_cut_anywhere_goes_on() {
    let mut splice = joined(FOR_EVER);
    for ipv6 in [false, true] {
        for made in [vec![request(ipv6)], behind_headers(ipv6)].concat() {
            let whole = made.build();
            // Of less than IP's header the kernel makes no test packet.
            for length in 14 + if ipv6 { 40 } else { 20 }..whole.len() {
                let cut = splice.run(&whole[..length], ARRIVAL).unwrap();
                assert_eq!(cut, Action::Pass, "cut at {length}: {made:?}");
            }
        }
    }
    assert_eq!(splice.counts().unwrap()[0].1.packets, 0);
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn what_is_no_pairs_goes_on_as_if_nothing_were_there() {
    let mut splice = joined(FOR_EVER);
    for ipv6 in [false, true] {
        let asked = request(ipv6);
        let stranger = Frame {
            source: if ipv6 { six(3) } else { four(3) },
            ..asked.clone()
        };
        let elsewhere = Frame {
            destination: if ipv6 { six(3) } else { four(3) },
            ..asked.clone()
        };
        let fragment = Frame {
            fragment: Some((0, true)),
            ..asked.clone()
        };
        let tagged = Frame {
            tags: vec![0x8100],
            ..asked.clone()
        };
        for made in [
            stranger,
            elsewhere,
            fragment,
            tagged,
            frame(ipv6, TCP, tcp(40_000, PORT + 1, SYN, b"")),
            frame(ipv6, UDP, udp(40_000, PORT, b"x")),
            // A server that opens a connection from the port that it answers from.
            asked.back(tcp(PORT, 40_000, SYN, b"")),
            // The client has no port that is joined.
            asked.back(tcp(40_000, PORT, SYN, b"")),
        ] {
            assert_eq!(
                splice.run(&made.build(), ARRIVAL).unwrap(),
                Action::Pass,
                "{made:?}"
            );
        }
        let whole = asked.build();
        for short in [14, 20, 40, 60] {
            let cut = splice.run(&whole[..short.min(whole.len())], ARRIVAL);
            assert!(matches!(cut, Ok(Action::Pass) | Err(_)), "{short}: {cut:?}");
        }
    }
    let arp = ethernet(0x0806, &[0; 28]);
    assert_eq!(splice.run(&arp, ARRIVAL).unwrap(), Action::Pass);
    assert_eq!(splice.counts().unwrap()[0].1.packets, 0);
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn a_pair_ends_by_itself_and_when_it_is_parted() {
    let mut splice = joined(1);
    let made = request(true).build();
    assert_eq!(splice.run(&made, ARRIVAL).unwrap(), Action::Pass, "is over");
    splice.join(pair(true), FOR_EVER).unwrap();
    assert_eq!(splice.run(&made, ARRIVAL).unwrap(), REDIRECT, "moved on");
    let mut there = splice.pairs().unwrap();
    there.sort_by_key(|(pair, _)| pair.port + u16::from(pair.client.address.is_ipv6()));
    assert_eq!(there, [(pair(false), 1), (pair(true), FOR_EVER)]);

    assert!(splice.part(pair(true)).unwrap());
    assert!(!splice.part(pair(true)).unwrap());
    assert_eq!(splice.run(&made, ARRIVAL).unwrap(), Action::Pass);
    assert_eq!(splice.pairs().unwrap(), [(pair(false), 1)]);
    assert!(splice.forget(LINK).unwrap());
    assert_eq!(splice.counts().unwrap(), []);
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn only_the_link_of_the_pod_speaks_for_its_address() {
    let mut splice = Splice::load(None).unwrap();
    let elsewhere = End {
        ifindex: LINK + 1,
        ..pair(true).client
    };
    let pair = Pair {
        client: elsewhere,
        ..pair(true)
    };
    splice.join(pair, FOR_EVER).unwrap();
    let spoofed = request(true).build();
    assert_eq!(splice.run(&spoofed, ARRIVAL).unwrap(), Action::Pass);
}
