//! Frames through `tc_strict`: what passes, with no rule at all and by rules.

use stoq_bpf::{Action, Arrival, Direction, Mode, Permission, Pod, Reason, Strict};

use crate::frames::*;
use Direction::{FromPod, ToPod};

/// The loopback interface: a test run needs one that exists.
pub(crate) const POD: u32 = 1;
/// Forwarded from another interface.
pub(crate) const FORWARDED: Arrival = Arrival {
    ifindex: POD,
    received_by: 7,
    segments: 0,
};
/// Made by this host.
pub(crate) const LOCAL: Arrival = Arrival {
    received_by: 0,
    ..FORWARDED
};
pub(crate) const STRICT: Pod = Pod {
    inbound: Mode::Strict,
    outbound: Mode::Strict,
    udp: false,
    echo: false,
};

/// Strict mode over one pod, and what it says of one frame after the other.
pub(crate) struct Judge(pub(crate) Strict);

impl Judge {
    pub(crate) fn new(pod: Pod, permissions: &[Permission]) -> Self {
        let mut strict = Strict::load(None).unwrap();
        strict.enrol(POD, pod).unwrap();
        for permission in permissions {
            strict.permit(Some(POD), *permission).unwrap();
        }
        Self(strict)
    }

    /// The one reason that was counted, and whether the packet passed.
    pub(crate) fn reason(
        &mut self,
        direction: Direction,
        frame: &[u8],
        arrival: Arrival,
    ) -> (Reason, bool) {
        let before = self.0.counts(POD).unwrap().unwrap();
        let action = self.0.run(direction, frame, arrival).unwrap();
        let after = self.0.counts(POD).unwrap().unwrap();
        let changed: Vec<_> = after.iter().zip(&before).filter(|(a, b)| a != b).collect();
        let [(now, then)] = changed[..] else {
            panic!("{changed:?}")
        };
        assert_eq!(now.direction, direction);
        let packets = now.count.packets - then.count.packets;
        assert_eq!(packets, u64::from(arrival.segments.max(1)));
        assert_eq!(now.count.bytes - then.count.bytes, frame.len() as u64);
        assert!(matches!(action, Action::Pass | Action::Drop), "{action:?}");
        (now.reason, action == Action::Pass)
    }

    /// The reason in strict mode, where it alone decides.
    pub(crate) fn strict(&mut self, direction: Direction, frame: &[u8]) -> Reason {
        let (reason, passed) = self.reason(direction, frame, FORWARDED);
        assert_eq!(passed, !reason.dropped(), "{reason:?}");
        reason
    }

