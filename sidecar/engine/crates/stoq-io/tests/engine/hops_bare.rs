//! What somebody may send beside a tunnel, and what comes of it.

use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use bytes::Bytes;
use serde_json::json;
use stoq_core::tls::TlsContext;
use stoq_wire::bare::{BareId, ID_LEN, PROBE_LEN, probe};
use stoq_wire::code::StreamCode;
use stoq_wire::extension::HOPS;
use stoq_wire::frame::Frame;
use stoq_wire::frame::beside::{Beside, InnerCid};
use stoq_wire::frame::hop::{Hop, Route, RouteId};

use crate::asker::{Asker, MOMENT};
use crate::mesh::{PATIENCE, eventually, id};
use crate::net::{DB, in_namespace};
use crate::routed::{Routed, forwarding, object};

const NEAR: &[u8] = b"its own!";
const FAR: &[u8] = b"the end's";
const OURS: BareId = BareId([0x77; ID_LEN]);

/// A route that is open, and packets that may go beside it.
struct Scene {
    routed: Routed,
    workload: UdpSocket,
    asker: Asker,
    stream: quinn_proto::StreamId,
    /// Under which the gateway takes packets.
    theirs: BareId,
}

fn forward() -> Frame {
    Frame::Hop(Hop::Beside(Beside::Forward {
        id: OURS,
        source: InnerCid::new(NEAR).unwrap(),
        destination: InnerCid::new(FAR).unwrap(),
    }))
}

/// A short header, with what is behind the connection ID.
fn short(cid: &[u8], rest: &[u8]) -> Vec<u8> {
    [&b"\x41"[..], cid, rest].concat()
}

impl Scene {
    fn new() -> Self {
        Self::asked_by(Routed::forwarded(&[&["a"]]), Asker::connect)
    }

    fn asked_by(routed: Routed, connect: impl Fn(&TlsContext, SocketAddr) -> Asker) -> Self {
        let workload = UdpSocket::bind(format!("[{DB}]:0")).unwrap();
        workload.set_read_timeout(Some(MOMENT)).unwrap();
        let destination = workload.local_addr().unwrap();
        routed.set_table("a", |table| {
            table["workloads"][0]["port"] = json!(destination.port());
            table["workloads"][0]["spiffe_id"] = json!(id("socket").as_str());
        });
        let mut asker = connect(&routed.identity("web"), routed.address("a"));
        let route = Route {
            id: RouteId([1; 16]),
            position: 0,
            gateways: vec![id("a").to_string()],
            destination,
            identity: id("socket").to_string(),
        };
        let stream = asker.say(&[Frame::Hop(Hop::Open(route)), forward()]);
        let Frame::Hop(Hop::Beside(Beside::Forwarded(theirs))) = asker.heard(stream) else {
            panic!("it takes none");
        };
        Self {
            routed,
            workload,
            asker,
            stream,
            theirs,
        }
    }

    fn bare(&self, id: BareId, rest: &[u8]) -> Vec<u8> {
        short(&id.0, rest)
    }

    fn got(&mut self) -> Vec<u8> {
        self.asker.heard_by(&self.workload).0
    }

    /// Says that a probe came.
    fn saw(&mut self, probe: &[u8]) {
        let seen = Beside::Seen(probe[17..].try_into().unwrap());
        let frame = Frame::Hop(Hop::Beside(seen));
        self.asker.more(self.stream, &frame);
    }

    fn dropped(&self) -> u64 {
        self.routed.gateway("a").snapshot().hop_dropped["no_tunnel"]
    }
}

#[test]
fn a_packet_under_the_gateways_id_reaches_the_workload_with_its_own_connection_id() {
    in_namespace(|| {
        let mut scene = Scene::new();
        let rest = [5; 40];
        let packet = scene.bare(scene.theirs, &rest);
        scene.asker.send_raw(&packet);
        assert_eq!(scene.got(), short(FAR, &rest));
        // The gateway cannot tell a repetition, and the inner connection drops it.
        scene.asker.send_raw(&packet);
        assert_eq!(scene.got(), short(FAR, &rest));
    });
}

