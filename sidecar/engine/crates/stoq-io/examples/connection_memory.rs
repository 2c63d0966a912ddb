//! What a connection costs an engine that serves API streams, as the operator's registry does: each
//! client has a certificate of its own and one stream, which both sides have spoken on.
//!
//! ```text
//! connection_memory [CONNECTIONS] [JSON]
//! ```
//!
//! JSON goes on top of the server's settings. The clients are one engine in a process of its own, which
//! dials as many addresses of 127.0.0.0/8.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rand_core::OsRng;
use serde_json::{Value, json};
use stoq_core::authorise::Trust;
use stoq_core::cert::{CertificateAuthority, Csr, RootCertificate, Validity, csr, random_serial};
use stoq_core::clock::{Clock, SystemClock};
use stoq_core::key::HybridKey;
use stoq_core::profile::CryptoProfile;
use stoq_core::spiffe::{SpiffeId, TrustDomain};
use stoq_core::tls::{TlsContext, TlsSettings};
use stoq_io::{ApiEvent, Engine, EngineSettings, LocalPort};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PROFILE: CryptoProfile = CryptoProfile::Hybrid1024;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--clients") => clients(),
        count => {
            let count = count.map_or(1000, |text| text.parse().expect("a number of connections"));
            let more = arguments.get(2).map_or("{}", String::as_str);
            server(count, &serde_json::from_str(more).expect("a JSON object"));
        }
    }
}

fn server(count: usize, more: &Value) {
    let authority = Authority::new();
    let mut settings = json!({
        "workers": 1,
        "bootstrap": {"listen": "0.0.0.0:0"},
        "transport": {"idle_timeout_ms": 120_000, "send_window": 262_144, "max_streams": 4},
        "limits": {"api_streams": count + 1},
        "log_level": "error",
    });
    for (key, value) in more.as_object().expect("a JSON object") {
        settings[key] = value.clone();
    }
    let engine = start(&settings, &authority.newcomer("control"));
    authority.renew(&engine.1, "control");
    let engine = engine.0;
    let port = engine.local_port(LocalPort::Bootstrap).expect("it listens");
    let mut clients = authority.spawn(port, count);
    let mut open = 0;
    let mut before = None;
    while open < count {
        std::thread::sleep(Duration::from_millis(5));
        for event in engine.api().poll_events() {
            match event {
                ApiEvent::Accepted { .. } => open += 1,
                ApiEvent::Readable(token) => {
                    let request = engine
                        .api()
                        .recv(token, 65_536)
                        .expect("the stream is there");
                    if request.is_some() {
                        let sent = engine.api().send(token, &[0; 200], false);
                        sent.expect("the stream is there");
                    }
                }
                ApiEvent::Failed { reason, .. } => panic!("a stream failed: {reason}"),
                _ => {}
            }
        }
        assert!(
            clients.try_wait().expect("it is ours").is_none(),
            "the clients have ended"
        );
        if open >= 50 && before.is_none() {
            before = Some((open, resident()));
        }
    }
    // Until handshakes and what they took are forgotten.
    std::thread::sleep(Duration::from_secs(5));
    let (first, before) = before.expect("more than 50 connections");
    let after = resident();
    let each = (after - before) / (open - first);
    println!(
        "{open} connections, {} kB resident, {each} bytes each",
        after / 1024
    );
    clients.kill().expect("it is ours");
    clients.wait().expect("it is ours");
    engine.shutdown();
}

/// Opens a stream to each of so many addresses, one after another, and keeps them.
fn clients() {
    let mut lines = BufReader::new(std::io::stdin()).lines();
    let mut next = || lines.next().expect("a line").expect("text");
    let port: u16 = next().parse().expect("a port");
    let count: u32 = next().parse().expect("a number");
    let authority = Authority::of(&bytes(&next()), &bytes(&next()));
    let settings = json!({
        "workers": 1,
        "transport": {"idle_timeout_ms": 120_000},
        "limits": {"api_streams": count},
        "log_level": "error",
    });
    let (engine, tls) = start(&settings, &authority.newcomer("sidecar"));
    for number in 0..count {
        authority.renew(&tls, "sidecar");
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + number);
        let remote = SocketAddr::from((address, port));
        let token = engine.api().open(remote, None).expect("below the limit");
        engine
            .api()
            .send(token, &[0; 300], true)
            .expect("it is open");
        let answered = || {
            engine.api().poll_events().iter().any(|event| match event {
                ApiEvent::Failed { reason, .. } => panic!("{remote}: {reason}"),
                ApiEvent::Readable(_) => true,
                _ => false,
            })
        };
        while !answered() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

fn start(settings: &Value, tls: &Arc<TlsContext>) -> (Engine, Arc<TlsContext>) {
    let settings = EngineSettings::from_json(&settings.to_string()).expect("settings");
    let engine = Engine::start(settings, Arc::clone(tls)).expect("sockets");
    (engine, Arc::clone(tls))
}

/// Bytes of this process in memory.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("proc is mounted");
    let pages: usize = text
        .split(' ')
        .nth(1)
        .expect("two numbers")
        .parse()
        .expect("a number");
    pages * 4096
}

struct Authority(CertificateAuthority);

impl Authority {
    fn new() -> Self {
        let domain = TrustDomain::parse("bench.test").expect("a domain");
        let serial = random_serial(&mut OsRng);
        let ca = CertificateAuthority::create(&domain, PROFILE, day(), &serial, &mut OsRng);
        Self(ca.expect("a root"))
    }

    fn of(key: &[u8], root: &[u8]) -> Self {
        let key = HybridKey::from_bytes(key).expect("a key");
        Self(CertificateAuthority::from_parts(key, root).expect("a root and its key"))
    }

    fn root(&self) -> &RootCertificate {
        self.0.root()
    }

    /// A context that trusts us, with an identity.
    fn newcomer(&self, account: &str) -> Arc<TlsContext> {
        let tls = TlsContext::new(TlsSettings::default(), Arc::new(SystemClock));
        let domain = self.root().trust_domain.clone();
        tls.set_trust(Trust::new(domain, vec![self.root().clone()]));
        self.renew(&tls, account);
        tls
    }

    fn renew(&self, tls: &TlsContext, account: &str) {
        let key = HybridKey::generate(PROFILE, &mut OsRng);
        let csr = Csr::parse_and_verify(&csr::build(&key, &mut OsRng)).expect("our own");
        let id = SpiffeId::new(&self.root().trust_domain, "bench", account).expect("an id");
        let serial = random_serial(&mut OsRng);
        let validity = Validity {
            not_before: self.root().not_before,
            not_after: self.root().not_after,
        };
        let leaf = self.0.issue(&csr, &id, validity, &serial, &mut OsRng);
        let leaf = leaf.expect("within the root's life");
        tls.set_identity(key, leaf)
            .expect("key and certificate agree");
    }

    /// The process of the clients, which has a copy of the authority.
    fn spawn(&self, port: u16, count: usize) -> Child {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .arg("--clients")
            .stdin(Stdio::piped())
            .spawn()
            .expect("this program");
        let key = hex(&self.0.key().to_bytes());
        let root = hex(self.root().der());
        let mut input = child.stdin.take().expect("it is piped");
        writeln!(input, "{port}\n{count}\n{key}\n{root}").expect("it reads");
        child
    }
}

fn day() -> Validity {
    let now = SystemClock.now();
    Validity {
        not_before: now - 60,
        not_after: now + 86_400,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks_exact(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    digits
        .map(byte)
        .collect::<Option<_>>()
        .expect("hexadecimal digits")
}
