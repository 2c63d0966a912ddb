use proptest::prelude::*;

use super::*;
use crate::udp::packet::{Fragments, packets};

const OURS: Mac = [2, 0, 0, 0, 0, 1];
const THEIRS: Mac = [2, 0, 0, 0, 0, 2];

const V6: [&str; 2] = ["[fd00::1]:40000", "[fd00::2]:14008"];
const V4: [&str; 2] = ["10.0.0.1:40000", "10.0.0.2:14008"];

fn ends([source, destination]: [&str; 2]) -> [SocketAddr; 2] {
    [source.parse().unwrap(), destination.parse().unwrap()]
}

fn datagram<'a>(named: [&str; 2], payload: &'a [u8]) -> Datagram<'a> {
    let [source, destination] = ends(named);
    Datagram {
        source,
        destination,
        ecn: 2,
        payload,
    }
}

fn frame(datagram: &Datagram<'_>) -> Vec<u8> {
    let mut space = vec![0xee; headers(datagram.source.is_ipv6()) + datagram.payload.len()];
    let size = write(&mut space, OURS, THEIRS, datagram).unwrap();
    assert_eq!(size, space.len());
    space
}

/// A frame with some bytes of it exchanged, and its IPv4 header's sum made right again.
fn changed(named: [&str; 2], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = frame(&datagram(named, b"a long enough hello!"));
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    if frame[12..14] == ETHERTYPE_V4 {
        frame[24..26].fill(0);
        let checksum = !folded(sum(&frame[14..34]));
        frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    }
    frame
}

#[test]
fn a_frame_is_ethernet_around_the_packet_that_a_raw_socket_sends() {
    for named in [V6, V4] {
        let [source, destination] = ends(named);
        let mut made = packets(source, destination, b"hello", Fragments::Above(1500), 0).unwrap();
        let packet = made.pop().unwrap();
        let mut whole = frame(&Datagram {
            ecn: 0,
            ..datagram(named, b"hello")
        });
        assert_eq!(whole[..12], [THEIRS, OURS].concat());
        if source.is_ipv4() {
            // Raw sockets let the kernel fragment; frames do not.
            assert_eq!(whole[20..22], DONT_FRAGMENT);
            whole[20..22].fill(0);
            let sum = u16::from_be_bytes([whole[24], whole[25]]) + 0x4000;
            whole[24..26].copy_from_slice(&sum.to_be_bytes());
        }
        assert_eq!(whole[ETHERNET..], packet);
    }
}

#[test]
fn headers_are_the_same_wherever_the_payload_is() {
    for named in [V6, V4] {
        for length in [0, 1, 1200, 8951, 65_000] {
            let payload: Vec<u8> = (0..length).map(|n: u32| (n * 7) as u8).collect();
            let datagram = datagram(named, &payload);
            let whole = frame(&datagram);
            let mut space = [0xee; MOST_HEADERS];
            let size = head(&mut space, OURS, THEIRS, &datagram).unwrap();
            assert_eq!(whole[..size], space[..size], "{length} bytes");
            assert_eq!(whole[size..], payload);
            assert_eq!(head(&mut space[..size - 1], OURS, THEIRS, &datagram), None);
        }
    }
}

#[test]
fn padding_of_the_link_is_no_part_of_the_datagram() {
    let mut short = frame(&datagram(V4, b"x"));
    short.resize(60, 0);
    assert_eq!(read(&short).unwrap(), datagram(V4, b"x"));
}

#[test]
fn a_sum_that_was_left_to_the_device_is_taken() {
    for named in [V6, V4] {
        let mut left = frame(&datagram(named, b"hello"));
        let udp = left.len() - 13;
        let addresses = if named == V6 { 22..54 } else { 26..34 };
        let partial = folded(pseudo(&left[addresses], 13));
        left[udp + 6..udp + 8].copy_from_slice(&partial.to_be_bytes());
        assert_eq!(read(&left).unwrap().payload, b"hello");
    }
}

