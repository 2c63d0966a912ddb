//! Past the stack over a link whose packets are larger than a page: frames in several chunks.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::thread;

use serde_json::{Value, json};
use stoq_io::Engine;

use crate::af_xdp::{Wire, echoed, fallbacks, frames_sent, lent, past_the_stack, to_client};
use crate::mesh::{Mesh, accept, application, eventually, merged};
use crate::net::{DB, Link};

const MTU: u32 = 9000;

/// Bytes of a frame that one chunk of a page holds, when it comes.
const CHUNK: u64 = 4096 - 256;

fn link() -> Link {
    let link = Link::unbounded(1);
    link.set_mtu(MTU);
    link
}

fn large() -> Value {
    json!({"transport": {"mtu": MTU}})
}

/// Sends so many bytes to the server's application.
fn sent(link: &Link, mesh: &Mesh, listener: &TcpListener, count: usize) {
    let mut client = link.client(|| mesh.dial());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut received = Vec::new();
            accept(listener).read_to_end(&mut received).unwrap();
            assert_eq!(received.len(), count);
        });
        client.write_all(&vec![7; count]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        // It closes when it has everything.
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    });
}

/// Sends until the path's packets are known to be large.
fn until_large(link: &Link, mesh: &Mesh, listener: &TcpListener) {
    eventually("the path's MTU is found", || {
        echoed(link.client(|| mesh.dial()), listener, 300_000);
        let mtu = |engine: &Engine| engine.connections().iter().map(|one| one.mtu).max();
        [&mesh.web, &mesh.db]
            .iter()
            .all(|engine| mtu(engine) > Some(8000))
    });
}

/// Frames that came and were none; what the kernel had no room for is another matter.
fn broken(engine: &Engine) -> u64 {
    let dropped = engine.snapshot().af_xdp_dropped;
    ["parts", "length", "memory"]
        .map(|why| dropped[why])
        .iter()
        .sum()
}

#[test]
fn datagrams_larger_than_a_page_go_past_the_stack_both_ways() {
    let link = link();
    let mesh = past_the_stack(&link, &large());
    let listener = link.server(application);
    until_large(&link, &mesh, &listener);
    echoed(link.client(|| mesh.dial()), &listener, 3_000_000);
    eventually("most of what is sent are frames of several chunks", || {
        let before = mesh.web.snapshot().counters;
        sent(&link, &mesh, &listener, 3_000_000);
        let after = mesh.web.snapshot().counters;
        let datagrams = after.udp_datagrams_sent - before.udp_datagrams_sent;
        let frames = after.af_xdp_frames_sent - before.af_xdp_frames_sent;
        let bytes = after.udp_bytes_sent - before.udp_bytes_sent;
        bytes / datagrams > CHUNK && frames > datagrams / 10 * 9
    });
    for engine in [&mesh.web, &mesh.db] {
        let snapshot = engine.snapshot();
        assert_eq!(broken(engine), 0);
        assert_eq!(snapshot.counters.af_xdp_frames_malformed, 0);
        assert_eq!(snapshot.af_xdp_fallbacks["size"], 0);
        assert_eq!(snapshot.connections_closed.values().sum::<u64>(), 0);
    }
}

#[test]
fn where_frames_have_one_chunk_alone_the_larger_ones_go_by_the_sockets() {
    let link = link();
    let single = || {
        let mut single = lent();
        single["af_xdp"]["scattered"] = json!(false);
        merged(single, large())
    };
    let (web, db) = (link.client(single), link.server(single));
    let mesh = Mesh::between(&link, web, db);
    let listener = link.server(application);
    until_large(&link, &mesh, &listener);
    echoed(link.client(|| mesh.dial()), &listener, 3_000_000);
    for engine in [&mesh.web, &mesh.db] {
        assert!(frames_sent(engine) > 0, "acknowledgements are small");
        assert!(fallbacks(engine, "size") > 0);
        assert_eq!(broken(engine), 0);
    }
}

#[test]
fn a_peer_whose_large_datagrams_go_by_sockets_is_understood() {
    let link = link();
    let web = merged(link.client(lent), large());
    let mesh = Mesh::between(&link, web, large());
    let listener = link.server(application);
    until_large(&link, &mesh, &listener);
    echoed(link.client(|| mesh.dial()), &listener, 3_000_000);
    let counters = mesh.web.snapshot().counters;
    assert!(counters.af_xdp_frames_sent > 100, "{counters:?}");
    assert!(counters.af_xdp_frames_received > 100, "{counters:?}");
}

#[test]
fn large_frames_that_hold_no_datagram_are_counted_and_change_nothing() {
    let link = link();
    let mesh = past_the_stack(&link, &large());
    let listener = link.server(application);
    echoed(link.client(|| mesh.dial()), &listener, 100_000);
    link.server(|| {
        let wire = Wire::open();
        for payload in [3779, 8938].into_iter().cycle().take(200) {
            let mut frame = to_client(&format!("[{DB}]:9"), &vec![0x40; payload]);
            *frame.last_mut().unwrap() ^= 1;
            wire.send(&frame);
        }
    });
    eventually("every broken frame was counted", || {
        mesh.web.snapshot().counters.af_xdp_frames_malformed == 200
    });
    echoed(link.client(|| mesh.dial()), &listener, 1_000_000);
    assert_eq!(mesh.web.connections().len(), 1);
}
