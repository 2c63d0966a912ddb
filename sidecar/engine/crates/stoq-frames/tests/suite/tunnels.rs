//! Packets on a tunnel.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use stoq_frames::hop::{Fit, Limits, Tunnel, fit};
use stoq_wire::frame::Frame;
use stoq_wire::frame::hop::Hop;

fn limited(bytes: usize) -> Limits {
    Limits {
        bytes,
        ..Limits::default()
    }
}

#[test]
fn packets_leave_in_order_and_one_that_is_put_back_is_next() {
    let mut tunnel = Tunnel::new(Limits::default(), Instant::now());
    assert!(tunnel.is_empty());
    assert!(tunnel.put(Bytes::from_static(b"one")) && tunnel.put(Bytes::from_static(b"two")));
    let first = tunnel.take().unwrap();
    assert_eq!(first, "one");
    tunnel.put_back(first);
    assert_eq!(tunnel.take().unwrap(), "one");
    assert_eq!(tunnel.take().unwrap(), "two");
    assert_eq!(tunnel.take(), None);
}

#[test]
fn a_packet_without_room_is_not_kept() {
    let mut tunnel = Tunnel::new(limited(3000), Instant::now());
    let packet = Bytes::from(vec![0; 1200]);
    assert!(tunnel.put(packet.clone()) && tunnel.put(packet.clone()));
    assert!(!tunnel.put(packet.clone()));
    tunnel.take();
    assert!(tunnel.put(packet));
}

#[test]
fn small_packets_count_for_more_than_their_bytes() {
    let mut tunnel = Tunnel::new(limited(1000), Instant::now());
    let kept = (0..1000).filter(|_| tunnel.put(Bytes::from_static(b"x")));
    assert!(kept.count() < 20);
}

#[test]
fn a_tunnel_that_forwards_nothing_ends_after_its_time() {
    let start = Instant::now();
    let mut tunnel = Tunnel::new(Limits::default(), start);
    assert_eq!(tunnel.ends(), start + Duration::from_secs(60));
    tunnel.forwarded(start + Duration::from_secs(59));
    assert_eq!(tunnel.ends(), start + Duration::from_secs(119));
}

#[test]
fn an_initial_goes_in_a_datagram_of_a_usual_path_and_on_the_stream_of_a_narrow_one() {
    assert_eq!(fit(0, 1200, Some(1412)), Fit::Datagram);
    assert_eq!(fit(0, 1200, Some(1211)), Fit::Stream);
    assert_eq!(fit(0, 1200, Some(1212)), Fit::Datagram);
    assert_eq!(fit(0, 1200, None), Fit::Stream);
    assert_eq!(fit(0, 0, Some(1412)), Fit::Nowhere);
    assert_eq!(fit(0, 65_528, None), Fit::Nowhere);
}

proptest! {
    #[test]
    fn what_fits_a_datagram_is_what_its_frame_takes(
        tunnel in 0..1_u64 << 62, length in 1..3000_usize, room in 0..3100_usize,
    ) {
        let data = Bytes::from(vec![0; length]);
        let mut encoded = Vec::new();
        Frame::Hop(Hop::Packet { tunnel, data }).encode(&mut encoded).unwrap();
        let expected = if encoded.len() <= room { Fit::Datagram } else { Fit::Stream };
        prop_assert_eq!(fit(tunnel, length, Some(room)), expected);
    }

    /// A tunnel is a queue, bounded, that loses nothing it has taken.
    #[test]
    fn it_keeps_what_it_takes_within_its_bytes(
        steps in proptest::collection::vec((0..3_u8, 0..400_usize), 0..200),
    ) {
        let mut tunnel = Tunnel::new(limited(2000), Instant::now());
        let mut model: VecDeque<Bytes> = VecDeque::new();
        for (step, length) in steps {
            match step {
                0 | 1 => {
                    let packet = Bytes::from(vec![step; length]);
                    if tunnel.put(packet.clone()) {
                        model.push_back(packet);
                    }
                }
                _ => {
                    let taken = tunnel.take();
                    prop_assert_eq!(&taken, &model.pop_front());
                    if let Some(packet) = taken.filter(|packet| packet.len() % 2 == 0) {
                        tunnel.put_back(packet.clone());
                        model.push_front(packet);
                    }
                }
            }
            prop_assert!(model.iter().map(Bytes::len).sum::<usize>() <= 2000);
            prop_assert_eq!(tunnel.len(), model.len());
            prop_assert_eq!(tunnel.is_empty(), model.is_empty());
        }
    }
}
