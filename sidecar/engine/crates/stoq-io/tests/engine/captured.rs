//! Captured UDP between two engines in one namespace: the sockets that a broker passes, and rules that
//! lead what each pod's applications send to its engine.

use std::net::UdpSocket;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use socket2::{Domain, Protocol, Socket, Type};
use stoq_core::table::Table;
use stoq_wire::extension::CAPTURED_UDP;
use stoq_wire::parameters::StoqParameters;

use crate::mesh::{APPLICATION, Mesh, PATIENCE, SERVICE, table_with};
use crate::net::{DB, OUTSIDE, VIP, WEB, ip, nft};

/// How long nothing has to come for it to have been dropped.
const SILENCE: Duration = Duration::from_millis(300);

/// Where each engine's capture sockets are.
const WEB_CAPTURE: u16 = 14001;
const DB_CAPTURE: u16 = 14011;

/// Marks of the raw sockets (`stoq.capture.udp`).
const INJECT: u32 = 14011;
const EMIT: u32 = 14012;

/// Routing table of what is injected, and priority of the rule that leads there.
const INJECTED: &str = "100";

/// Of an IP packet that is sent with its header (raw(7)).
const WITH_HEADER: i32 = 255;

/// In one namespace every address is local: no route has to bring back what is captured. What is injected
/// needs one, as in a pod (`stoq.capture.routes`): its socket is bound to `lo`, and where a link has the
/// pods' addresses, their own routes lead elsewhere.
fn lead_to_engines() {
    let everything = ["-6", "route", "add", "local", "default", "dev", "lo"];
    ip(&[&everything[..], &["table", INJECTED]].concat());
    let mark = INJECT.to_string();
    let injected = ["-6", "rule", "add", "pref", INJECTED, "fwmark", &mark];
    ip(&[&injected[..], &["lookup", INJECTED]].concat());
    let rules = format!(
        "table inet t {{ chain c {{ type filter hook prerouting priority -150;
           meta l4proto != udp return
           meta mark {{ {INJECT}, {EMIT} }} return
           udp dport 14008 return
           udp sport 14008 return
           ip6 saddr {WEB} meta l4proto udp tproxy ip6 to :{WEB_CAPTURE} accept
           ip6 saddr {DB} meta l4proto udp tproxy ip6 to :{DB_CAPTURE} accept
           ip6 saddr {OUTSIDE} ip6 daddr {DB} meta l4proto udp tproxy ip6 to :{DB_CAPTURE} accept
         }}
         }}"
    );
    nft(&rules);
}

fn switch_on(socket: &Socket, level: i32, option: i32) {
    let on: libc::c_int = 1;
    // SAFETY: the pointer is to an integer of the size that is named, and lives through the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

fn capture(port: u16) -> RawFd {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, None).unwrap();
    socket.set_only_v6(false).unwrap();
    socket.set_reuse_port(true).unwrap();
    switch_on(&socket, libc::SOL_IPV6, libc::IPV6_TRANSPARENT);
    switch_on(&socket, libc::SOL_IPV6, libc::IPV6_RECVORIGDSTADDR);
    switch_on(&socket, libc::SOL_SOCKET, libc::SO_RCVMARK);
    let everywhere: std::net::SocketAddr = format!("[::]:{port}").parse().unwrap();
    socket.bind(&everywhere.into()).unwrap();
    socket.into_raw_fd()
}

fn raw(mark: u32, device: Option<&[u8]>) -> RawFd {
    let protocol = Protocol::from(WITH_HEADER);
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(protocol)).unwrap();
    socket.set_mark(mark).unwrap();
    socket.bind_device(device).unwrap();
    socket.into_raw_fd()
}

/// Settings of an engine whose applications' UDP is captured, with `udp` on top of its own.
fn capturing(port: u16, workers: usize, udp: &Value) -> Value {
    let mut found = json!({
        "capture": (0..workers).map(|_| capture(port)).collect::<Vec<_>>(),
        "inject": [raw(INJECT, Some(b"lo"))],
        "emit": [raw(EMIT, None)],
    });
    for (key, value) in udp.as_object().unwrap() {
        found[key] = value.clone();
    }
    json!({"workers": workers, "udp": found})
}

/// What an engine offers its peers.
pub(crate) fn offers(extensions: u64) -> StoqParameters {
    StoqParameters {
        extensions,
        ..StoqParameters::default()
    }
}

/// The routing table of one of the workloads: the service has its port for UDP, and the next for TCP.
pub(crate) fn udp_table(own: &str, address: &str, more: Value) -> Arc<Table> {
    let mut fields = json!({
        "version": 2,
        "services": [{
            "name": "db", "namespace": "shop", "vips": [VIP],
            "ports": [
                {"port": SERVICE, "target": APPLICATION, "protocol": "udp"},
                {"port": SERVICE + 1, "target": APPLICATION + 1, "protocol": "tcp"},
            ],
            "endpoints": [{"address": DB, "weight": 1}],
        }],
    });
    for (key, value) in more.as_object().unwrap() {
        fields[key] = value.clone();
    }
    table_with(own, address, fields)
}

/// Both pods capture UDP.
pub(crate) fn captured_mesh() -> Mesh {
    captured_mesh_with(1, CAPTURED_UDP, &json!({}))
}

/// With so many workers each, what the server offers, and settings of captured UDP.
pub(crate) fn captured_mesh_with(workers: usize, server: u64, udp: &Value) -> Mesh {
    let mesh = Mesh::offering_with(
        [offers(CAPTURED_UDP), offers(server)],
        capturing(WEB_CAPTURE, workers, udp),
        capturing(DB_CAPTURE, workers, udp),
    );
    mesh.web.set_table(udp_table("web-0", WEB, json!({})));
    mesh.db.set_table(udp_table("db-0", DB, json!({})));
    lead_to_engines();
    mesh
}

/// An application's socket; one that is connected would get past the rules.
pub(crate) fn socket(address: &str, port: u16) -> UdpSocket {
    let socket = UdpSocket::bind(format!("[{address}]:{port}")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Whether nothing comes for a while.
pub(crate) fn hears_nothing(socket: &UdpSocket) -> bool {
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    let silent = socket.recv_from(&mut [0; 1]).is_err();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    silent
}
