//! Frames through `tc_strict`: permissions, modes that differ by direction, and their answers.

use stoq_bpf::{Direction, Error, Mode, Permission, Pod, Reason};

use crate::frames::*;
use crate::strict::{FORWARDED, Judge, POD, STRICT};
use Direction::{FromPod, ToPod};

fn service(ipv6: bool, port: u16, protocol: u8, reason: Reason) -> Permission {
    let address = if ipv6 { six(2) } else { four(2) };
    Permission::Service {
        address,
        port,
        protocol,
        reason,
    }
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn a_service_may_be_dialled_and_answers() {
    for ipv6 in [false, true] {
        let permissions = [
            service(ipv6, 53, UDP, Reason::Dns),
            service(ipv6, 443, TCP, Reason::ApiServer),
        ];
        let mut judge = Judge::new(STRICT, &permissions);
        let question = frame(ipv6, UDP, udp(5000, 53, b"?"));
        let answer = question.back(udp(53, 5000, b"!")).build();
        assert_eq!(
            judge.strict(ToPod, &answer),
            Reason::PlainUdp,
            "nobody asked"
        );
        assert_eq!(judge.strict(FromPod, &question.build()), Reason::Dns);
        assert_eq!(judge.strict(ToPod, &answer), Reason::Dns);
        let dial = frame(ipv6, TCP, tcp(5000, 443, SYN, b""));
        assert_eq!(judge.strict(FromPod, &dial.build()), Reason::ApiServer);
        let accept = dial.back(tcp(443, 5000, SYN | ACK, b"")).build();
        assert_eq!(judge.strict(ToPod, &accept), Reason::ApiServer);
        // Another protocol, port, peer; and nobody dials the pod from there.
        assert_eq!(
            judge.strict(FromPod, &frame(ipv6, TCP, tcp(1, 53, SYN, b"")).build()),
            Reason::PlainTcp
        );
        assert_eq!(
            judge.strict(FromPod, &frame(ipv6, TCP, tcp(1, 444, SYN, b"")).build()),
            Reason::PlainTcp
        );
        let elsewhere = Frame {
            destination: if ipv6 { six(3) } else { four(3) },
            ..dial.clone()
        };
        assert_eq!(judge.strict(FromPod, &elsewhere.build()), Reason::PlainTcp);
        let dialled = dial.back(tcp(443, 5000, SYN, b"")).build();
        assert_eq!(judge.strict(ToPod, &dialled), Reason::PlainTcp);
        judge.0.forbid(Some(POD), permissions[1]).unwrap();
        let again = frame(ipv6, TCP, tcp(5001, 443, SYN, b"")).build();
        assert_eq!(judge.strict(FromPod, &again), Reason::PlainTcp);
    }
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn exempt_networks_and_ports_belong_to_who_opens() {
    let permissions = [
        Permission::Network {
            network: "10.0.0.0/24".parse().unwrap(),
            direction: FromPod,
        },
        Permission::Network {
            network: "10.0.0.0/30".parse().unwrap(),
            direction: ToPod,
        },
        Permission::Network {
            network: "fd00::/64".parse().unwrap(),
            direction: FromPod,
        },
        Permission::Port {
            port: 14020,
            protocol: TCP,
            direction: ToPod,
        },
        Permission::Port {
            port: 5432,
            protocol: TCP,
            direction: FromPod,
        },
    ];
    let mut judge = Judge::new(STRICT, &permissions);
    let dial = frame(false, TCP, tcp(5000, 80, SYN, b""));
    assert_eq!(
        judge.strict(FromPod, &dial.build()),
        Reason::Exempt,
        "the wide network, not the narrow"
    );
    assert_eq!(judge.strict(ToPod, &dial.build()), Reason::Exempt);
    let far = Frame {
        source: four(9),
        ..dial.clone()
    };
    assert_eq!(judge.strict(ToPod, &far.build()), Reason::PlainTcp);
    let later = Frame {
        fragment: Some((9, false)),
        ..dial
    };
    assert_eq!(
        judge.strict(FromPod, &later.build()),
        Reason::Exempt,
        "a network has no ports"
    );
    let echo = frame(true, 58, icmp(128));
    assert_eq!(judge.strict(FromPod, &echo.build()), Reason::Exempt);
    let ask = frame(true, UDP, udp(5000, 80, b"?"));
    assert_eq!(
        judge.strict(FromPod, &ask.build()),
        Reason::ExemptUdp,
        "told apart, also in what answers"
    );
    let answer = ask.back(udp(80, 5000, b"!")).build();
    assert_eq!(judge.strict(ToPod, &answer), Reason::ExemptUdp);
    let metrics = Frame {
        source: six(9),
        ..frame(true, TCP, tcp(5000, 14020, SYN, b""))
    };
    assert_eq!(judge.strict(ToPod, &metrics.build()), Reason::Exempt);
    assert_eq!(
        judge.strict(
            FromPod,
            &metrics.back(tcp(14020, 5000, SYN | ACK, b"")).build()
        ),
        Reason::Exempt
    );
    let outside = Frame {
        destination: "2001:db8::1".parse().unwrap(),
        ..metrics.clone()
    };
    assert_eq!(
        judge.strict(FromPod, &outside.build()),
        Reason::PlainTcp,
        "an inbound port"
    );
    let database = Frame {
        transport: tcp(5000, 5432, SYN, b""),
        ..outside
    };
    assert_eq!(judge.strict(FromPod, &database.build()), Reason::Exempt);
    let mut read = judge.0.permissions(Some(POD)).unwrap();
    read.retain(|permission| !permissions.contains(permission));
    assert_eq!(read, []);
    assert!(judge.0.withdraw(POD).unwrap());
    assert_eq!(judge.0.permissions(Some(POD)).unwrap(), []);
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn what_every_pod_may_do_this_one_may() {
    let mut judge = Judge::new(STRICT, &[]);
    let everybody = [
        service(true, 53, UDP, Reason::Dns),
        Permission::Port {
            port: 14020,
            protocol: TCP,
            direction: ToPod,
        },
        Permission::Network {
            network: "fd00:1::/32".parse().unwrap(),
            direction: FromPod,
        },
    ];
    for permission in everybody {
        judge.0.permit(None, permission).unwrap();
    }
    assert_eq!(
        judge.strict(FromPod, &frame(true, UDP, udp(5, 53, b"?")).build()),
        Reason::Dns
    );
    assert_eq!(
        judge.strict(ToPod, &frame(true, TCP, tcp(5, 14020, SYN, b"")).build()),
        Reason::Exempt
    );
    let far = Frame {
        destination: "fd00:1::9".parse().unwrap(),
        ..frame(true, TCP, tcp(5, 6, SYN, b""))
    };
    assert_eq!(judge.strict(FromPod, &far.build()), Reason::Exempt);
    assert_eq!(judge.0.permissions(None).unwrap().len(), 3);
    assert_eq!(judge.0.permissions(Some(POD)).unwrap(), []);
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn strict_inbound_and_open_outbound_tell_answers_from_calls() {
    let mut judge = Judge::new(
        Pod {
            outbound: Mode::Permissive,
            ..STRICT
        },
        &[],
    );
    for ipv6 in [false, true] {
        let dial = frame(ipv6, TCP, tcp(5000, 80, SYN, b""));
        let accept = dial.back(tcp(80, 5000, SYN | ACK, b""));
        assert_eq!(
            judge.reason(ToPod, &accept.build(), FORWARDED),
            (Reason::PlainTcp, false)
        );
        assert_eq!(
            judge.reason(FromPod, &dial.build(), FORWARDED),
            (Reason::PlainTcp, true)
        );
        assert_eq!(
            judge.reason(ToPod, &accept.build(), FORWARDED),
            (Reason::Reply, true)
        );
        let called = dial.back(tcp(80, 5000, SYN, b""));
        assert_eq!(
            judge.reason(ToPod, &called.build(), FORWARDED),
            (Reason::PlainTcp, false)
        );
        let question = frame(ipv6, UDP, udp(5000, 53, b"?"));
        let answer = question.back(udp(53, 5000, b"!"));
        assert_eq!(
            judge.reason(FromPod, &question.build(), FORWARDED),
            (Reason::PlainUdp, true)
        );
        assert_eq!(
            judge.reason(ToPod, &answer.build(), FORWARDED),
            (Reason::Reply, true)
        );
    }
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn open_inbound_and_mesh_only_outbound_likewise() {
    let mut judge = Judge::new(
        Pod {
            inbound: Mode::Permissive,
            ..STRICT
        },
        &[],
    );
    let call = frame(true, TCP, tcp(5000, 80, SYN, b""));
    let accept = call.back(tcp(80, 5000, SYN | ACK, b"")).build();
    assert_eq!(
        judge.reason(FromPod, &accept, FORWARDED),
        (Reason::PlainTcp, false)
    );
    assert_eq!(
        judge.reason(ToPod, &call.build(), FORWARDED),
        (Reason::PlainTcp, true)
    );
    assert_eq!(
        judge.reason(FromPod, &accept, FORWARDED),
        (Reason::Reply, true)
    );
    let dial = call.back(tcp(80, 5000, SYN, b"")).build();
    assert_eq!(
        judge.reason(FromPod, &dial, FORWARDED),
        (Reason::PlainTcp, false)
    );
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn permissive_counts_what_strict_would_drop() {
    let open = Pod {
        inbound: Mode::Permissive,
        outbound: Mode::Permissive,
        ..STRICT
    };
    let mut judge = Judge::new(open, &[]);
    let tcp = frame(true, TCP, tcp(5000, 80, SYN, b""));
    let later = Frame {
        fragment: Some((9, false)),
        ..tcp.clone()
    };
    for direction in [ToPod, FromPod] {
        for (frame, reason) in [
            (tcp.build(), Reason::PlainTcp),
            (later.build(), Reason::Fragment),
            (frame(false, UDP, udp(1, 2, b"")).build(), Reason::PlainUdp),
            (frame(false, 132, vec![0; 9]).build(), Reason::PlainOther),
            (ethernet(0x88cc, &[0; 9]), Reason::Link),
            (ethernet(0x8100, &[0, 7, 8, 0, 0x45]), Reason::Malformed),
        ] {
            assert_eq!(judge.reason(direction, &frame, FORWARDED), (reason, true));
        }
    }
    judge.0.enrol(POD, STRICT).unwrap();
    assert_eq!(
        judge.strict(ToPod, &tcp.build()),
        Reason::PlainTcp,
        "from the next packet on"
    );
    let counts = judge.0.counts(POD).unwrap().unwrap();
    let counted = counts
        .iter()
        .find(|seen| seen.direction == ToPod && seen.reason == Reason::PlainTcp);
    assert_eq!(counted.unwrap().count.packets, 2, "counters go on");
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn udp_of_applications_passes_where_it_is_not_captured() {
    let mut judge = Judge::new(
        Pod {
            udp: true,
            ..STRICT
        },
        &[],
    );
    for ipv6 in [false, true] {
        let datagram = frame(ipv6, UDP, udp(1, 2, &[0; 40]));
        let later = Frame {
            fragment: Some((3, true)),
            ..datagram.clone()
        };
        for direction in [ToPod, FromPod] {
            assert_eq!(judge.strict(direction, &datagram.build()), Reason::Udp);
            assert_eq!(judge.strict(direction, &later.build()), Reason::Udp);
        }
        assert_eq!(
            judge.strict(ToPod, &frame(ipv6, TCP, tcp(1, 2, SYN, b"")).build()),
            Reason::PlainTcp
        );
    }
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn permissions_that_cannot_be_are_refused() {
    let mut judge = Judge::new(STRICT, &[]);
    let probe = Permission::Probe { port: 1 };
    assert!(matches!(
        judge.0.permit(Some(0), probe),
        Err(Error::NoInterface(0))
    ));
    let odd = service(true, 1, TCP, Reason::Stoq);
    let error = judge.0.permit(None, odd).unwrap_err().to_string();
    assert!(error.contains("Stoq"), "{error}");
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn the_next_pod_of_a_link_does_not_inherit_what_the_last_one_opened() {
    let mut judge = Judge::new(STRICT, &[service(true, 53, UDP, Reason::Dns)]);
    let question = frame(true, UDP, udp(5000, 53, b"?"));
    let answer = question.back(udp(53, 5000, b"!")).build();
    assert_eq!(judge.strict(FromPod, &question.build()), Reason::Dns);
    assert_eq!(judge.strict(ToPod, &answer), Reason::Dns);
    assert!(judge.0.withdraw(POD).unwrap());
    judge.0.enrol(POD, STRICT).unwrap();
    assert_eq!(judge.strict(ToPod, &answer), Reason::PlainUdp);
}
