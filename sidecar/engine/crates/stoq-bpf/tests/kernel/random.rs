//! Frames that nobody would send: whatever the bytes, a program decides, counts once and comes back.

use std::cell::{Cell, RefCell};

use proptest::prelude::*;
use proptest::sample::select;
use stoq_bpf::{Account, Action, Direction, Guard, Pair, Redirect, Splice, Stage, Strict};

use crate::frames::*;
use crate::splice::{FOR_EVER, REDIRECT, pair};
use crate::strict::{FORWARDED, POD, STRICT};

/// Frames that get deep into the parsers: real ones with some bytes changed and an end cut off.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let transport = select(vec![
        (UDP, udp(40000, STOQ, &initial(1200))),
        (UDP, udp(STOQ, CONTROL, &short(40))),
        (UDP, udp(5, 53, b"question")),
        (TCP, tcp(5, 80, SYN, b"hello")),
        (58, icmp(135)),
        (1, icmp(3)),
        (132, vec![0; 30]),
    ]);
    let extensions = prop::collection::vec((select(vec![0_u8, 43, 51, 60]), 1_u8..3), 0..10);
    let fragment = prop::option::of((0_u16..0x1fff, any::<bool>()));
    let tags = prop::collection::vec(select(vec![0x8100_u16, 0x88a8]), 0..4);
    let changes = prop::collection::vec((0_usize..120, any::<u8>()), 0..8);
    let made = (any::<bool>(), transport, extensions, fragment, tags);
    (made, changes, 0_usize..200).prop_map(|(made, changes, cut)| {
        let (ipv6, (protocol, transport), extensions, fragment, tags) = made;
        let extensions = match ipv6 {
            true => extensions
                .into_iter()
                .map(|(kind, words)| options(kind, words))
                .collect(),
            false => extensions.iter().map(|_| (0, vec![1; 4])).collect(),
        };
        let made = Frame {
            tags,
            extensions,
            fragment,
            ..frame(ipv6, protocol, transport)
        };
        let mut bytes = made.build();
        let length = bytes.len();
        for (at, byte) in changes {
            bytes[at % length] = byte;
        }
        bytes.truncate((length - cut.min(length)).max(64));
        bytes
    })
}

#[test]
#[ignore = "needs CAP_BPF; hack/test netns runs it"]
fn every_program_decides_about_any_frame() {
    let guard = RefCell::new(Guard::load(Stage::Xdp, None).unwrap());
    let at_tc = RefCell::new(Guard::load(Stage::Tc, None).unwrap());
    let account = RefCell::new(Account::load(None).unwrap());
    let strict = RefCell::new(Strict::load(None).unwrap());
    strict.borrow_mut().enrol(POD, STRICT).unwrap();
    let redirect = RefCell::new(Redirect::load().unwrap());
    let mut taking = redirect.borrow_mut();
    let _socket = taking.pretend(1514, &[four(2), six(2)], &[STOQ]).unwrap();
    drop(taking);
    let splice = RefCell::new(Splice::load(None).unwrap());
    for ipv6 in [false, true] {
        let pair = Pair {
            port: 80,
            ..pair(ipv6)
        };
        splice.borrow_mut().join(pair, FOR_EVER).unwrap();
    }
    let joined = Cell::new(0);
    proptest!(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() }, |(bytes in hostile())| {
        let action = guard.borrow_mut().run(&bytes).unwrap();
        prop_assert!(matches!(action, Action::Pass | Action::Drop));
        if let Ok(same) = at_tc.borrow_mut().run(&bytes) {
            prop_assert_eq!(same, action);
        }
        let action = redirect.borrow_mut().run(&bytes).unwrap();
        prop_assert!(matches!(action, Action::Pass | Action::Redirect));
        for direction in [Direction::ToPod, Direction::FromPod] {
            // The kernel itself refuses to make some of them into packets.
            if let Ok(action) = strict.borrow_mut().run(direction, &bytes, FORWARDED) {
                prop_assert!(matches!(action, Action::Pass | Action::Drop));
                let accounted = account.borrow_mut().run(direction, &bytes, FORWARDED).unwrap();
                prop_assert_eq!(accounted, Action::Pass);
            }
        }
        match splice.borrow_mut().run(&bytes, FORWARDED) {
            Ok(REDIRECT) => joined.set(joined.get() + 1),
            Ok(action) => prop_assert_eq!(action, Action::Pass),
            Err(_) => {}
        }
    });
    let guarded: u64 = guard
        .borrow()
        .counts()
        .unwrap()
        .iter()
        .map(|(_, count)| count.packets)
        .sum();
    assert_eq!(guarded, 3000);
    let strict = strict.borrow().counts(POD).unwrap().unwrap();
    let judged: u64 = strict.iter().map(|seen| seen.count.packets).sum();
    let accounts = account.borrow().read().unwrap();
    let accounted: u64 = accounts.iter().map(|(_, count)| count.packets).sum();
    assert!(
        judged > 3000,
        "most frames are packets to the kernel: {judged}"
    );
    assert_eq!(judged, accounted);
    // How many of the frames are whole and the pairs' is chance, so each pair has one of its own.
    for ipv6 in [false, true] {
        let whole = frame(ipv6, TCP, tcp(5, 80, SYN, b"hello")).build();
        let action = splice.borrow_mut().run(&whole, FORWARDED).unwrap();
        assert_eq!(action, REDIRECT, "IPv6: {ipv6}");
        joined.set(joined.get() + 1);
    }
    let counts = splice.borrow().counts().unwrap();
    let sent: u64 = counts.iter().map(|(_, count)| count.packets).sum();
    assert_eq!(sent, joined.get());
}
