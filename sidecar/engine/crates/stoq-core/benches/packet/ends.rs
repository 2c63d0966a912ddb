//! Packets of a connection, sealed and opened with the keys that its handshake ended in.

use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::crypto::{PacketKey, Session};
use stoq_core::session::Evidence;
use stoq_core::tls::TlsSettings;
use stoq_wire::cid::CID_LEN;
use stoq_wire::extension::Negotiated;

use crate::mesh::{Mesh, today};
use crate::pair::shaken;
use crate::{BATCH, Took};

/// The first byte, the connection ID, and a packet number of two bytes.
const HEADER: usize = 1 + CID_LEN + 2;

/// The first number of packets that nobody opens: no nonce is used twice.
const UNOPENED: u64 = 1 << 40;

/// A client that sends, and its server.
pub(crate) struct Ends {
    sessions: [Box<dyn Session>; 2],
    sealing: Box<dyn PacketKey>,
    opening: Box<dyn PacketKey>,
    number: u64,
    /// What the last sealing left.
    datagram: Vec<u8>,
    /// Packets that wait to be opened, without their header.
    sealed: Vec<BytesMut>,
}

impl Ends {
    /// Two ends that both announce this, with packets of `size` bytes.
    pub(crate) fn new(size: usize, settings: TlsSettings) -> Self {
        let mesh = Mesh::new();
        let client = mesh.workload_with("web", today(), settings.clone());
        let server = mesh.workload_with("db", today(), settings);
        let mut sessions = shaken(&client, &server);
        // Those of the next key phase: wrapped like the first ones, and still to be had.
        let [sending, receiving] = sessions.each_mut().map(|session| {
            let keys = session.next_1rtt_keys();
            keys.expect("the handshake is over")
        });
        Self {
            sessions,
            sealing: sending.local,
            opening: receiving.remote,
            number: 0,
            datagram: vec![0x5a; size],
            sealed: vec![BytesMut::with_capacity(size); BATCH],
        }
    }

    /// Seals a batch, then opens another.
    pub(crate) fn batch(&mut self) -> Took {
        let first = self.number;
        let begun = Instant::now();
        for number in (UNOPENED + first..).take(BATCH) {
            self.sealing.encrypt(number, &mut self.datagram, HEADER);
            black_box(&mut self.datagram);
        }
        let sealing = begun.elapsed();
        let payload = self.covered();
        let mut expected = Vec::new();
        for (number, sealed) in (first..).zip(&mut self.sealed) {
            expected.clear();
            expected.extend_from_slice(&self.datagram[payload.clone()]);
            self.sealing.encrypt(number, &mut self.datagram, HEADER);
            sealed.clear();
            sealed.extend_from_slice(&self.datagram[HEADER..]);
        }
        let header = &self.datagram[..HEADER];
        let begun = Instant::now();
        for (number, sealed) in (first..).zip(&mut self.sealed) {
            let opened = self.opening.decrypt(number, header, sealed);
            opened.expect("it was sealed with the same key");
            black_box(sealed);
        }
        let opening = begun.elapsed();
        self.number += BATCH as u64;
        let last = self.sealed.last().expect("a batch has packets");
        assert_eq!(last, &expected, "what was sealed is what comes out");
        [sealing, opening]
    }

    /// Where QUIC's frames are in a packet, which a token covers.
    pub(crate) fn covered(&self) -> Range<usize> {
        HEADER..self.datagram.len() - self.sealing.tag_len()
    }

    pub(crate) fn agreed(&self) -> Negotiated {
        evidence(&*self.sessions[0]).agreed
    }

    /// A packet with a fault looks like one without to who opens it.
    pub(crate) fn assert_no_fault(&self) {
        for session in &self.sessions {
            let packets = evidence(&**session).packets.clone();
            let fault = packets.and_then(|packets| packets.fault().copied());
            assert_eq!(fault, None);
        }
    }
}

fn evidence(session: &dyn Session) -> Arc<Evidence> {
    let data = session.handshake_data().expect("the handshake is over");
    *data.downcast().expect("that is what our sessions tell")
}
