//! Frames through `xsk_redirect`, alone and behind the guard.

use std::fs::File;

use stoq_bpf::{Error, Guard, Redirect, XdpAction};

use crate::frames::*;

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
