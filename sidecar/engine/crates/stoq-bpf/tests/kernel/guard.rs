//! Frames through `xdp_guard` and `tc_guard`.

use std::time::Duration;

use stoq_bpf::{Action, Guard, Limits, Listing, Rate, Stage, Verdict};

use crate::frames::*;

/// The guards of both stages over `limits`, and what they say of one frame after the other, which
/// must be the same.
struct Judge {
    xdp: Guard,
    tc: Guard,
}

impl Judge {
    fn new(limits: Limits) -> Self {
        let [xdp, tc] = [Stage::Xdp, Stage::Tc].map(|stage| {
            let mut guard = Guard::load(stage, None).unwrap();
            guard.configure(&limits).unwrap();
            guard
        });
        Self { xdp, tc }
    }

    fn list(&mut self, network: &str, listing: Listing) {
        for guard in [&mut self.xdp, &mut self.tc] {
            guard.list(network.parse().unwrap(), listing).unwrap();
        }
    }

    /// The one verdict that was counted, which must agree with what was done.
    fn verdict(&mut self, frame: &[u8]) -> Verdict {
        let verdict = verdict(&mut self.xdp, frame);
        // Others the kernel does not make into packets for a run without a network.
        if (60..3000).contains(&frame.len()) {
            assert_eq!(self::verdict(&mut self.tc, frame), verdict);
        }
        verdict
    }

    fn datagram(&mut self, payload: &[u8]) -> Verdict {
        let four = self.verdict(&frame(false, UDP, udp(40000, STOQ, payload)).build());
        let six = self.verdict(&frame(true, UDP, udp(40000, STOQ, payload)).build());
        assert_eq!(four, six);
        four
    }
}

