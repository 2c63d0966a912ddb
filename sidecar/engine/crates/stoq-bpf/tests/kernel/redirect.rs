//! Frames through `xsk_redirect`, and what of an interface is lent.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use stoq_bpf::{Action, Redirect};

use crate::frames::*;
use crate::spaces::{Space, call};

/// Bytes of the largest frame that is taken.
const LARGEST: u32 = 1514;

/// The program as an engine at host 2 has it, which dials from port 50000.
fn redirect(addresses: &[IpAddr]) -> (Redirect, OwnedFd) {
    let mut redirect = Redirect::load().unwrap();
    let socket = redirect
        .pretend(LARGEST, addresses, &[STOQ, CONTROL, 50_000, 65_535])
        .unwrap();
    (redirect, socket)
}

#[test]
#[ignore = "needs CAP_BPF and CAP_NET_RAW; hack/test netns runs it"]
fn datagrams_for_the_engines_ports_and_addresses_are_taken_over_both_families() {
    let (mut redirect, _socket) = redirect(&[four(2), six(2)]);
    for ipv6 in [false, true] {
        for (source, port) in [
            (40_000, STOQ),
            (40_000, CONTROL),
            (STOQ, 50_000),
            (1, 65_535),
        ] {
            let taken = frame(ipv6, UDP, udp(source, port, &short(40))).build();
            assert_eq!(redirect.run(&taken).unwrap(), Action::Redirect, "{port}");
        }
    }
}

#[test]
#[ignore = "needs CAP_BPF and CAP_NET_RAW; hack/test netns runs it"]
fn everything_else_is_the_stacks() {
    let (mut redirect, _socket) = redirect(&[four(2), six(2)]);
    let payload = short(40);
    for ipv6 in [false, true] {
        let taken = frame(ipv6, UDP, udp(40_000, STOQ, &payload));
        let other_port = frame(ipv6, UDP, udp(STOQ, 40_000, &payload));
        let other_host = Frame {
            destination: if ipv6 { six(3) } else { four(3) },
            ..taken.clone()
        };
        let tagged = Frame {
            tags: vec![0x8100],
            ..taken.clone()
        };
        let first = Frame {
            fragment: Some((0, true)),
            ..taken.clone()
        };
        let later = Frame {
            fragment: Some((100, false)),
            ..taken.clone()
        };
        let with_options = Frame {
            extensions: vec![if ipv6 {
                options(60, 1)
            } else {
                (0, vec![1; 4])
            }],
            ..taken.clone()
        };
        let tcp = frame(ipv6, TCP, tcp(40_000, STOQ, SYN, &payload));
        let long = frame(ipv6, UDP, udp(40_000, STOQ, &short(1500)));
        for passed in [
            other_port,
            other_host,
            tagged,
            first,
            later,
            with_options,
            tcp,
            long,
        ] {
            let action = redirect.run(&passed.build()).unwrap();
            assert_eq!(action, Action::Pass, "{passed:?}");
        }
    }
    let arp = ethernet(0x0806, &[0; 28]);
    assert_eq!(redirect.run(&arp).unwrap(), Action::Pass);
}

#[test]
#[ignore = "needs CAP_BPF and CAP_NET_RAW; hack/test netns runs it"]
fn a_frame_cut_anywhere_is_the_stacks() {
    let (mut redirect, _socket) = redirect(&[four(2), six(2)]);
    for ipv6 in [false, true] {
        let whole = frame(ipv6, UDP, udp(40_000, STOQ, &short(40))).build();
        for length in 14..whole.len() {
            let action = redirect.run(&whole[..length]).unwrap();
            assert_eq!(action, Action::Pass, "cut at {length}, IPv6: {ipv6}");
        }
        assert_eq!(redirect.run(&whole).unwrap(), Action::Redirect);
    }
}

#[test]
#[ignore = "needs CAP_BPF and CAP_NET_RAW; hack/test netns runs it"]
fn what_fits_a_chunk_is_taken_and_what_this_machine_joined_is_the_stacks() {
    let (mut redirect, _socket) = redirect(&[four(2), six(2)]);
    for (ipv6, headers) in [(false, 42), (true, 62)] {
        let mut sized = |size: usize| {
            let made = frame(ipv6, UDP, udp(40_000, STOQ, &short(size - headers))).build();
            assert_eq!(made.len(), size);
            redirect.run(&made).unwrap()
        };
        let largest = LARGEST as usize;
        assert_eq!(sized(largest), Action::Redirect, "IPv6: {ipv6}");
        // One byte more, and GSO packets: of one buffer, and of as many as there are.
        for size in [largest + 1, 3_000, 60_000] {
            assert_eq!(sized(size), Action::Pass, "{size} bytes, IPv6: {ipv6}");
        }
    }
}

