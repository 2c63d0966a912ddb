//! What the cryptography costs on this machine, as a Markdown table.
//!
//! `cargo run --release -p stoq-core --example crypto_cost`
//!
//! Handshakes are TLS only, both sides in one thread, with the time of each
//! side counted apart; packets and sockets are not included.

use std::error::Error;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn_proto::Side;
use quinn_proto::crypto::Session;
use quinn_proto::transport_parameters::TransportParameters;
use rand_core::OsRng;
use stoq_core::authorise::{Expect, Trust, authorise, reauthorise};
use stoq_core::cert::{CertificateAuthority, Csr, Validity, csr, random_serial};
use stoq_core::clock::{Clock, SystemClock};
use stoq_core::falcon::{Degree, SigningKey};
use stoq_core::key::{HybridKey, verify_ed25519};
use stoq_core::profile::CryptoProfile;
use stoq_core::spiffe::{SpiffeId, TrustDomain};
use stoq_core::tls::{ServerRole, TlsContext, TlsSettings};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Prints the median of `rounds` calls.
fn row(what: &str, rounds: u32, mut call: impl FnMut()) {
    let time = |call: &mut dyn FnMut()| {
        let begin = Instant::now();
        call();
        begin.elapsed()
    };
    print_row(what, (0..rounds).map(|_| time(&mut call)).collect());
}

fn print_row(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let each = times[times.len() / 2];
    let rate = 1.0 / each.as_secs_f64();
    println!("| {what} | {:.1} | {rate:.0} |", each.as_secs_f64() * 1e6);
}

fn main() -> Outcome<()> {
    println!("| | µs | per second |\n|---|---|---|");
    falcon(Degree::Falcon512);
    falcon(Degree::Falcon1024);
    let key = HybridKey::generate(CryptoProfile::Hybrid1024, &mut OsRng);
    let signature = key.sign_ed25519(b"message");
    row("Ed25519 sign", 2000, || {
        black_box(key.sign_ed25519(b"message"));
    });
    row("Ed25519 verify", 2000, || {
        assert!(verify_ed25519(
            &key.ed25519_public(),
            b"message",
            &signature
        ));
    });
    certificates(&key)?;
    handshakes(CryptoProfile::Hybrid1024)?;
    handshakes(CryptoProfile::Hybrid512)?;
    handshakes(CryptoProfile::Classical)
}

fn falcon(degree: Degree) {
    let name = degree.name();
    row(&format!("{name} generate"), 20, || {
        black_box(SigningKey::generate(degree, &mut OsRng));
    });
    let key = SigningKey::generate(degree, &mut OsRng);
    row(&format!("{name} sign"), 500, || {
        black_box(key.sign(&mut OsRng, b"message"));
    });
    let signature = key.sign(&mut OsRng, b"message");
    row(&format!("{name} verify"), 5000, || {
        assert!(key.verifying_key().verify(b"message", &signature));
    });
}

struct Mesh {
    ca: CertificateAuthority,
    validity: Validity,
}

impl Mesh {
    fn new() -> Outcome<Self> {
        let now = SystemClock.now();
        let validity = Validity {
            not_before: now - 60,
            not_after: now + 24 * 60 * 60,
        };
        let domain = TrustDomain::parse("bench.test")?;
        let serial = random_serial(&mut OsRng);
        let profile = CryptoProfile::Hybrid1024;
        let ca = CertificateAuthority::create(&domain, profile, validity, &serial, &mut OsRng)?;
        Ok(Self { ca, validity })
    }

    fn id(&self) -> Outcome<SpiffeId> {
        let domain = &self.ca.root().trust_domain;
        Ok(SpiffeId::new(domain, "bench", "workload")?)
    }

    fn leaf(&self, csr: &Csr) -> Outcome<Vec<u8>> {
        let serial = random_serial(&mut OsRng);
        let id = self.id()?;
        Ok(self
            .ca
            .issue(csr, &id, self.validity, &serial, &mut OsRng)?)
    }

    fn trust(&self) -> Trust {
        let root = self.ca.root().clone();
        Trust::new(root.trust_domain.clone(), vec![root])
    }