#[test]
fn what_the_stack_would_refuse_or_put_together_is_refused() {
    let refused = |named, at, bytes: &[u8]| read(&changed(named, at, bytes)).unwrap_err();
    assert_eq!(refused(V6, 12, &[0x81, 0]), Malformed::NotIp);
    assert_eq!(refused(V6, 12, &ETHERTYPE_V4), Malformed::NotIp);
    assert_eq!(refused(V4, 12, &ETHERTYPE_V6), Malformed::NotIp);
    assert_eq!(refused(V4, 14, &[0x46]), Malformed::NotUdp);
    assert_eq!(refused(V4, 23, &[6]), Malformed::NotUdp);
    assert_eq!(refused(V6, 20, &[44]), Malformed::NotUdp);
    assert_eq!(refused(V4, 20, &[0x20]), Malformed::Fragment);
    assert_eq!(refused(V4, 21, &[1]), Malformed::Fragment);
    assert_eq!(refused(V4, 16, &[0xff, 0xff]), Malformed::Length);
    assert_eq!(refused(V4, 16, &[0, 19]), Malformed::Length);
    assert_eq!(refused(V6, 18, &[0, 200]), Malformed::Length);
    assert_eq!(refused(V6, 18, &[0, 7]), Malformed::Length);
    assert_eq!(refused(V6, 58, &[0, 12]), Malformed::Length);
    assert_eq!(refused(V6, 60, &[0, 0]), Malformed::Checksum);
    assert_eq!(refused(V6, 60, &[1, 2]), Malformed::Checksum);
    let mut broken = frame(&datagram(V4, b"hello"));
    broken[22] ^= 1;
    assert_eq!(read(&broken), Err(Malformed::Checksum));
}

#[test]
fn addresses_and_ports_that_nobody_has_are_refused() {
    let other = V6[1];
    for source in [
        "[::]:1",
        "[::1]:1",
        "[ff02::1]:1",
        "[fe80::1]:1",
        "[::ffff:10.0.0.1]:1",
        "[fd00::1]:0",
    ] {
        let frame = frame(&datagram([source, other], b"x"));
        assert_eq!(read(&frame), Err(Malformed::Address), "{source}");
    }
    for source in [
        "0.0.0.0:1",
        "0.1.2.3:1",
        "127.0.0.1:1",
        "224.0.0.1:1",
        "255.255.255.255:1",
        "169.254.0.1:1",
        "10.0.0.1:0",
    ] {
        let frame = frame(&datagram([source, V4[1]], b"x"));
        assert_eq!(read(&frame), Err(Malformed::Address), "{source}");
    }
}

#[test]
fn two_families_and_too_little_space_make_no_frame() {
    let mixed = datagram([V6[0], V4[1]], b"x");
    assert_eq!(write(&mut [0; 100], OURS, THEIRS, &mixed), None);
    let whole = datagram(V6, b"x");
    assert_eq!(write(&mut [0; 62], OURS, THEIRS, &whole), None);
    assert_eq!(write(&mut [0; 63], OURS, THEIRS, &whole), Some(63));
    let huge = vec![0; 65_530];
    let too_long = datagram(V4, &huge);
    assert_eq!(write(&mut vec![0; 70_000], OURS, THEIRS, &too_long), None);
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..1500)
}

proptest! {
    #[test]
    fn what_is_written_is_read(payload in payload(), ecn in 0..4_u8, six: bool, ports: [u16; 2]) {
        let [mut source, mut destination] = ends(if six { V6 } else { V4 });
        source.set_port(ports[0].max(1));
        destination.set_port(ports[1].max(1));
        let sent = Datagram { source, destination, ecn, payload: &payload };
        let written = frame(&sent);
        prop_assert_eq!(read(&written), Ok(sent));
    }

    #[test]
    fn a_flipped_bit_is_noticed_or_was_not_summed(
        payload in payload(), six: bool, place: prop::sample::Index, bit in 0..8
    ) {
        let sent = datagram(if six { V6 } else { V4 }, &payload);
        let mut frame = frame(&sent);
        let at = place.index(frame.len());
        frame[at] ^= 1_u8 << bit;
        // Not summed: the link's addresses; of IPv6 traffic class, flow label and hop limit.
        let free = at < 12 || (six && matches!(at, 14..=17 | 21));
        prop_assert!(free || read(&frame).is_err(), "byte {} of {}", at, frame.len());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, six: bool) {
        let _ = read(&bytes);
        let kind = if six { ETHERTYPE_V6 } else { ETHERTYPE_V4 };
        let _ = read(&[&[0; 12][..], &kind, &bytes].concat());
    }
}
