//! Engines whose datagrams go past the kernel's stack, over a veth: frames are copied, as no driver of
//! software can do otherwise.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use stoq_core::udp::frame::{self, Datagram};
use stoq_io::Engine;

use crate::mesh::{Mesh, accept, application, eventually, eventually_is, merged};
use crate::net::{DB, Link, WEB};
use crate::past_stack;

/// Lends `eth0` of the calling thread's namespace, as settings of an engine.
pub(crate) fn lent() -> Value {
    past_stack::lent("eth0").unwrap()
}

/// Both engines past the stack, with more settings.
pub(crate) fn past_the_stack(link: &Link, more: &Value) -> Mesh {
    let web = merged(link.client(lent), more.clone());
    let db = merged(link.server(lent), more.clone());
    Mesh::between(link, web, db)
}

fn bytes(count: u32) -> Vec<u8> {
    (0..count)
        .map(|n| (n.wrapping_mul(7919) >> 5) as u8)
        .collect()
}

/// Sends so many bytes there and back, which must arrive as they were.
pub(crate) fn echoed(mut client: TcpStream, listener: &TcpListener, count: u32) {
    let sent = bytes(count);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut server = accept(listener);
            let mut received = Vec::new();
            server.read_to_end(&mut received).unwrap();
            assert!(received == bytes(count), "{} bytes", received.len());
            server.write_all(&received).unwrap();
        });
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        assert!(received == sent, "{} of {count} bytes", received.len());
    });
}

pub(crate) fn frames_sent(engine: &Engine) -> u64 {
    engine.snapshot().counters.af_xdp_frames_sent
}

pub(crate) fn fallbacks(engine: &Engine, why: &str) -> u64 {
    engine.snapshot().af_xdp_fallbacks[why]
}

#[test]
fn bytes_arrive_whole_in_both_directions_past_the_stack() {
    let link = Link::unbounded(1);
    let mesh = past_the_stack(&link, &json!({}));
    let listener = link.server(application);
    echoed(link.client(|| mesh.dial()), &listener, 3_000_000);
    for (engine, peer) in [(&mesh.web, &mesh.db), (&mesh.db, &mesh.web)] {
        let (here, there) = (engine.snapshot(), peer.snapshot());
        assert_eq!(here.gauges.af_xdp_queues, 1);
        // Frames of 1,500 bytes at most.
        assert!(here.counters.af_xdp_frames_sent > 2000, "{here:?}");
        assert!(there.counters.af_xdp_frames_received > 2000, "{there:?}");
        assert_eq!(here.counters.af_xdp_frames_malformed, 0);
        let before = here.counters.udp_datagrams_sent - here.counters.af_xdp_frames_sent;
        // The handshake, and what the kernel resolved the neighbour by.
        assert!(before < 1000, "{before} datagrams by the socket: {here:?}");
    }
}

#[test]
fn a_peer_whose_datagrams_go_by_sockets_is_understood() {
    for lends_client in [true, false] {
        let link = Link::unbounded(1);
        let (web, db) = match lends_client {
            true => (link.client(lent), json!({})),
            false => (json!({}), link.server(lent)),
        };
        let mesh = Mesh::between(&link, web, db);
        let listener = link.server(application);
        echoed(link.client(|| mesh.dial()), &listener, 1_000_000);
        let lent = if lends_client { &mesh.web } else { &mesh.db };
        assert!(frames_sent(lent) > 500);
        assert!(lent.snapshot().counters.af_xdp_frames_received > 500);
    }
}

#[test]
fn several_workers_share_several_queues_or_one() {
    for queues in [2, 1] {
        let link = Link::unbounded(queues);
        let mesh = past_the_stack(&link, &json!({"workers": 2}));
        let listener = link.server(application);
        eventually("both workers have their share", || {
            mesh.db.snapshot().gauges.af_xdp_queues == u64::from(queues)
        });
        for _ in 0..4 {
            echoed(link.client(|| mesh.dial()), &listener, 300_000);
        }
        assert_eq!(
            mesh.web.snapshot().connections_closed.values().sum::<u64>(),
            0
        );
    }
}

#[test]
fn when_the_link_goes_away_in_the_midst_of_a_transfer_the_sockets_go_on_over_another_one() {
    let link = Link::unbounded(1);
    let mesh = past_the_stack(&link, &json!({}));
    let listener = link.server(application);
    let mut client = link.client(|| mesh.dial());
    let mut server = accept(&listener);
    let sent = bytes(4_000_000);
    thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let mut received = vec![0; 1_000_000];
            server.read_exact(&mut received).unwrap();
            assert!(frames_sent(&mesh.web) > 0);
            link.replace();
            server.read_to_end(&mut received).unwrap();
            received
        });
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert!(receiver.join().unwrap() == sent);
    });
    for engine in [&mesh.web, &mesh.db] {
        eventually("the link is given up", || {
            engine.snapshot().gauges.af_xdp_queues == 0
        });
        assert_eq!(engine.connections().len(), 1, "it is the same connection");
    }
}

#[test]
fn a_link_that_was_down_is_used_again() {
    let link = Link::unbounded(1);
    let mesh = past_the_stack(&link, &json!({}));
    let listener = link.server(application);
    echoed(link.client(|| mesh.dial()), &listener, 100_000);
    // The address would go with the link.
    link.client(|| std::fs::write("/proc/sys/net/ipv6/conf/eth0/keep_addr_on_down", "1"))
        .unwrap();
    link.ip_of_client(&["link", "set", "eth0", "down"]);
    thread::sleep(Duration::from_millis(200));
    link.ip_of_client(&["link", "set", "eth0", "up"]);
    link.await_server();
    let before = frames_sent(&mesh.web);
    // It takes the kernel a moment until neighbours stay resolved.
    eventually("the link is used again", || {
        echoed(link.client(|| mesh.dial()), &listener, 300_000);
        frames_sent(&mesh.web) - before > 500
    });
    assert_eq!(mesh.web.snapshot().gauges.af_xdp_queues, 1);
}

