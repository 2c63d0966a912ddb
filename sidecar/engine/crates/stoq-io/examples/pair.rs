//! Two engines in one process, each in a network namespace that exists already: what
//! `hack/bench` measures, without the control plane around it.
//!
//! ```text
//! pair [--af-xdp] CLIENT-NETNS SERVER-NETNS [JSON]
//! ```
//!
//! With `--af-xdp` datagrams go past the kernel's stack, by `eth0` of both. The namespaces hold `fd00:10::1` and `fd00:10::2`; `fd00:aa::53` on the client's
//! loopback is the service, port 5201. JSON goes on top of the engines' settings.

use std::fs::File;
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::sync::Arc;
use std::time::Duration;

use rand_core::OsRng;
use serde_json::{Value, json};
use stoq_bpf::Redirect;
use stoq_core::authorise::Trust;
use stoq_core::cert::{CertificateAuthority, Csr, Validity, csr, random_serial};
use stoq_core::clock::{Clock, SystemClock};
use stoq_core::key::HybridKey;
use stoq_core::profile::CryptoProfile;
use stoq_core::spiffe::{SpiffeId, TrustDomain};
use stoq_core::table::Table;
use stoq_core::tls::{TlsContext, TlsSettings};
use stoq_io::{Engine, EngineSettings};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLIENT: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 0, 1);
const SERVER: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 0, 2);
const SERVICE: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xaa, 0, 0, 0, 0, 0, 0x53);
const PORT: u16 = 5201;

fn main() {
    let mut arguments: Vec<String> = std::env::args().collect();
    let given = arguments.len();
    arguments.retain(|argument| argument != "--af-xdp");
    let af_xdp = arguments.len() < given;
    let [_, client, server, more @ ..] = arguments.as_slice() else {
        eprintln!("usage: pair [--af-xdp] CLIENT-NETNS SERVER-NETNS [JSON]");
        std::process::exit(2);
    };
    let more: Value = more
        .first()
        .map_or(json!({}), |text| serde_json::from_str(text).unwrap());
    let domain = TrustDomain::parse("bench.test").unwrap();
    let now = SystemClock.now();
    let validity = Validity {
        not_before: now - 60,
        not_after: now + 86_400,
    };
    let serial = random_serial(&mut OsRng);
    let profile = CryptoProfile::Hybrid1024;
    let ca = CertificateAuthority::create(&domain, profile, validity, &serial, &mut OsRng).unwrap();
    let identity = |account: &str| {
        let tls = TlsContext::new(TlsSettings::default(), Arc::new(SystemClock));
        let key = HybridKey::generate(profile, &mut OsRng);
        let csr = Csr::parse_and_verify(&csr::build(&key, &mut OsRng)).unwrap();
        let id = SpiffeId::new(&domain, "bench", account).unwrap();
        let serial = random_serial(&mut OsRng);
        let leaf = ca.issue(&csr, &id, validity, &serial, &mut OsRng).unwrap();
        tls.set_identity(key, leaf).unwrap();
        tls.set_trust(Trust::new(domain.clone(), vec![ca.root().clone()]));
        tls
    };
    let workload = |account: &str, address: Ipv6Addr| {
        let id = SpiffeId::new(&domain, "bench", account).unwrap();
        json!({
            "uid": account, "name": account, "namespace": "bench",
            "spiffe_id": id.as_str(), "addresses": [address.to_string()],
        })
    };
    let table = |own: &str, address: Ipv6Addr| {
        let document = json!({
            "version": 1,
            "own": {"name": own, "namespace": "bench", "addresses": [address.to_string()]},
            "inbound": "permissive", "outbound": "allow",
            "workloads": [workload("client", CLIENT), workload("server", SERVER)],
            "services": [{
                "name": "iperf3", "namespace": "bench", "vips": [SERVICE.to_string()],
                "ports": [{"port": PORT, "target": PORT}],
                "endpoints": [{"address": SERVER.to_string(), "weight": 1}],
            }],
        });
        Arc::new(Table::from_json(&document.to_string()).unwrap())
    };
    let start = |netns: &str, name: &str, address: Ipv6Addr, settings: Value| {
        let mut settings = settings;
        for (key, value) in more.as_object().unwrap() {
            settings[key] = value.clone();
        }
        settings["name"] = name.into();
        settings["stoq"] = json!({"listen": format!("[{address}]:14008")});
        let (tls, netns) = (identity(name), netns.to_owned());
        let engine = std::thread::spawn(move || {
            enter(&netns);
            if af_xdp {
                settings["af_xdp"] = lent();
            }
            let settings = EngineSettings::from_json(&settings.to_string()).unwrap();
            Engine::start(settings, tls).unwrap()
        });
        let engine = engine.join().unwrap();
        engine.set_table(table(name, address));
        engine
    };
    let outbound = json!({"outbound": {"listen": format!("[{SERVICE}]:{PORT}")}});
    let client = start(client, "client", CLIENT, outbound);
    let server = start(server, "server", SERVER, json!({}));
    println!("ready");
    loop {
        std::thread::sleep(Duration::from_secs(5));
        for (name, engine) in [("client", &client), ("server", &server)] {
            let counters = engine.snapshot().counters;
            for c in engine.connections() {
                let gso = counters.udp_datagrams_sent as f64 / counters.udp_sends.max(1) as f64;
                let gro =
                    counters.udp_datagrams_received as f64 / counters.udp_receives.max(1) as f64;
                let past = counters.af_xdp_frames_sent;
                println!(
                    "{name}: past the stack {past} mtu {} cwnd {} rtt {:.0}us lost {} events {} gso {gso:.1} gro {gro:.1}",
                    c.mtu,
                    c.congestion_window,
                    c.rtt_seconds * 1e6,
                    c.lost_packets,
                    c.congestion_events
                );
            }
        }
    }
}

/// Lends `eth0` of the calling thread's namespace.
fn lent() -> Value {
    let lent = Redirect::load().unwrap().lend("eth0", false).unwrap();
    let (sockets, memories): (Vec<_>, Vec<_>) = lent
        .queues
        .into_iter()
        .map(|queue| (queue.socket.into_raw_fd(), queue.memory.into_raw_fd()))
        .unzip();
    json!({
        "interface": "eth0", "ring": lent.ring, "chunk": lent.chunk,
        "scattered": lent.scattered,
        "program": lent.program.into_raw_fd(), "taken": lent.taken.into_raw_fd(),
        "sockets": sockets, "memories": memories,
    })
}

fn enter(netns: &str) {
    let file = File::open(format!("/run/netns/{netns}")).expect("the namespace exists");
    // SAFETY: the descriptor is open; only this thread is moved.
    let result = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
    assert_eq!(result, 0, "setns: {}", std::io::Error::last_os_error());
}