fn verdict(guard: &mut Guard, frame: &[u8]) -> Verdict {
    let before = guard.counts().unwrap();
    let action = guard.run(frame).unwrap();
    let after = guard.counts().unwrap();
    let changed: Vec<_> = after.iter().zip(&before).filter(|(a, b)| a != b).collect();
    let [(now, then)] = changed[..] else {
        panic!("{changed:?}")
    };
    assert_eq!(now.1.packets - then.1.packets, 1);
    assert_eq!(now.1.bytes - then.1.bytes, frame.len() as u64);
    let passes = (now.0 as u8) < Verdict::Malformed as u8;
    assert_eq!(action == Action::Pass, passes, "{now:?}");
    assert_eq!(action == Action::Drop, !passes, "{now:?}");
    now.0
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn stoq_passes_over_both_families_and_both_ports() {
    let mut judge = Judge::new(Limits::default());
    assert_eq!(judge.datagram(&short(21)), Verdict::Stoq);
    assert_eq!(judge.datagram(&short(1400)), Verdict::Stoq);
    assert_eq!(judge.datagram(&initial(1200)), Verdict::Initial);
    let control = frame(true, UDP, udp(40000, CONTROL, &initial(1200)));
    assert_eq!(judge.verdict(&control.build()), Verdict::Initial);
    // Handshake: length 20 in one byte. Retry: a token of 1 byte and the tag.
    let handshake = long(2, 1, 8, 8, &[&[20][..], &[0; 20]].concat());
    assert_eq!(judge.datagram(&handshake), Verdict::Stoq);
    assert_eq!(judge.datagram(&long(3, 1, 8, 8, &[0; 17])), Verdict::Stoq);
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn what_is_not_for_a_stoq_port_is_left_alone() {
    let mut judge = Judge::new(Limits {
        listed_only: true,
        ..Limits::default()
    });
    for other in [
        frame(true, UDP, udp(STOQ, 53, b"x")).build(),
        frame(true, TCP, tcp(1, STOQ, SYN, b"")).build(),
        frame(false, 1, icmp(8)).build(),
        frame(true, 47, vec![0; 8]).build(),
        ethernet(0x0806, &[0; 28]),
        ethernet(0x88cc, &[]),
        ethernet(0x0800, &[0x45, 0]),
    ] {
        assert_eq!(judge.verdict(&other), Verdict::Other);
    }
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn long_headers_must_be_whole_and_of_version_1() {
    let mut judge = Judge::new(Limits::default());
    for version in [0, 2, 0x6b33_43cf, 0x0100_0000] {
        assert_eq!(
            judge.datagram(&long(0, version, 8, 8, &[0; 40])),
            Verdict::Version
        );
    }
    let zero_rtt = long(1, 1, 8, 8, &[&[20][..], &[0; 20]].concat());
    assert_eq!(judge.datagram(&zero_rtt), Verdict::ZeroRtt);
    for malformed in [
        short(20),
        vec![],
        long(0, 1, 7, 8, &[0; 40]),
        long(0, 1, 21, 8, &[0; 40]),
        long(0, 1, 8, 21, &[0; 40]),
        // The source's connection ID ends behind the datagram.
        long(0, 1, 20, 0, &[])[..26].to_vec(),
        long(0, 1, 8, 20, &[])[..30].to_vec(),
        // A token, then a length, longer than what is left; a length too short to be protected.
        long(0, 1, 8, 8, &[&[0x40, 200][..], &[0; 40]].concat()),
        long(0, 1, 8, 8, &[&[0, 41][..], &[0; 40]].concat()),
        long(0, 1, 8, 8, &[&[0, 19][..], &[0; 40]].concat()),
        // Lengths of 8 bytes, beyond 32 bits and within.
        long(
            0,
            1,
            8,
            8,
            &[&[0xc0, 0, 0, 1, 0, 0, 0, 0][..], &[0; 40]].concat(),
        ),
        long(
            0,
            1,
            8,
            8,
            &[&[0, 0xc0, 0, 0, 0, 0, 0, 0, 41][..], &[0; 40]].concat(),
        ),
        long(2, 1, 8, 8, &[0x80, 0]),
        long(3, 1, 8, 8, &[0; 16]),
    ] {
        assert_eq!(
            judge.datagram(&malformed),
            Verdict::Malformed,
            "{malformed:?}"
        );
    }
    let eight_bytes = long(
        0,
        1,
        8,
        8,
        &[&[0, 0xc0, 0, 0, 0, 0, 0, 0, 40][..], &[0; 40]].concat(),
    );
    assert_eq!(judge.datagram(&eight_bytes), Verdict::Initial);
    let four_bytes = long(0, 1, 8, 8, &[&[0, 0x80, 0, 0, 40][..], &[0; 40]].concat());
    assert_eq!(judge.datagram(&four_bytes), Verdict::Initial);
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn tags_options_and_extension_headers_do_not_hide_stoq() {
    let mut judge = Judge::new(Limits::default());
    let bad = udp(40000, STOQ, &short(20));
    for tags in [vec![0x8100], vec![0x88a8, 0x8100]] {
        for ipv6 in [false, true] {
            let tagged = Frame {
                tags: tags.clone(),
                ..frame(ipv6, UDP, bad.clone())
            };
            assert_eq!(judge.verdict(&tagged.build()), Verdict::Malformed);
        }
    }
    let optioned = Frame {
        extensions: vec![(0, vec![1; 40])],
        ..frame(false, UDP, bad.clone())
    };
    assert_eq!(judge.verdict(&optioned.build()), Verdict::Malformed);
    let chain = vec![
        options(0, 1),
        options(60, 2),
        options(43, 1),
        (51, vec![0; 12]),
        options(60, 1),
    ];
    let mut chained = Frame {
        extensions: chain,
        ..frame(true, UDP, bad)
    };
    chained.extensions[3].1[1] = 1;
    assert_eq!(judge.verdict(&chained.build()), Verdict::Malformed);
    chained.transport = udp(40000, STOQ, &short(21));
    assert_eq!(judge.verdict(&chained.build()), Verdict::Stoq);
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn nobody_hides_behind_more_extension_headers_than_anybody_needs() {
    let mut judge = Judge::new(Limits::default());
    let with = |count| Frame {
        extensions: vec![options(60, 1); count],
        ..frame(true, UDP, udp(40000, STOQ, &short(21)))
    };
    assert_eq!(judge.verdict(&with(8).build()), Verdict::Stoq);
    assert_eq!(judge.verdict(&with(9).build()), Verdict::Malformed);
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn fragments_to_stoq_ports_are_dropped_with_their_first() {
    let mut judge = Judge::new(Limits::default());
    for ipv6 in [false, true] {
        let whole = frame(ipv6, UDP, udp(40000, STOQ, &short(64)));
        let first = Frame {
            fragment: Some((0, true)),
            ..whole.clone()
        };
        assert_eq!(judge.verdict(&first.build()), Verdict::Fragment);
        let later = Frame {
            fragment: Some((9, false)),
            ..whole.clone()
        };
        assert_eq!(judge.verdict(&later.build()), Verdict::Other);
        // The ports come with the next fragment (RFC 3128).
        let tiny = Frame {
            transport: whole.transport[..4].to_vec(),
            ..first
        };
        assert_eq!(judge.verdict(&tiny.build()), Verdict::Malformed);
        let elsewhere = frame(ipv6, UDP, udp(1, 53, &[0; 64]));
        let elsewhere = Frame {
            fragment: Some((0, true)),
            ..elsewhere
        };
        assert_eq!(judge.verdict(&elsewhere.build()), Verdict::Other);
    }
    let atomic = frame(true, UDP, udp(40000, STOQ, &short(64)));
    let atomic = Frame {
        fragment: Some((0, false)),
        ..atomic
    };
    assert_eq!(judge.verdict(&atomic.build()), Verdict::Stoq, "RFC 6946");
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn a_frame_cut_anywhere_is_never_taken_for_more_than_it_is() {
    let mut judge = Judge::new(Limits::default());
    for ipv6 in [false, true] {
        let tagged = Frame {
            tags: vec![0x8100],
            ..frame(ipv6, UDP, udp(40000, STOQ, &initial(1200)))
        };
        let whole = tagged.build();
        for length in 14..120 {
            assert_eq!(
                judge.verdict(&whole[..length]),
                Verdict::Other,
                "cut at {length}"
            );
        }
        assert_eq!(judge.verdict(&whole), Verdict::Initial);
        // Bytes behind the datagram are Ethernet's padding.
        let padded = [
            &frame(ipv6, UDP, udp(40000, STOQ, &short(20))).build()[..],
            &[0; 30],
        ]
        .concat();
        assert_eq!(judge.verdict(&padded), Verdict::Malformed);
    }
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn frames_of_several_buffers_are_read_whole() {
    let mut judge = Judge::new(Limits::default());
    let large = |payload: &[u8]| frame(true, UDP, udp(40000, STOQ, payload)).build();
    assert_eq!(judge.verdict(&large(&short(60_000))), Verdict::Stoq);
    assert_eq!(judge.verdict(&large(&initial(9_000))), Verdict::Initial);
    // The token reaches into the second buffer: the length stands there.
    let token = [&[0x60, 0][..], &vec![1; 8192], &[0x54, 0], &vec![2; 0x1400]].concat();
    assert_eq!(
        judge.verdict(&large(&long(0, 1, 8, 8, &token))),
        Verdict::Initial
    );
    let short_of = [&[0x60, 0][..], &vec![1; 8192], &[0x54, 1], &vec![2; 0x1400]].concat();
    assert_eq!(
        judge.verdict(&large(&long(0, 1, 8, 8, &short_of))),
        Verdict::Malformed
    );
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn a_source_has_its_burst_and_then_its_rate() {
    let rate = Rate {
        per_second: 1,
        burst: 3,
    };
    let mut judge = Judge::new(Limits {
        source: Some(rate),
        ..Limits::default()
    });
    let from = |last| {
        Frame {
            source: six(last),
            ..frame(true, UDP, udp(1, STOQ, &initial(1200)))
        }
        .build()
    };
    for _ in 0..3 {
        assert_eq!(judge.verdict(&from(1)), Verdict::Initial);
    }
    assert_eq!(judge.verdict(&from(1)), Verdict::SourceRate);
    assert_eq!(
        judge.verdict(&from(9)),
        Verdict::SourceRate,
        "of the same 64 bits"
    );
    let other = frame(false, UDP, udp(1, STOQ, &initial(1200))).build();
    assert_eq!(judge.verdict(&other), Verdict::Initial);
    let data = frame(true, UDP, udp(1, STOQ, &short(30))).build();
    assert_eq!(judge.verdict(&data), Verdict::Stoq, "no Initial, no limit");
    let dropped = judge.xdp.dropped_by_source().unwrap();
    let of_six: Vec<_> = dropped.iter().filter(|(_, dropped)| *dropped > 0).collect();
    assert_eq!(of_six, [&("fd00::".parse().unwrap(), 2)]);
    // A token comes back after a second; all before takes far less.
    std::thread::sleep(Duration::from_millis(1050));
    assert_eq!(judge.verdict(&from(1)), Verdict::Initial);
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn all_sources_together_have_a_ceiling_and_listed_ones_are_apart() {
    let rate = Rate {
        per_second: 1,
        burst: 2,
    };
    let mut judge = Judge::new(Limits {
        ceiling: Some(rate),
        ..Limits::default()
    });
    let from = |last| {
        Frame {
            source: four(last),
            ..frame(false, UDP, udp(1, STOQ, &initial(1200)))
        }
        .build()
    };
    assert_eq!(judge.verdict(&from(1)), Verdict::Initial);
    assert_eq!(judge.verdict(&from(2)), Verdict::Initial);
    assert_eq!(judge.verdict(&from(3)), Verdict::Ceiling);
    judge.list("10.0.0.0/24", Listing::Allow);
    judge.list("10.0.0.4/32", Listing::Deny);
    assert_eq!(judge.verdict(&from(3)), Verdict::Listed);
    assert_eq!(judge.verdict(&from(4)), Verdict::Denied);
    for guard in [&mut judge.xdp, &mut judge.tc] {
        assert!(guard.unlist("10.0.0.4/32".parse().unwrap()).unwrap());
        assert!(!guard.unlist("10.0.0.4/32".parse().unwrap()).unwrap());
    }
    assert_eq!(judge.verdict(&from(4)), Verdict::Listed);
    let malformed = frame(false, UDP, udp(1, STOQ, &short(20))).build();
    assert_eq!(
        judge.verdict(&malformed),
        Verdict::Malformed,
        "listed or not"
    );
    assert_eq!(judge.xdp.dropped_by_ceiling().unwrap(), 1);
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn only_listed_sources_pass_where_it_is_said_so() {
    let mut judge = Judge::new(Limits {
        listed_only: true,
        ..Limits::default()
    });
    assert_eq!(judge.datagram(&short(30)), Verdict::Denied);
    judge.list("10.0.0.1/32", Listing::Allow);
    judge.list("fd00::/8", Listing::Allow);
    assert_eq!(judge.datagram(&short(30)), Verdict::Stoq);
    assert_eq!(judge.datagram(&initial(1200)), Verdict::Listed);
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn initials_that_gro_joined_are_counted_one_by_one() {
    let rate = Rate {
        per_second: 1,
        burst: 20,
    };
    let mut judge = Judge::new(Limits {
        ceiling: Some(rate),
        ..Limits::default()
    });
    // Longer than a run at tc takes.
    let mut verdict = |frame: &[u8]| verdict(&mut judge.xdp, frame);
    let joined = |count| frame(true, UDP, udp(1, STOQ, &initial(1200).repeat(count))).build();
    assert_eq!(verdict(&joined(10)), Verdict::Initial);
    assert_eq!(verdict(&joined(11)), Verdict::Ceiling);
    assert_eq!(verdict(&joined(9)), Verdict::Initial);
    // A handshake's first answer: an Initial and a Handshake packet in one datagram are one.
    let handshake = long(2, 1, 8, 8, &[&[20][..], &[0; 20]].concat());
    let answer = [initial(200), handshake].concat();
    let answer = frame(true, UDP, udp(STOQ, STOQ, &answer)).build();
    assert_eq!(verdict(&answer), Verdict::Initial);
    assert_eq!(verdict(&joined(1)), Verdict::Ceiling);
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn a_prefix_may_end_within_a_byte() {
    let rate = Rate {
        per_second: 1,
        burst: 1,
    };
    let mut judge = Judge::new(Limits {
        source: Some(rate),
        source_bits_v4: 28,
        source_bits_v6: 124,
        ..Limits::default()
    });
    let mut from = |source| {
        let ipv6 = matches!(source, std::net::IpAddr::V6(_));
        let sent = Frame {
            source,
            ..frame(ipv6, UDP, udp(1, STOQ, &initial(1200)))
        };
        judge.verdict(&sent.build())
    };
    for (first, same, other) in [(four(17), four(30), four(33)), (six(17), six(30), six(33))] {
        assert_eq!(from(first), Verdict::Initial);
        assert_eq!(from(same), Verdict::SourceRate);
        assert_eq!(from(other), Verdict::Initial);
    }
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn an_ipv4_address_in_an_ipv6_packet_is_not_taken_for_one() {
    let mut judge = Judge::new(Limits::default());
    judge.list("10.0.0.0/8", Listing::Allow);
    let mapped = "::ffff:10.0.0.1".parse().unwrap();
    let sent = frame(true, UDP, udp(1, STOQ, &initial(1200)));
    let from = Frame {
        source: mapped,
        ..sent.clone()
    };
    assert_eq!(judge.verdict(&from.build()), Verdict::Malformed);
    let to = Frame {
        destination: mapped,
        ..sent
    };
    assert_eq!(judge.verdict(&to.build()), Verdict::Malformed);
}
