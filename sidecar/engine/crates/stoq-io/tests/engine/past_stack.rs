//! The same tests with what engines send past the kernel's stack: where `STOQ_TEST_AF_XDP` is `copy`, each
//! engine that listens at an end of a link has that end lent.
//!
//! Both ends are in the test's one namespace, for in it are its applications too. There the kernel takes
//! every address for its own, so a rule before that sends UDP from end to end.

use std::ffi::CString;
use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::IntoRawFd;
use std::sync::OnceLock;

use serde_json::{Value, json};
use stoq_bpf::{Error, Redirect};
use stoq_io::Engine;

use crate::mesh::merged;
use crate::net::{DB, WEB, add_address, ip};

/// The end of each address.
const ENDS: [(&str, &str); 2] = [(WEB, "web0"), (DB, "db0")];

/// Whether this is how the tests are run.
pub(crate) fn is_wanted() -> bool {
    static WANTED: OnceLock<bool> = OnceLock::new();
    *WANTED.get_or_init(|| match std::env::var("STOQ_TEST_AF_XDP") {
        Err(_) => false,
        Ok(how) if how == "copy" => true,
        Ok(how) => panic!("STOQ_TEST_AF_XDP is {how:?}; only \"copy\" is known"),
    })
}

/// Makes the link in this thread's namespace.
pub(crate) fn connect() {
    let [(_, web), (_, db)] = ENDS;
    ip(&["link", "add", web, "type", "veth", "peer", "name", db]);
    for (address, end) in ENDS {
        add_address(address, end);
        ip(&["link", "set", end, "up"]);
    }
    ip(&["-6", "rule", "add", "pref", "200", "lookup", "local"]);
    ip(&["-6", "rule", "del", "pref", "0"]);
    let [web, db] = ENDS;
    for (table, (own, end), (peer, _)) in [("101", web, db), ("102", db, web)] {
        let route = ["-6", "route", "add", peer, "dev", end, "src", own];
        ip(&[&route[..], &["table", table]].concat());
        let rule = ["-6", "rule", "add", "pref", table, "iif", "lo"];
        ip(&[&rule[..], &["ipproto", "udp", "to", peer, "lookup", table]].concat());
    }
}

/// Lends an interface of the calling thread's namespace, as settings of an engine.
pub(crate) fn lent(interface: &str) -> Result<Value, Error> {
    let lent = Redirect::load()?.lend(interface, false)?;
    let (sockets, memories): (Vec<_>, Vec<_>) = lent
        .queues
        .into_iter()
        .map(|queue| (queue.socket.into_raw_fd(), queue.memory.into_raw_fd()))
        .unzip();
    Ok(json!({"af_xdp": {
        "interface": interface, "ring": lent.ring, "chunk": lent.chunk,
        "scattered": lent.scattered,
        "program": lent.program.into_raw_fd(), "taken": lent.taken.into_raw_fd(),
        "sockets": sockets, "memories": memories,
    }}))
}

/// Settings of an engine, with the end of the link that it listens at; the first one at an end has it.
pub(crate) fn with_link(settings: Value) -> Value {
    if !is_wanted() || settings.get("af_xdp").is_some() {
        return settings;
    }
    let listen = settings["stoq"]["listen"].as_str();
    let address = listen.and_then(|listen| listen.parse::<SocketAddr>().ok());
    let end = ENDS
        .iter()
        .find(|(own, _)| address.is_some_and(|at| at.ip().to_string() == *own));
    let Some((_, end)) = end.filter(|(_, end)| is_there(end)) else {
        return settings;
    };
    match lent(end) {
        Ok(lent) => merged(settings, lent),
        Err(Error::Lend { error, .. })
            if matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST)) =>
        {
            settings
        }
        Err(error) => panic!("{end} was not lent: {error}"),
    }
}

/// Whether this thread's namespace has an interface: tests with two namespaces have a link of their own.
fn is_there(interface: &str) -> bool {
    let name = CString::new(interface).unwrap();
    // SAFETY: the name ends with a zero and lives until the call returns.
    unsafe { libc::if_nametoindex(name.as_ptr()) != 0 }
}

/// Tells whoever runs the tests how much went past the stack: not by a macro, whose text a test that
/// passes keeps to itself.
pub(crate) fn tell(engines: &[&Engine]) {
    if !is_wanted() {
        return;
    }
    let counted = engines.iter().map(|engine| engine.snapshot().counters);
    let (sent, received) = counted.fold((0, 0), |(sent, received), counters| {
        let came = counters.af_xdp_frames_received;
        (sent + counters.af_xdp_frames_sent, received + came)
    });
    let told = format!("past the stack: {sent} sent, {received} received\n");
    let _ = std::io::stderr().write_all(told.as_bytes());
}