#[test]
fn what_answers_goes_beside_the_tunnel_once_a_probe_was_seen() {
    in_namespace(|| {
        let mut scene = Scene::new();
        scene.asker.send(u64::from(scene.stream), b"from here");
        let (_, gateway) = scene.asker.heard_by(&scene.workload);
        let answer = short(NEAR, &[6; 30]);
        scene.workload.send_to(&answer, gateway).unwrap();
        let tunnel = u64::from(scene.stream);
        assert_eq!(scene.asker.receive(), (tunnel, Bytes::from(answer.clone())));
        let sent = scene.asker.raw(OURS);
        assert_eq!(sent.len(), PROBE_LEN, "first a probe");
        scene.saw(&sent);
        let mut beside = None;
        eventually("it believes that", || {
            scene.workload.send_to(&answer, gateway).unwrap();
            let by_tunnel = scene.asker.within_a_moment();
            beside = None;
            while scene.asker.others() > 0 {
                let sent = scene.asker.raw(OURS);
                match sent.len() {
                    // It asks again by and by.
                    PROBE_LEN => scene.saw(&sent),
                    _ => beside = Some(sent),
                }
            }
            by_tunnel.is_empty() && beside.is_some()
        });
        assert_eq!(beside, Some(short(&OURS.0, &[6; 30])));
        let long = [&b"\xc1"[..], NEAR, &[6; 30]].concat();
        let other = short(b"another.", &[6; 30]);
        for stays in [long, other] {
            scene.workload.send_to(&stays, gateway).unwrap();
            let mut came = scene.asker.receive();
            // One of those before that was late.
            while came.1 == answer {
                came = scene.asker.receive();
            }
            assert_eq!(came, (tunnel, Bytes::from(stays)));
        }
    });
}

/// What a generator by shifts, xorshift64*, says after this number.
fn shifted(first: u64) -> impl Iterator<Item = u64> {
    const FACTOR: u64 = 0x2545_f491_4f6c_dd1d;
    // By Newton: each step doubles the bits that are right, of which an odd number has three to begin with.
    let inverse = (0..5).fold(FACTOR, |inverse, _| {
        inverse.wrapping_mul(2_u64.wrapping_sub(FACTOR.wrapping_mul(inverse)))
    });
    let states = std::iter::successors(Some(first.wrapping_mul(inverse)), |state| {
        let state = state ^ state >> 12;
        let state = state ^ state << 25;
        Some(state ^ state >> 27)
    });
    states.skip(1).map(|state| state.wrapping_mul(FACTOR))
}

#[test]
fn nobody_learns_from_one_probe_what_the_next_will_ask() {
    let second = shifted(0x2545_f491_4f6c_dd1d).next().unwrap();
    assert_eq!(
        second, 0x47e4_ce4b_896c_dd1d,
        "of a generator that began with 1"
    );
    in_namespace(|| {
        let mut scene = Scene::new();
        scene.asker.send(u64::from(scene.stream), b"from here");
        let (_, gateway) = scene.asker.heard_by(&scene.workload);
        let answer = short(NEAR, &[6; 30]);
        let mut nonces = Vec::new();
        let until = Instant::now() + PATIENCE;
        while nonces.len() < 2 {
            // It asks again when a second is over, and with a packet that has to go somewhere.
            scene.workload.send_to(&answer, gateway).unwrap();
            scene.asker.within_a_moment();
            while scene.asker.others() > 0 {
                let probe = scene.asker.raw(OURS);
                if probe.len() == PROBE_LEN {
                    let nonce = u64::from_be_bytes(probe[17..].try_into().unwrap());
                    // It says the same one again until it has heard that it was seen.
                    if nonces.last() != Some(&nonce) {
                        nonces.push(nonce);
                    }
                    scene.saw(&probe);
                }
            }
            assert!(Instant::now() < until, "{} probes", nonces.len());
        }
        assert!(
            !shifted(nonces[0])
                .take(100_000)
                .any(|guess| guess == nonces[1])
        );
    });
}

#[test]
fn a_probe_is_answered_on_the_stream_and_a_flood_of_them_hardly() {
    in_namespace(|| {
        let mut scene = Scene::new();
        let nonce = [9; 8];
        scene.asker.send_raw(&probe(scene.theirs, nonce));
        let heard = scene.asker.heard(scene.stream);
        assert_eq!(heard, Frame::Hop(Hop::Beside(Beside::Seen(nonce))));
        // So that the first of them is answered.
        std::thread::sleep(MOMENT);
        let begun = Instant::now();
        // A gateway that has no CPU for a while may lose what comes meanwhile.
        eventually("most are not answered", || {
            for _ in 0..100 {
                scene.asker.send_raw(&probe(scene.theirs, nonce));
            }
            scene.routed.gateway("a").snapshot().hop_dropped["unanswered_probe"] >= 400
        });
        // However long the first one takes.
        scene.asker.heard(scene.stream);
        let answers = 1 + scene.asker.heard_within_a_moment(scene.stream);
        // One in 50 ms, and one at the beginning.
        let most = 1 + begun.elapsed().as_millis() / 50;
        assert!(answers as u128 <= most, "{answers} of at most {most}");
        assert!(scene.workload.recv_from(&mut [0; 100]).is_err());
    });
}

