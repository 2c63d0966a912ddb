//! A network namespace per test, with the addresses of some pods on its loopback, or on the ends of a
//! link where what engines send shall go past the stack.

use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv6Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::mesh::eventually;
use crate::past_stack;

/// The client's pod.
pub(crate) const WEB: &str = "fd00::1";

/// The server's pod.
pub(crate) const DB: &str = "fd00::2";

/// A pod without a sidecar.
pub(crate) const OUTSIDE: &str = "fd00::9";

/// The virtual address of the server's service.
pub(crate) const VIP: &str = "fd00::53";

/// Runs `test` in a fresh namespace. Threads that it starts are in it too.
pub(crate) fn in_namespace<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(move || {
        // SAFETY: no pointers; it changes this thread only.
        let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        assert_eq!(
            result,
            0,
            "cannot make a network namespace: {}; run the tests as root",
            io::Error::last_os_error()
        );
        ip(&["link", "set", "lo", "up"]);
        let on_loopback = if past_stack::is_wanted() {
            past_stack::connect();
            &[OUTSIDE, VIP][..]
        } else {
            &[WEB, DB, OUTSIDE, VIP]
        };
        for address in on_loopback {
            add_address(address, "lo");
        }
        ip(&["addr", "add", "10.0.0.1/32", "dev", "lo"]);
        for address in [WEB, DB, OUTSIDE, VIP] {
            eventually("the address can be dialled", || dialled(address));
        }
        test()
    });
    let ended = thread.join();
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Gives a device another address.
pub(crate) fn add_address(address: &str, device: &str) {
    let host = format!("{address}/128");
    ip(&["addr", "add", &host, "dev", device, "nodad"]);
}

/// Runs `ip` with these arguments, in this thread's namespace.
pub(crate) fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status();
    assert!(status.is_ok_and(|s| s.success()), "ip {arguments:?} failed");
}

/// Has `nft` read these rules, in this thread's namespace.
pub(crate) fn nft(rules: &str) {
    let mut reader = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    reader
        .stdin
        .take()
        .unwrap()
        .write_all(rules.as_bytes())
        .unwrap();
    assert!(reader.wait().unwrap().success(), "nft refused {rules}");
}

/// Whether an address can be dialled in this thread's namespace: the kernel puts routes to new IPv6
/// addresses in place by and by, also to those on `lo`. It is asked as an application asks, which
/// wants an address to dial from, too.
fn dialled(address: &str) -> bool {
    let port = (Ipv6Addr::UNSPECIFIED, 0);
    UdpSocket::bind(port).is_ok_and(|socket| socket.connect((address, 9)).is_ok())
}

/// As `dialled`, waited for, and in the namespace that `netns` names to `ip`.
fn await_route(netns: &[&str], address: &str) {
    eventually("the route is there", || {
        let mut route = Command::new("ip");
        route.args(netns).args(["-6", "route", "get", address]);
        route.output().is_ok_and(|answer| answer.status.success())
    });
}

/// Two namespaces with a link between them whose rate is bounded both ways: the client's pod and
/// the service's address in one, the server's pod in the other.
pub(crate) struct Link {
    client: String,
    server: String,
}

impl Link {
    /// With a token bucket of `mbit` Mbit/s and a queue of 30 ms.
    pub(crate) fn new(mbit: u32) -> Self {
        let link = Self::unbounded(1);
        link.shape("add", mbit);
        link
    }

    /// As fast as the machine is, with so many queues at each end.
    pub(crate) fn unbounded(queues: u32) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |end: &str| format!("stoq-{}-{number}-{end}", std::process::id());
        let link = Self {
            client: name("c"),
            server: name("s"),
        };
        let (client, server) = (&link.client, &link.server);
        for netns in [client, server] {
            ip(&["netns", "add", netns]);
            ip(&["-n", netns, "link", "set", "lo", "up"]);
        }
        let vip = format!("{VIP}/128");
        ip(&["-n", client, "addr", "add", &vip, "dev", "lo", "nodad"]);
        link.connect(queues);
        link
    }

    /// Makes the link itself, with a peer's address at each end.
    fn connect(&self, queues: u32) {
        let (client, server) = (&self.client, &self.server);
        let queues = queues.to_string();
        let mut make = vec!["link", "add", "eth0", "netns", client];
        make.extend(["numtxqueues", &queues, "numrxqueues", &queues]);
        make.extend(["type", "veth", "peer", "name", "eth0", "netns", server]);
        make.extend(["numtxqueues", &queues, "numrxqueues", &queues]);
        ip(&make);
        for (netns, address) in [(client, WEB), (server, DB)] {
            let address = format!("{address}/64");
            ip(&["-n", netns, "addr", "add", &address, "dev", "eth0", "nodad"]);
            ip(&["-n", netns, "link", "set", "eth0", "up"]);
        }
        for (netns, address) in [(client, VIP), (client, DB), (server, WEB)] {
            await_route(&["-n", netns], address);
        }
    }

    /// From now on with larger or smaller packets.
    pub(crate) fn set_mtu(&self, mtu: u32) {
        let mtu = mtu.to_string();
        for netns in [&self.client, &self.server] {
            ip(&["-n", netns, "link", "set", "eth0", "mtu", &mtu]);
        }
    }

    /// Takes the link away and makes another one in its place.
    pub(crate) fn replace(&self) {
        ip(&["-n", &self.client, "link", "del", "eth0"]);
        self.connect(1);
    }

    /// Runs `ip` with these arguments where the client is.
    pub(crate) fn ip_of_client(&self, arguments: &[&str]) {
        ip(&[&["-n", &self.client][..], arguments].concat());
    }

    /// Waits until the client has a route to the server.
    pub(crate) fn await_server(&self) {
        await_route(&["-n", &self.client], DB);
    }

    /// From now on with another rate.
    pub(crate) fn set_rate(&self, mbit: u32) {
        self.shape("change", mbit);
    }

    fn shape(&self, verb: &str, mbit: u32) {
        let rate = format!("{mbit}mbit");
        for netns in [&self.client, &self.server] {
            let status = Command::new("tc")
                .args(["-n", netns, "qdisc", verb, "dev", "eth0", "root", "tbf"])
                .args(["rate", &rate, "burst", "32kb", "latency", "30ms"])
                .status();
            assert!(status.is_ok_and(|s| s.success()), "tc qdisc {verb} failed");
        }
    }

    /// Runs something where the client is. What it opens and starts stays there.
    pub(crate) fn client<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        inside(&self.client, run)
    }

    /// Runs something where the server is.
    pub(crate) fn server<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        inside(&self.server, run)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for netns in [&self.client, &self.server] {
            let _ = Command::new("ip").args(["netns", "del", netns]).status();
        }
    }
}

fn inside<T: Send>(netns: &str, run: impl FnOnce() -> T + Send) -> T {
    let file = File::open(format!("/run/netns/{netns}")).unwrap();
    let entered = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: no pointers, and the descriptor is open; it changes this thread only.
            let result = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(
                result,
                0,
                "cannot enter {netns}: {}",
                io::Error::last_os_error()
            );
            run()
        });
        thread.join()
    });
    entered.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
