//! What a token is made of: its hash, and the frame that it is in.

use std::hint::black_box;
use std::ops::Range;
use std::time::Instant;

use stoq_frames::token::{TokenKey, TokenKeys};
use stoq_wire::control::Role;
use stoq_wire::extension::Negotiated;
use stoq_wire::frame::token::{EXPORTER_LEN, PACKET_TAG_LEN, PacketToken, TokenForm};
use stoq_wire::packet::reserve;

use crate::{BATCH, Took};

/// Above it a packet number takes eight bytes in a token: the longest one.
const NUMBER: u64 = 1 << 32;

/// Making the tag, and nothing with it. Checking one is the same, and 32 bytes compared.
pub(crate) struct Hash {
    key: TokenKey,
    datagram: Vec<u8>,
    covered: Range<usize>,
}

impl Hash {
    /// Over these bytes of a packet of `size`: where they begin tells in nanoseconds.
    pub(crate) fn new(size: usize, covered: Range<usize>) -> Self {
        Self {
            key: TokenKeys::new(&[7; EXPORTER_LEN], Role::Client).send,
            datagram: vec![0x5a; size],
            covered,
        }
    }

    pub(crate) fn batch(&self) -> Took {
        [(), ()].map(|()| {
            let begun = Instant::now();
            for number in NUMBER..NUMBER + BATCH as u64 {
                let payload = black_box(&self.datagram[self.covered.clone()]);
                black_box(self.key.tag(TokenForm::Packet, 0, number, payload));
            }
            begun.elapsed()
        })
    }
}

/// Writing the frame into a reserve, and taking it out of a payload.
pub(crate) struct Frame {
    agreed: Negotiated,
    /// QUIC's frames, and the reserve.
    plain: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(covered: usize, agreed: Negotiated) -> Self {
        Self {
            plain: vec![0x5a; covered + agreed.reserve],
            agreed,
        }
    }

    pub(crate) fn batch(&mut self) -> Took {
        let reserved = self.plain.len() - self.agreed.reserve;
        let token = PacketToken {
            tag: [0x5a; PACKET_TAG_LEN],
        };
        let begun = Instant::now();
        for _ in 0..BATCH {
            let room = black_box(&mut self.plain[reserved..]);
            reserve::write(Some(black_box(&token)), room).expect("a token fits");
        }
        let writing = begun.elapsed();
        let begun = Instant::now();
        for _ in 0..BATCH {
            let found = reserve::read(black_box(&self.plain), &self.agreed);
            black_box(&found.expect("it was just written"));
        }
        let reading = begun.elapsed();
        let found = reserve::read(&self.plain, &self.agreed);
        assert_eq!(found, Ok((reserved, Some(token))));
        [writing, reading]
    }
}
