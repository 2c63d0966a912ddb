//! TLS handshake bytes, in pieces, as a stranger can send them to a server or a client.
//!
//! The first byte says to which. A piece is two bytes of length and that many more, or what is left;
//! `hack/fuzzlib` writes recorded handshakes in this form. Both sides trust the root of those, so that
//! certificates and signatures are looked at.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use quinn_proto::Side;
use quinn_proto::crypto::Session;
use quinn_proto::transport_parameters::TransportParameters;
use rand_core::OsRng;
use stoq_core::authorise::{Expect, Trust};
use stoq_core::cert::{CertificateAuthority, Csr, RootCertificate, Validity, csr, random_serial};
use stoq_core::clock::Clock;
use stoq_core::key::HybridKey;
use stoq_core::profile::CryptoProfile;
use stoq_core::spiffe::{SpiffeId, TrustDomain};
use stoq_core::tls::{ServerRole, TlsContext, TlsSettings};

/// The time of the recorded handshakes.
const NOW: u64 = 1_800_000_000;

const RECORDED: &str = include_str!("../../../../docs/vectors/handshakes.json");

static CONTEXT: LazyLock<Arc<TlsContext>> = LazyLock::new(context);

#[derive(Debug)]
struct Standing;

impl Clock for Standing {
    fn now(&self) -> u64 {
        NOW
    }
}

/// The root of the recorded handshakes, whose keys nobody has.
fn root() -> RootCertificate {
    let recorded: serde_json::Value = serde_json::from_str(RECORDED).expect("JSON");
    let hex = recorded["root"].as_str().expect("a root");
    let der: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
        .collect();
    RootCertificate::parse(&der).expect("the root is good")
}

/// An endpoint with an identity of its own, of another trust domain.
fn context() -> Arc<TlsContext> {
    let domain = TrustDomain::parse("fuzz.example").expect("a trust domain");
    let validity = Validity {
        not_before: NOW - 60,
        not_after: NOW + 60,
    };
    let profile = CryptoProfile::Hybrid1024;
    let serial = random_serial(&mut OsRng);
    let authority = CertificateAuthority::create(&domain, profile, validity, &serial, &mut OsRng)
        .expect("an authority");
    let key = HybridKey::generate(profile, &mut OsRng);
    let request = Csr::parse_and_verify(&csr::build(&key, &mut OsRng)).expect("a request");
    let id = SpiffeId::new(&domain, "shop", "web").expect("an id");
    let leaf = authority
        .issue(&request, &id, validity, &serial, &mut OsRng)
        .expect("a leaf");
    let tls = TlsContext::new(TlsSettings::default(), Arc::new(Standing));
    let trusted = root();
    tls.set_trust(Trust::new(trusted.trust_domain.clone(), vec![trusted]));
    tls.set_identity(key, leaf).expect("an identity");
    tls
}

fn session(side: u8) -> Box<dyn Session> {
    // initial_source_connection_id, empty
    let parameters = TransportParameters::read(Side::Server, &mut &[0x0f, 0x00][..])
        .expect("the parameters are well-formed");
    if side % 2 == 0 {
        return CONTEXT
            .server_config(ServerRole::Mesh)
            .start_session(1, &parameters);
    }
    let address = "[fd00::1]:14008".parse().expect("an address");
    CONTEXT
        .client_config(Expect::AnyInMesh, address)
        .start_session(1, "stoq", &parameters)
        .expect("a client can begin")
}

fuzz_target!(|input: &[u8]| {
    let Some((side, mut rest)) = input.split_first() else {
        return;
    };
    let mut session = session(*side);
    let mut out = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        while session.write_handshake(&mut out).is_some() {}
        let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
        let piece;
        (piece, rest) = after.split_at(length);
        if session.read_handshake(piece).is_err() {
            return;
        }
        let _ = session.transport_parameters();
    }
    // Nobody has the keys of a certificate that is trusted here.
    assert!(session.is_handshaking());
});