    /// The same for both families and both directions.
    fn everywhere(&mut self, make: impl Fn(bool) -> Frame) -> Reason {
        let mut found = vec![];
        for ipv6 in [false, true] {
            for direction in [ToPod, FromPod] {
                found.push(self.strict(direction, &make(ipv6).build()));
            }
        }
        found.dedup();
        let [one] = found[..] else {
            panic!("{found:?}")
        };
        one
    }
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn without_rules_only_stoq_and_what_ip_itself_needs_passes() {
    let mut judge = Judge::new(STRICT, &[]);
    let stoq = |ipv6| frame(ipv6, UDP, udp(40000, STOQ, &short(40)));
    assert_eq!(judge.everywhere(stoq), Reason::Stoq);
    assert_eq!(
        judge.everywhere(|ipv6| frame(ipv6, UDP, udp(STOQ, 9, &short(40)))),
        Reason::Stoq
    );
    assert_eq!(
        judge.everywhere(|ipv6| frame(ipv6, TCP, tcp(1, 80, SYN, b""))),
        Reason::PlainTcp
    );
    assert_eq!(
        judge.everywhere(|ipv6| frame(ipv6, TCP, tcp(1, STOQ, SYN, b""))),
        Reason::PlainTcp
    );
    assert_eq!(
        judge.everywhere(|ipv6| frame(ipv6, UDP, udp(1, 53, b"x"))),
        Reason::PlainUdp
    );
    assert_eq!(
        judge.everywhere(|ipv6| frame(ipv6, 132, vec![0; 40])),
        Reason::PlainOther
    );
    // The registry listens elsewhere: towards it out, from it in, and never the other way.
    let registry = |source, port| frame(true, UDP, udp(source, port, &short(40))).build();
    assert_eq!(
        judge.strict(FromPod, &registry(9, CONTROL)),
        Reason::Control
    );
    assert_eq!(judge.strict(ToPod, &registry(CONTROL, 9)), Reason::Control);
    assert_eq!(
        judge.strict(FromPod, &registry(CONTROL, 9)),
        Reason::PlainUdp
    );
    assert_eq!(judge.strict(ToPod, &registry(9, CONTROL)), Reason::PlainUdp);
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn neighbours_and_icmp_errors_pass_and_ping_where_it_is_allowed() {
    let mut judge = Judge::new(STRICT, &[]);
    let mut v6 = |kind, hop_limit| {
        let frame = Frame {
            hop_limit,
            ..frame(true, 58, icmp(kind))
        };
        judge.strict(FromPod, &frame.build())
    };
    for kind in [133, 134, 135, 136, 137] {
        assert_eq!(v6(kind, 255), Reason::Neighbour);
        assert_eq!(v6(kind, 254), Reason::PlainOther, "it crossed a router");
    }
    for kind in [130, 131, 132, 143] {
        assert_eq!(
            (v6(kind, 1), v6(kind, 64)),
            (Reason::Neighbour, Reason::PlainOther)
        );
    }
    for kind in 1..=4 {
        assert_eq!(v6(kind, 64), Reason::IcmpError);
    }
    assert_eq!(
        (v6(128, 64), v6(139, 64)),
        (Reason::PlainOther, Reason::PlainOther)
    );
    // Multicast listeners' reports come behind a router alert (RFC 3810, 5).
    let report = Frame {
        extensions: vec![options(0, 1)],
        hop_limit: 1,
        ..frame(true, 58, icmp(143))
    };
    assert_eq!(judge.strict(FromPod, &report.build()), Reason::Neighbour);
    let mut v4 = |kind| judge.strict(ToPod, &frame(false, 1, icmp(kind)).build());
    for kind in [3, 11, 12] {
        assert_eq!(v4(kind), Reason::IcmpError);
    }
    assert_eq!(
        (v4(8), v4(5), v4(13)),
        (Reason::PlainOther, Reason::PlainOther, Reason::PlainOther)
    );
    // The other family's ICMP is no ICMP.
    assert_eq!(
        judge.strict(ToPod, &frame(false, 58, icmp(135)).build()),
        Reason::PlainOther
    );
    assert_eq!(
        judge.strict(ToPod, &ethernet(0x0806, &[0; 28])),
        Reason::Neighbour
    );
    assert_eq!(
        judge.strict(ToPod, &ethernet(0x88cc, &[0; 28])),
        Reason::Link
    );

    let mut pinged = Judge::new(
        Pod {
            echo: true,
            ..STRICT
        },
        &[],
    );
    assert_eq!(
        pinged.everywhere(|ipv6| frame(
            ipv6,
            if ipv6 { 58 } else { 1 },
            icmp(if ipv6 { 128 } else { 8 })
        )),
        Reason::Echo
    );
    assert_eq!(
        pinged.strict(ToPod, &frame(false, 1, icmp(13)).build()),
        Reason::PlainOther
    );
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn headers_that_hide_the_ports_do_not_pass() {
    let mut judge = Judge::new(STRICT, &[]);
    let stoq = |ipv6| frame(ipv6, UDP, udp(40000, STOQ, &short(64)));
    assert_eq!(
        judge.everywhere(|ipv6| Frame {
            fragment: Some((9, false)),
            ..stoq(ipv6)
        }),
        Reason::Fragment
    );
    let tiny = |ipv6| Frame {
        fragment: Some((0, true)),
        transport: vec![0; 4],
        ..stoq(ipv6)
    };
    assert_eq!(judge.everywhere(tiny), Reason::Malformed);
    assert_eq!(
        judge.everywhere(|ipv6| Frame {
            transport: vec![0; 7],
            ..stoq(ipv6)
        }),
        Reason::Malformed
    );
    let deep = Frame {
        extensions: vec![options(60, 1); 9],
        ..stoq(true)
    };
    assert_eq!(judge.strict(FromPod, &deep.build()), Reason::Malformed);
    let beyond = Frame {
        extensions: vec![(60, [&[0, 9][..], &[0; 6]].concat())],
        ..frame(true, UDP, udp(1, STOQ, b""))
    };
    assert_eq!(judge.strict(FromPod, &beyond.build()), Reason::Malformed);
    // TCP behind extension headers, tags and options is TCP.
    let chain = vec![options(0, 2), options(43, 1), options(60, 1)];
    let tcp_behind = Frame {
        extensions: chain,
        tags: vec![0x8100],
        ..frame(true, TCP, tcp(1, 80, SYN, b""))
    };
    assert_eq!(judge.strict(FromPod, &tcp_behind.build()), Reason::PlainTcp);
    let optioned = Frame {
        extensions: vec![(0, vec![1; 8])],
        ..frame(false, TCP, tcp(1, 80, SYN, b""))
    };
    assert_eq!(judge.strict(FromPod, &optioned.build()), Reason::PlainTcp);
    let bad_offset = frame(
        true,
        TCP,
        [&tcp(1, 80, SYN, b"")[..12], &[0x40; 8]].concat(),
    );
    assert_eq!(
        judge.strict(FromPod, &bad_offset.build()),
        Reason::Malformed
    );
    for ipv6 in [false, true] {
        // The kernel makes no test packet that is shorter than IP's header, save behind a tag.
        let whole = frame(ipv6, TCP, tcp(1, 80, SYN, b"hello"));
        let tagged = Frame {
            tags: vec![0x8100],
            ..whole
        };
        let whole = tagged.build();
        for length in 18..whole.len() {
            assert_eq!(
                judge.strict(FromPod, &whole[..length]),
                Reason::Malformed,
                "cut at {length}"
            );
        }
    }
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn gso_packets_count_as_their_segments() {
    let mut judge = Judge::new(STRICT, &[]);
    let arrival = Arrival {
        segments: 44,
        ..FORWARDED
    };
    let large = frame(true, UDP, udp(40000, STOQ, &short(3000))).build();
    assert_eq!(judge.reason(FromPod, &large, arrival), (Reason::Stoq, true));
    let large = frame(false, TCP, tcp(1, 80, ACK, &[0; 3000])).build();
    assert_eq!(
        judge.reason(FromPod, &large, arrival),
        (Reason::PlainTcp, false)
    );
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn a_link_without_a_pod_lets_nothing_through_and_says_so() {
    let mut strict = Strict::load(None).unwrap();
    let stoq = frame(true, UDP, udp(40000, STOQ, &short(40))).build();
    for direction in [ToPod, FromPod] {
        assert_eq!(
            strict.run(direction, &stoq, FORWARDED).unwrap(),
            Action::Drop
        );
        let count = strict.unenrolled(direction).unwrap();
        assert_eq!((count.packets, count.bytes), (1, stoq.len() as u64));
    }
    assert_eq!(strict.counts(POD).unwrap(), None);
    strict.enrol(POD, STRICT).unwrap();
    assert_eq!(strict.run(ToPod, &stoq, FORWARDED).unwrap(), Action::Pass);
    assert_eq!(strict.enrolled().unwrap(), [POD]);
    assert!(strict.withdraw(POD).unwrap());
    assert!(!strict.withdraw(POD).unwrap());
    assert_eq!(strict.run(ToPod, &stoq, FORWARDED).unwrap(), Action::Drop);
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn probes_are_this_hosts_and_not_what_it_forwards() {
    let mut judge = Judge::new(STRICT, &[Permission::Probe { port: 8080 }]);
    for ipv6 in [false, true] {
        let probe = frame(ipv6, TCP, tcp(5000, 8080, SYN, b""));
        let answer = probe.back(tcp(8080, 5000, SYN | ACK, b"")).build();
        let dropped = (Reason::PlainTcp, false);
        assert_eq!(judge.reason(ToPod, &probe.build(), FORWARDED), dropped);
        assert_eq!(judge.reason(FromPod, &answer, FORWARDED), dropped);
        assert_eq!(
            judge.reason(ToPod, &probe.build(), LOCAL),
            (Reason::Probe, true)
        );
        assert_eq!(
            judge.reason(FromPod, &answer, FORWARDED),
            (Reason::Probe, true)
        );
        // Another port of the pod; a connection that the pod opens from the probed port.
        let other = frame(ipv6, TCP, tcp(5000, 8081, SYN, b"")).build();
        assert_eq!(judge.reason(ToPod, &other, LOCAL), dropped);
        let dials = probe.back(tcp(8080, 5000, SYN, b"")).build();
        assert_eq!(judge.reason(FromPod, &dials, FORWARDED), dropped);
        let elsewhere = probe.back(tcp(8080, 5001, ACK, b"")).build();
        assert_eq!(judge.reason(FromPod, &elsewhere, FORWARDED), dropped);
    }
}