    fn workload(&self, profile: CryptoProfile) -> Outcome<Arc<TlsContext>> {
        let key = HybridKey::generate(profile, &mut OsRng);
        let csr = Csr::parse_and_verify(&csr::build(&key, &mut OsRng))?;
        let settings = TlsSettings {
            profile,
            ..TlsSettings::default()
        };
        let tls = TlsContext::new(settings, Arc::new(SystemClock));
        tls.set_identity(key, self.leaf(&csr)?)?;
        tls.set_trust(self.trust());
        Ok(tls)
    }
}

fn certificates(key: &HybridKey) -> Outcome<()> {
    let mesh = Mesh::new()?;
    let request = csr::build(key, &mut OsRng);
    row("request: read, verify both proofs", 500, || {
        black_box(Csr::parse_and_verify(&request).expect("verifies"));
    });
    let csr = Csr::parse_and_verify(&request)?;
    row("leaf: issue", 200, || {
        black_box(mesh.leaf(&csr).expect("issued"));
    });
    let (leaf, trust, now) = (mesh.leaf(&csr)?, mesh.trust(), SystemClock.now());
    let gate = || authorise(Some(&leaf), now, &trust, &Expect::AnyInMesh);
    row("gate: authorise a leaf", 2000, || {
        black_box(gate().expect("authorised"));
    });
    let peer = gate()?.expect("has a certificate");
    row("gate: again on 1000 live peers", 100, || {
        for _ in 0..1000 {
            reauthorise(&peer, now, &trust, &Expect::AnyInMesh).expect("authorised");
        }
    });
    Ok(())
}

fn handshakes(profile: CryptoProfile) -> Outcome<()> {
    let mesh = Mesh::new()?;
    let (client, server) = (mesh.workload(profile)?, mesh.workload(profile)?);
    for (name, resumed) in [("full", false), ("resumed", true)] {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..400 {
            if !resumed {
                // Forgets tickets and which leaves were verified.
                client.set_trust(mesh.trust());
                server.set_trust(mesh.trust());
            }
            let mut time = [Duration::ZERO; 2];
            shake_hands(&client, &server, &mesh.id()?, &mut time)?;
            (0..2).for_each(|side| times[side].push(time[side]));
        }
        let [of_client, of_server] = times;
        print_row(&format!("{profile}, {name}: client"), of_client);
        print_row(&format!("{profile}, {name}: server"), of_server);
    }
    Ok(())
}

/// One handshake and its ticket; adds each side's time.
fn shake_hands(
    client: &TlsContext,
    server: &TlsContext,
    id: &SpiffeId,
    time: &mut [Duration; 2],
) -> Outcome<()> {
    let address: SocketAddr = "[::1]:14008".parse()?;
    let parameters = TransportParameters::read(Side::Server, &mut &[0x0f, 0x00][..])
        .map_err(|error| format!("{error:?}"))?;
    let begin = Instant::now();
    let config = client.client_config(Expect::Id(id.clone()), address);
    let mut client = config.start_session(1, "unused", &parameters)?;
    time[0] += begin.elapsed();
    let begin = Instant::now();
    let config = server.server_config(ServerRole::Mesh);
    let mut server = config.start_session(1, &parameters);
    time[1] += begin.elapsed();
    loop {
        let said = say(&mut *client, &mut *server, time, 0)?;
        let answered = say(&mut *server, &mut *client, time, 1)?;
        if !said && !answered {
            return Ok(());
        }
    }
}

/// Carries what `from` has to say to `to`; false if that was nothing.
fn say(
    from: &mut dyn Session,
    to: &mut dyn Session,
    time: &mut [Duration; 2],
    side: usize,
) -> Outcome<bool> {
    let mut said = false;
    loop {
        let mut bytes = Vec::new();
        let begin = Instant::now();
        let keys = from.write_handshake(&mut bytes);
        time[side] += begin.elapsed();
        if keys.is_none() && bytes.is_empty() {
            return Ok(said);
        }
        said = true;
        let begin = Instant::now();
        to.read_handshake(&bytes)
            .map_err(|error| error.to_string())?;
        time[1 - side] += begin.elapsed();
    }
}
