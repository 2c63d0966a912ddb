//! Asks a real kernel, with real nftables rules, where captured connections were going.
//!
//! Runs in a network namespace of its own, which takes CAP_SYS_ADMIN and CAP_NET_ADMIN
//! and the program `nft`; `hack/test netns` runs it.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use stoq_io::original_destination::original_destination;

const RULES: &str = "
    add table inet capture
    add chain inet capture output { type nat hook output priority -100; }
    add rule inet capture output tcp dport 5432 redirect to :14001
";

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

/// Moves this thread, and what it starts, into a new network namespace with rules.
fn enter_namespace() {
    // SAFETY: no pointers; only this thread's namespace changes.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    run("ip", &["link", "set", "lo", "up"]);
    run(
        "ip",
        &["address", "add", "fd00::9/128", "dev", "lo", "nodad"],
    );
    run("ip", &["address", "add", "192.0.2.9/32", "dev", "lo"]);
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    nft.stdin
        .take()
        .unwrap()
        .write_all(RULES.as_bytes())
        .unwrap();
    assert!(nft.wait().unwrap().success());
}

#[test]
#[ignore = "needs CAP_SYS_ADMIN and nft; hack/test netns runs it"]
fn a_redirected_connection_tells_what_was_dialled_in_either_family() {
    enter_namespace();
    let listener = TcpListener::bind("[::]:14001").unwrap();
    for dialled in ["[fd00::9]:5432", "192.0.2.9:5432"] {
        let dialled: SocketAddr = dialled.parse().unwrap();
        let _client = TcpStream::connect(dialled).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(original_destination(&accepted).unwrap(), Some(dialled));
    }
    let _direct = TcpStream::connect("[fd00::9]:14001").unwrap();
    let (accepted, _) = listener.accept().unwrap();
    assert_eq!(original_destination(&accepted).unwrap(), None);
}