#[test]
fn a_neighbour_in_doubt_is_asked_for_by_the_kernel_and_the_link_is_used_meanwhile() {
    let link = Link::unbounded(1);
    let mesh = past_the_stack(&link, &json!({}));
    let listener = link.server(application);
    echoed(link.client(|| mesh.dial()), &listener, 100_000);
    let doubt = ["neigh", "change", DB, "dev", "eth0", "nud", "stale"];
    link.ip_of_client(&doubt);
    let before = fallbacks(&mesh.web, "neighbour");
    // What is known holds for a second.
    thread::sleep(Duration::from_millis(1100));
    let frames = frames_sent(&mesh.web);
    echoed(link.client(|| mesh.dial()), &listener, 1_000_000);
    assert!(fallbacks(&mesh.web, "neighbour") > before);
    assert!(frames_sent(&mesh.web) - frames > 300);
    let known = link.client(|| {
        let shown = std::process::Command::new("ip")
            .args(["neigh", "show", DB])
            .output();
        String::from_utf8(shown.unwrap().stdout).unwrap()
    });
    assert!(!known.contains("STALE"), "{known}");
}

/// Sends frames as they are, by `eth0` of the calling thread's namespace.
pub(crate) struct Wire(OwnedFd);

impl Wire {
    pub(crate) fn open() -> Self {
        // SAFETY: no pointers; the descriptor is new and ours.
        let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0) };
        assert!(socket >= 0, "{}", std::io::Error::last_os_error());
        // SAFETY: as above.
        Self(unsafe { OwnedFd::from_raw_fd(socket) })
    }

    pub(crate) fn send(&self, frame: &[u8]) {
        // SAFETY: integers only: all zeros is a value.
        let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        to.sll_family = libc::AF_PACKET as u16;
        // SAFETY: the name is static and ends with a zero.
        to.sll_ifindex = unsafe { libc::if_nametoindex(c"eth0".as_ptr()) }.cast_signed();
        // SAFETY: frame and address live until the call returns, and their sizes are given.
        let sent = unsafe {
            libc::sendto(
                self.0.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const to).cast(),
                size_of_val(&to) as libc::socklen_t,
            )
        };
        assert_eq!(
            sent,
            frame.len() as isize,
            "{}",
            std::io::Error::last_os_error()
        );
    }
}

/// A frame to the client's STOQ port.
pub(crate) fn to_client(source: &str, payload: &[u8]) -> Vec<u8> {
    let mut space = vec![0; frame::MOST_HEADERS + payload.len()];
    let source: SocketAddr = source.parse().unwrap();
    let datagram = Datagram {
        source,
        destination: format!("[{WEB}]:14008").parse().unwrap(),
        ecn: 0,
        payload,
    };
    let size = frame::write(&mut space, [2; 6], [0xff; 6], &datagram).unwrap();
    space.truncate(size);
    space
}

#[test]
fn frames_that_hold_no_datagram_are_counted_and_change_nothing() {
    let link = Link::unbounded(1);
    let mesh = past_the_stack(&link, &json!({}));
    let listener = link.server(application);
    echoed(link.client(|| mesh.dial()), &listener, 100_000);
    let good = format!("[{DB}]:9");
    let mut wrong_sum = to_client(&good, &[0x40; 100]);
    wrong_sum[60] ^= 1;
    let mut no_sum = to_client(&good, &[0x40; 100]);
    no_sum[60..62].fill(0);
    let frames = [
        wrong_sum,
        no_sum,
        to_client("[::1]:9", &[0x40; 100]),
        to_client("[ff02::1]:9", &[0x40; 100]),
        to_client("[fe80::1]:9", &[0x40; 100]),
        to_client(&format!("[{DB}]:0"), &[0x40; 100]),
    ];
    let malformed = |wanted| {
        eventually_is("broken frames", wanted, || {
            mesh.web.snapshot().counters.af_xdp_frames_malformed
        });
    };
    link.server(|| {
        let wire = Wire::open();
        // So few at once that the link has room for them, though nobody takes them yet.
        for hundreds in 0..6 {
            for frame in frames.iter().cycle().take(100) {
                wire.send(frame);
            }
            malformed(100 * (hundreds + 1));
        }
        // Whole, and nothing of ours: for QUIC to refuse.
        for length in 0..1400 {
            wire.send(&to_client(&good, &vec![length as u8; length]));
        }
    });
    echoed(link.client(|| mesh.dial()), &listener, 1_000_000);
    malformed(600);
    assert_eq!(mesh.web.connections().len(), 1);
}

#[test]
fn what_was_lent_and_cannot_be_used_leaves_everything_to_the_sockets() {
    let link = Link::unbounded(1);
    let mut of_web = link.client(lent);
    of_web["af_xdp"]["interface"] = json!("eth7");
    let mesh = Mesh::between(&link, of_web, link.server(lent));
    let listener = link.server(application);
    echoed(link.client(|| mesh.dial()), &listener, 100_000);
    assert_eq!(mesh.web.snapshot().gauges.af_xdp_queues, 0);
    assert_eq!(frames_sent(&mesh.web), 0);
}
