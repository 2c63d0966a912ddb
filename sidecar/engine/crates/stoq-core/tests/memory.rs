//! What an established session keeps on the heap: a budget, for there may be
//! ten thousand of them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use quinn_proto::Side;
use quinn_proto::crypto::Session;
use quinn_proto::transport_parameters::TransportParameters;
use rand_core::OsRng;
use stoq_core::authorise::{Expect, Trust};
use stoq_core::cert::{CertificateAuthority, Csr, Validity, csr, random_serial};
use stoq_core::clock::{Clock, SystemClock};
use stoq_core::key::HybridKey;
use stoq_core::profile::CryptoProfile;
use stoq_core::spiffe::{SpiffeId, TrustDomain};
use stoq_core::tls::{ServerRole, TlsContext, TlsSettings};

/// Bytes an established session may keep. The whole connection may have 100 KB.
const BUDGET: isize = 24 * 1024;

struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: usize, sign: isize) {
    let bytes = isize::try_from(bytes).expect("no allocation is that large");
    // Fails only while the thread ends, when nothing is measured.
    let _ = HELD.try_with(|held| held.set(held.get() + sign * bytes));
}

// SAFETY: every call is passed on to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn workload(ca: &CertificateAuthority, id: &SpiffeId, validity: Validity) -> Arc<TlsContext> {
    let key = HybridKey::generate(CryptoProfile::Hybrid1024, &mut OsRng);
    let csr = Csr::parse_and_verify(&csr::build(&key, &mut OsRng)).unwrap();
    let serial = random_serial(&mut OsRng);
    let leaf = ca.issue(&csr, id, validity, &serial, &mut OsRng).unwrap();
    let tls = TlsContext::new(TlsSettings::default(), Arc::new(SystemClock));
    tls.set_identity(key, leaf).unwrap();
    let root = ca.root().clone();
    tls.set_trust(Trust::new(root.trust_domain.clone(), vec![root]));
    tls
}

fn begin(client: &TlsContext, server: &TlsContext, port: u16) -> [Box<dyn Session>; 2] {
    let parameters = TransportParameters::read(Side::Server, &mut &[0x0f, 0x00][..]).unwrap();
    let address = ([127, 0, 0, 1], port).into();
    let client = client.client_config(Expect::AnyInMesh, address);
    let server = server.server_config(ServerRole::Mesh);
    [
        client.start_session(1, "unused", &parameters).unwrap(),
        server.start_session(1, &parameters),
    ]
}

fn shake_hands([client, server]: &mut [Box<dyn Session>; 2]) {
    let say = |from: &mut dyn Session, to: &mut dyn Session| {
        let mut said = false;
        loop {
            let mut bytes = Vec::new();
            let keys = from.write_handshake(&mut bytes);
            if keys.is_none() && bytes.is_empty() {
                return said;
            }
            to.read_handshake(&bytes).unwrap();
            said = true;
        }
    };
    while say(&mut **client, &mut **server) | say(&mut **server, &mut **client) {}
    assert!(!client.is_handshaking() && !server.is_handshaking());
}

#[test]
fn an_established_session_keeps_within_its_budget() {
    let now = SystemClock.now();
    let validity = Validity {
        not_before: now - 60,
        not_after: now + 3600,
    };
    let domain = TrustDomain::parse("mesh.test").unwrap();
    let serial = random_serial(&mut OsRng);
    let profile = CryptoProfile::Hybrid1024;
    let ca = CertificateAuthority::create(&domain, profile, validity, &serial, &mut OsRng).unwrap();
    let id = SpiffeId::new(&domain, "shop", "web").unwrap();
    let (client, server) = (workload(&ca, &id, validity), workload(&ca, &id, validity));
    shake_hands(&mut begin(&client, &server, 1)); // fills what is kept once

    let before = HELD.get();
    let mut sessions: Vec<_> = (2..34).map(|port| begin(&client, &server, port)).collect();
    sessions.iter_mut().for_each(shake_hands);
    let (tickets, count) = (client.ticket_counts().0 - 1, sessions.len() * 2);
    assert_eq!(tickets * 2, count);
    let each = (HELD.get() - before) / isize::try_from(count).unwrap();
    println!("{each} bytes a session, with its ticket");
    assert!(each <= BUDGET, "{each} bytes a session");

    drop(sessions);
    client.clear_identity();
    server.clear_identity();
    let left = HELD.get() - before;
    assert!(left < 64 * 1024, "{left} bytes stay behind");
}