#[test]
#[ignore = "needs CAP_BPF and CAP_NET_RAW; hack/test netns runs it"]
fn a_chain_of_headers_or_tags_is_the_stacks() {
    let (mut redirect, _socket) = redirect(&[four(2), six(2)]);
    for ipv6 in [false, true] {
        let taken = frame(ipv6, UDP, udp(40_000, STOQ, &short(40)));
        let twice_tagged = Frame {
            tags: vec![0x88a8, 0x8100],
            ..taken.clone()
        };
        let chained = Frame {
            extensions: if ipv6 {
                vec![options(0, 2), options(43, 1), options(60, 1)]
            } else {
                vec![(0, vec![1; 40])]
            },
            ..taken
        };
        for passed in [twice_tagged, chained] {
            let action = redirect.run(&passed.build()).unwrap();
            assert_eq!(action, Action::Pass, "{passed:?}");
        }
    }
    // RFC 8200, 4.5: whole in one fragment. STOQ sends none.
    let atomic = Frame {
        fragment: Some((0, false)),
        ..frame(true, UDP, udp(40_000, STOQ, &short(40)))
    };
    assert_eq!(redirect.run(&atomic.build()).unwrap(), Action::Pass);
}

#[test]
#[ignore = "needs CAP_BPF and CAP_NET_RAW; hack/test netns runs it"]
fn nothing_is_taken_before_an_engine_says_what_and_after_its_socket_is_gone() {
    let frame = frame(true, UDP, udp(40_000, STOQ, &short(40))).build();
    let mut loaded = Redirect::load().unwrap();
    assert_eq!(loaded.run(&frame).unwrap(), Action::Pass);
    let (mut redirect, socket) = redirect(&[six(2)]);
    assert_eq!(redirect.run(&frame).unwrap(), Action::Redirect);
    drop(socket);
    assert_eq!(redirect.run(&frame).unwrap(), Action::Pass);
}

/// What `ip` says of the link.
fn shown(link: &str) -> String {
    let output = std::process::Command::new("ip")
        .args(["link", "show", link])
        .output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

/// Waits until no program is attached: a process that another test starts holds what is open for a moment.
fn await_detached(link: &str) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while shown(link).contains("xdp") {
        assert!(std::time::Instant::now() < until, "{}", shown(link));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
#[ignore = "needs CAP_SYS_ADMIN; hack/test netns runs it"]
fn an_interface_is_lent_once_until_all_that_was_lent_is_closed() {
    Space::new().run(|| {
        call("ip link add one type veth peer name two");
        call("ip link set one up");
        call("ip link set two up");
        let lent = Redirect::load().unwrap().lend("one", false).unwrap();
        assert!(lent.native && !lent.zero_copy);
        assert_eq!((lent.queues.len(), lent.chunk), (1, 2048));
        assert!(shown("one").contains("xdp"), "{}", shown("one"));
        let refused = Redirect::load().unwrap().lend("one", false).unwrap_err();
        assert!(
            refused.to_string().contains("another XDP program"),
            "{refused}"
        );
        drop(lent);
        await_detached("one");
        Redirect::load().unwrap().lend("one", false).unwrap();
    });
}

#[test]
#[ignore = "needs CAP_SYS_ADMIN; hack/test netns runs it"]
fn larger_packets_take_no_more_memory() {
    Space::new().run(|| {
        for (mtu, ring, chunk, scattered) in [
            (1778, 2048, 2048, false),
            (1779, 1024, 4096, false),
            (3826, 1024, 4096, false),
            (3827, 1024, 4096, true),
            (9000, 1024, 4096, true),
            (65_535, 1024, 4096, true),
        ] {
            // One of its own for each: the kernel lets go of a queue by and by.
            let peer = format!("peer name two mtu {mtu}");
            call(&format!("ip link add one mtu {mtu} type veth {peer}"));
            call("ip link set one up");
            call("ip link set two up");
            let lent = Redirect::load().unwrap().lend("one", false).unwrap();
            assert_eq!((lent.ring, lent.chunk), (ring, chunk));
            assert_eq!((lent.scattered, lent.left), (scattered, None), "MTU {mtu}");
            assert!(lent.native, "MTU {mtu}");
            for queue in lent.queues {
                let size = std::fs::File::from(queue.memory).metadata().unwrap().len();
                assert_eq!(size, 8 << 20, "MTU {mtu}");
            }
            call("ip link del one");
        }
    });
}

#[test]
#[ignore = "needs CAP_SYS_ADMIN; hack/test netns runs it"]
fn what_cannot_be_lent_is_refused_with_the_reason_and_leaves_nothing() {
    Space::new().run(|| {
        call("ip link add one type veth peer name two");
        let refused = |interface: &str, zero_copy| {
            let lent = Redirect::load().unwrap().lend(interface, zero_copy);
            lent.unwrap_err().to_string()
        };
        assert!(refused("none", false).contains("no such interface"));
        assert!(refused("one", true).contains("the driver or the kernel cannot"));
        await_detached("one");
        call("ip link set lo mtu 70000");
        let too_large = refused("lo", false);
        assert!(too_large.contains("MTU is 70000"), "{too_large}");
    });
}
