//! Copies, from both ends: what of an original is copied, and what of a shadow is said.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::time::Duration;

use quinn_proto::{Dir, ReadError, TransportConfig, VarInt};

use super::*;
use crate::pair::Pair;

/// Bytes that the peer takes of a stream before they are read.
const WINDOW: u32 = 10_000;

/// An application and the socket of its relay.
fn application() -> (std::net::TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    theirs
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    ours.set_nonblocking(true).unwrap();
    (theirs, TcpStream::from_std(ours))
}

fn pair() -> (Pair, StreamId) {
    let mut config = TransportConfig::default();
    config.stream_receive_window(VarInt::from_u32(WINDOW));
    let mut pair = Pair::connect(config);
    let stream = pair.open();
    (pair, stream)
}

/// Runs a relay until nothing more comes, as if its sockets were reported ready again and again.
fn run(relay: &mut StreamRelay, quic: &mut Connection) -> Turn {
    let (mut blocks, mut scratch) = (BlockPool::new(), VecDeque::new());
    let mut turn = Turn::Waiting;
    for _ in 0..4 {
        // What was written to a socket of the loopback may take a moment.
        std::thread::sleep(Duration::from_millis(5));
        let ready = &mut relay.ready;
        (ready.tcp_read, ready.tcp_write) = (true, true);
        (ready.stream_read, ready.stream_write) = (true, true);
        turn = relay.run(quic, &mut blocks, &mut scratch);
        if matches!(turn, Turn::Finished | Turn::Failed(_)) {
            break;
        }
    }
    turn
}

fn copied(relay: &mut StreamRelay) -> Vec<u8> {
    let tee = relay.tee().as_mut().unwrap();
    tee.drain().concat()
}

/// What has come on a stream, and whether that is the end.
fn heard(quic: &mut Connection, stream: StreamId) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    let mut receive = quic.recv_stream(stream);
    let mut chunks = receive.read(true).unwrap();
    let ended = loop {
        match chunks.next(usize::MAX) {
            Ok(Some(chunk)) => all.extend_from_slice(&chunk.bytes),
            Ok(None) => break true,
            Err(ReadError::Blocked) => break false,
            Err(error) => panic!("{error}"),
        }
    };
    let _ = chunks.finalize();
    (all, ended)
}

fn original(said: Said) -> (Pair, std::net::TcpStream, StreamRelay) {
    let (pair, stream) = pair();
    let (application, tcp) = application();
    let tee = Some(Box::new(Tee::new(Vec::new())));
    let head = Bytes::from_static(b"head:");
    let relay = StreamRelay::opened(tcp, stream, head, said, true, None, tee);
    (pair, application, relay)
}

#[test]
fn what_the_stream_has_taken_is_copied_without_its_head() {
    let (mut pair, mut application, mut relay) = original(Said::default());
    application.write_all(b"said").unwrap();
    assert!(matches!(
        run(&mut relay, pair.client.connection()),
        Turn::Waiting
    ));
    assert_eq!(copied(&mut relay), b"said");
    pair.settle();
    let server = pair.server.connection();
    assert_eq!(heard(server, relay.stream).0, b"head:said");
    application.write_all(b", more").unwrap();
    application.shutdown(Shutdown::Write).unwrap();
    run(&mut relay, pair.client.connection());
    assert_eq!(copied(&mut relay), b", more");
    assert!(relay.sending_ended());
}

#[test]
fn what_the_stream_does_not_take_is_not_copied_yet() {
    let (mut pair, mut application, mut relay) = original(Said::default());
    application.write_all(&[1; 3 * WINDOW as usize]).unwrap();
    let mut all = 0;
    for _ in 0..20 {
        run(&mut relay, pair.client.connection());
        pair.settle();
        all += copied(&mut relay).len();
        let server = pair.server.connection();
        let sent = heard(server, relay.stream).0.len();
        assert!(sent <= WINDOW as usize);
        pair.settle();
    }
    assert_eq!(all, 3 * WINDOW as usize);
}

#[test]
fn what_was_said_before_the_stream_was_opened_is_copied_too() {
    let said = Said {
        bytes: b"again".to_vec(),
        ended: true,
    };
    let (mut pair, _application, mut relay) = original(said);
    run(&mut relay, pair.client.connection());
    assert_eq!(copied(&mut relay), b"again");
    assert!(relay.sending_ended());
}

#[test]
fn a_shadow_gets_the_copy_and_only_its_end_goes_back() {
    let (mut pair, stream) = pair();
    let client = pair.client.connection();
    client.send_stream(stream).write(b", and more").unwrap();
    client.send_stream(stream).finish().unwrap();
    pair.settle();
    let accepted = pair.server.connection().streams().accept(Dir::Bi);
    assert_eq!(accepted, Some(stream));
    let (mut application, tcp) = application();
    let mut relay = StreamRelay::shadow(tcp, stream, Bytes::from_static(b"first"));
    application.write_all(&[1; 200_000]).unwrap();
    let turn = run(&mut relay, pair.server.connection());
    assert!(matches!(turn, Turn::Waiting), "{turn:?}");
    let mut got = Vec::new();
    application.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"first, and more");
    pair.settle();
    assert_eq!(heard(pair.client.connection(), stream), (vec![], false));
    drop(application);
    let turn = run(&mut relay, pair.server.connection());
    assert!(matches!(turn, Turn::Finished), "{turn:?}");
    pair.settle();
    assert_eq!(heard(pair.client.connection(), stream), (vec![], true));
    assert_eq!(relay.bytes(), (0, 15));
}
