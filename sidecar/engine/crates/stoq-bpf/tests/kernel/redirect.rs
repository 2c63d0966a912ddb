//! Frames through `xsk_redirect`, alone and behind the guard.

use std::fs::File;
use std::net::UdpSocket;
use std::time::Duration;

use stoq_bpf::{Error, Guard, Redirect, XdpAction, XdpMode};

use crate::frames::*;
use crate::spaces::{Bpffs, Space};
use crate::xsk::Socket;

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn without_a_socket_everything_goes_to_the_stack() {
    let mut redirect = Redirect::load(None).unwrap();
    for ipv6 in [false, true] {
        let stoq = frame(ipv6, UDP, udp(1, STOQ, &short(40)));
        let first = Frame {
            fragment: Some((0, true)),
            ..stoq.clone()
        };
        for frame in [stoq, first, frame(ipv6, TCP, tcp(1, STOQ, SYN, b""))] {
            assert_eq!(redirect.run(&frame.build()).unwrap(), XdpAction::Pass);
        }
    }
    assert_eq!(
        redirect.run(&ethernet(0x0800, &[0x45])).unwrap(),
        XdpAction::Pass
    );
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn only_an_af_xdp_socket_can_be_registered() {
    let mut redirect = Redirect::load(None).unwrap();
    let file = File::open("/dev/null").unwrap();
    let error = redirect.register(0, &file).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Map {
                map: "xsk_sockets",
                ..
            }
        ),
        "{error}"
    );
    assert!(
        redirect.register(64, &file).is_err(),
        "beyond the last queue"
    );
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn the_guard_drops_before_it_and_passes_on() {
    let (mut guard, mut redirect) = (Guard::load(None).unwrap(), Redirect::load(None).unwrap());
    guard.follow_with(&mut redirect).unwrap();
    let run = |guard: &mut Guard, payload: &[u8]| {
        guard
            .run(&frame(true, UDP, udp(1, STOQ, payload)).build())
            .unwrap()
    };
    assert_eq!(run(&mut guard, &short(20)), XdpAction::Drop);
    assert_eq!(run(&mut guard, &short(40)), XdpAction::Pass);
}

#[test]
#[ignore = "needs CAP_SYS_ADMIN; hack/test netns runs it"]
fn stoq_goes_to_the_socket_of_its_queue_and_the_rest_to_the_stack() {
    Space::new().run(|| {
        let (bpffs, outside) = (Bpffs::mount(), Space::new());
        let uplink = outside.link("uplink", 1);
        let pins = bpffs.pins();
        let (mut guard, mut redirect) = (
            Guard::load(Some(&pins)).unwrap(),
            Redirect::load(Some(&pins)).unwrap(),
        );
        guard.follow_with(&mut redirect).unwrap();
        guard.attach(uplink, XdpMode::Skb).unwrap();
        let socket = Socket::bind(uplink);
        redirect.register(0, &socket).unwrap();
        let stack = UdpSocket::bind("10.9.1.1:7777").unwrap();
        stack
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        outside.run(|| {
            let from = UdpSocket::bind("0.0.0.0:0").unwrap();
            from.send_to(&short(20), "10.9.1.1:14008").unwrap();
            from.send_to(&initial(1200), "10.9.1.1:14008").unwrap();
            from.send_to(&short(40), "10.9.1.1:7777").unwrap();
        });
        assert_eq!(stack.recv(&mut [0; 2048]).unwrap(), 40);
        let received = socket.received();
        let [frame] = &received[..] else {
            panic!("{} frames", received.len())
        };
        assert!(frame.ends_with(&initial(1200)) && frame.len() == 1200 + 42);
        assert!(redirect.unregister(0).unwrap());
    });
}
