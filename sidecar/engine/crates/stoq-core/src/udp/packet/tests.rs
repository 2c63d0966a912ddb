use super::*;
use proptest::prelude::*;

const LOOPBACK: Fragments = Fragments::Above(65_575);
const ETHERNET: Fragments = Fragments::Above(1500);

fn v6(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn an_ipv6_datagram_is_as_another_program_made_it() {
    let made = packets(v6("[fd00::1]:1"), v6("[fd00::2]:2"), b"abc", ETHERNET, 0).unwrap();
    let expected = concat!(
        "60000000000b1140",
        "fd000000000000000000000000000001",
        "fd000000000000000000000000000002",
        "00010002000b416e616263",
    );
    let hex: String = made[0].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((made.len(), hex.as_str()), (1, expected));
}

#[test]
fn two_families_make_no_packet_and_neither_does_too_much() {
    assert_eq!(
        packets(v6("[fd00::1]:1"), v6("10.0.0.1:1"), b"", ETHERNET, 0),
        None
    );
    let whole = vec![0; 65_527];
    let to = (v6("[fd00::1]:1"), v6("[fd00::2]:2"));
    assert_eq!(packets(to.0, to.1, &whole, LOOPBACK, 0).unwrap().len(), 1);
    assert_eq!(packets(to.0, to.1, &[0; 65_528], LOOPBACK, 0), None);
    // An IPv4 packet's length counts its own header.
    let to = (v6("10.0.0.1:1"), v6("10.0.0.2:2"));
    assert_eq!(packets(to.0, to.1, &whole, LOOPBACK, 0), None);
    assert!(packets(to.0, to.1, &whole[..65_507], LOOPBACK, 0).is_some());
}

#[test]
fn what_must_stay_whole_is_one_packet_that_says_so_in_ipv4() {
    for (from, to) in [("10.0.0.1:1", "10.0.0.2:2"), ("[fd00::1]:1", "[fd00::2]:2")] {
        let made = packets(v6(from), v6(to), &[7; 9000], Fragments::Never, 5).unwrap();
        let [packet] = &made[..] else {
            panic!("{} packets to {to}", made.len());
        };
        assert_eq!(&packet[packet.len() - 9000..], [7; 9000]);
        if to.starts_with("10.") {
            assert_eq!(packet[6..8], [0x40, 0], "Don't Fragment, and no offset");
            assert_eq!(folded(sum(&packet[..20])), 0xffff);
        }
    }
    let made = packets(v6("10.0.0.1:1"), v6("10.0.0.2:2"), &[7; 9], ETHERNET, 5).unwrap();
    assert_eq!(made[0][6..8], [0, 0], "routers may divide it");
}

/// Puts fragments together as a receiver would.
fn reassembled(packets: &[Vec<u8>], ipv4: bool) -> Vec<u8> {
    let mut udp = Vec::new();
    for (number, packet) in packets.iter().enumerate() {
        let (offset, more, body) = if ipv4 {
            let field = u16::from_be_bytes([packet[6], packet[7]]);
            (usize::from(field & 0x1fff) * 8, field & 0x2000 != 0, 20)
        } else if packet[6] == FRAGMENT {
            let field = u16::from_be_bytes([packet[42], packet[43]]);
            (usize::from(field & !7), field & 1 != 0, 48)
        } else {
            (0, false, 40)
        };
        assert_eq!(offset, udp.len());
        assert_eq!(more, number + 1 < packets.len());
        udp.extend_from_slice(&packet[body..]);
    }
    udp
}

proptest! {
    #[test]
    fn payloads_come_through_whole_with_a_right_checksum(
        payload in proptest::collection::vec(any::<u8>(), 0..9000),
        mtu in 576..9200_usize,
        ipv4 in any::<bool>(),
    ) {
        let (source, destination) = if ipv4 {
            (v6("10.0.0.1:5000"), v6("10.0.0.2:53"))
        } else {
            (v6("[fd00::1]:5000"), v6("[fd00::2]:53"))
        };
        let made = packets(source, destination, &payload, Fragments::Above(mtu), 7).unwrap();
        for packet in &made {
            prop_assert!(packet.len() <= mtu);
            prop_assert!(!ipv4 || folded(sum(&packet[..20])) == 0xffff);
        }
        let udp = reassembled(&made, ipv4);
        let pseudo = match (source, destination) {
            (SocketAddr::V4(a), SocketAddr::V4(b)) => pseudo_v4(*a.ip(), *b.ip()),
            (SocketAddr::V6(a), SocketAddr::V6(b)) => pseudo_v6(*a.ip(), *b.ip()),
            _ => unreachable!("one family"),
        };
        let total = sum(&udp) + sum(&pseudo) + u64::from(UDP) + udp.len() as u64;
        prop_assert_eq!(folded(total), 0xffff);
        prop_assert_eq!(&udp[8..], &payload[..]);
    }
}
