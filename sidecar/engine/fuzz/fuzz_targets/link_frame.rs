//! Frames of the link, as anybody on it sends them: what is read is written again as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoq_core::udp::frame::{MOST_HEADERS, Malformed, head, headers, read, write};

fuzz_target!(|input: &[u8]| {
    let datagram = match read(input) {
        Ok(datagram) => datagram,
        Err(why) => {
            assert!(why != Malformed::NotIp || input.len() >= 14);
            return;
        }
    };
    assert!(datagram.source.port() != 0 && datagram.destination.port() != 0);
    let size = headers(datagram.source.is_ipv6()) + datagram.payload.len();
    assert!(size <= input.len());
    let mut space = vec![0; size];
    let written = write(&mut space, [2; 6], [4; 6], &datagram).expect("what we read, we write");
    assert_eq!(written, size);
    let mut apart = [0; MOST_HEADERS];
    let length = head(&mut apart, [2; 6], [4; 6], &datagram).expect("what we read, we write");
    assert_eq!(space.split_at(length), (&apart[..length], datagram.payload));
    assert_eq!(read(&space), Ok(datagram));
});