#[test]
fn who_asks_again_and_again_and_reads_no_answer_takes_no_more_memory_than_a_route_has() {
    in_namespace(|| {
        const MOST: usize = 65_536;
        const WINDOW: usize = 16_384;
        let queue = json!({"gateway": {"queue_bytes": MOST}});
        let routed = Routed::with_gateways(&[&["a"]], forwarding(), &queue);
        let narrow = |tls: &TlsContext, at| Asker::connect_narrow(tls, at, WINDOW as u32);
        let mut scene = Scene::asked_by(routed, narrow);
        let asked = 8000;
        scene.asker.flood(scene.stream, &forward(), asked);
        let come = |routed: &Routed| {
            routed
                .gateway("a")
                .snapshot()
                .counters
                .udp_datagrams_received
        };
        let mut before = 0;
        while come(&scene.routed) > before + 2 {
            before = come(&scene.routed);
            // Nothing of what is answered is read here.
            scene.asker.within_a_moment();
        }
        scene.asker.heard(scene.stream);
        let more = std::iter::from_fn(|| match scene.asker.heard_within_a_moment(scene.stream) {
            0 => None,
            some => Some(some),
        });
        let answers = 1 + more.sum::<usize>();
        let length = 8 + 1 + ID_LEN;
        assert!(answers < asked, "{answers}");
        assert!(answers * length <= MOST + 2 * WINDOW, "{answers}");
        assert!(scene.asker.lost.is_none());
    });
}

#[test]
fn unknown_ids_and_other_senders_reach_nobody_and_are_answered_by_nothing() {
    in_namespace(|| {
        let mut scene = Scene::new();
        let before = scene.dropped();
        let mut unknown = scene.theirs;
        unknown.0[ID_LEN - 1] ^= 1;
        let packet = scene.bare(unknown, &[5; 1200]);
        scene.asker.send_raw(&packet);
        let stranger = UdpSocket::bind(format!("[{DB}]:0")).unwrap();
        stranger.set_read_timeout(Some(MOMENT)).unwrap();
        let packet = scene.bare(scene.theirs, &[5; 1200]);
        stranger
            .send_to(&packet, scene.routed.address("a"))
            .unwrap();
        stranger
            .send_to(&probe(scene.theirs, [1; 8]), scene.routed.address("a"))
            .unwrap();
        eventually("they are counted", || scene.dropped() == before + 3);
        assert!(
            stranger.recv_from(&mut [0; 100]).is_err(),
            "no reset either"
        );
        assert!(scene.workload.recv_from(&mut [0; 100]).is_err());
        assert_eq!(scene.asker.within_a_moment(), []);
        assert_eq!(scene.asker.others(), 0, "nothing that is no packet of ours");
    });
}

#[test]
fn an_id_is_gone_with_its_route_and_one_that_is_asked_for_again_with_the_next() {
    in_namespace(|| {
        let mut scene = Scene::new();
        let first = scene.theirs;
        scene.asker.more(scene.stream, &forward());
        let Frame::Hop(Hop::Beside(Beside::Forwarded(second))) = scene.asker.heard(scene.stream)
        else {
            panic!("it takes none");
        };
        assert_ne!(first, second);
        let [old, new] = [first, second].map(|id| scene.bare(id, &[5; 40]));
        scene.asker.send_raw(&old);
        assert!(scene.workload.recv_from(&mut [0; 100]).is_err());
        scene.asker.send_raw(&new);
        assert_eq!(scene.got(), short(FAR, &[5; 40]));
        scene.asker.end(scene.stream);
        eventually("the route has ended", || {
            scene.routed.gateway("a").snapshot().gauges.routes == 0
        });
        scene.asker.send_raw(&new);
        assert!(scene.workload.recv_from(&mut [0; 100]).is_err());
        assert!(scene.asker.lost.is_none());
    });
}

#[test]
fn what_nobody_agreed_on_ends_the_route_or_the_connection_and_nothing_else() {
    in_namespace(|| {
        let mut scene = Scene::new();
        let said = Frame::Hop(Hop::Beside(Beside::Forwarded(OURS)));
        scene.asker.more(scene.stream, &said);
        assert_eq!(scene.asker.code_of(scene.stream), Some(StreamCode::Denied));
        assert!(scene.asker.lost.is_none());

        let mut plain = forwarding();
        plain.extensions = HOPS;
        let mut other = Asker::connect(
            &scene.routed.identity_offering("web", plain),
            scene.routed.address("a"),
        );
        other.say(&[forward()]);
        other.until("it is closed", |asker| asker.lost.is_some());
        scene.routed.set_table("a", |table| {
            table["workloads"][0]["port"] = json!(scene.routed.server_port());
            table["workloads"][0]["spiffe_id"] = json!(id("db").as_str());
        });
        let sent = object(1000);
        assert!(scene.routed.send(&sent).unwrap().data.concat() == sent);
    });
}
