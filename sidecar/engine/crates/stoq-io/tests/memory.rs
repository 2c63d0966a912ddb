//! What a handshake leaves in memory at the end that was dialled.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

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

/// Bytes in use. There is one test here, so nobody else's are among them.
static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call is the system's; the count beside it touches no memory of theirs.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Contexts of two workloads of one mesh.
fn contexts() -> [Arc<TlsContext>; 2] {
    let domain = TrustDomain::parse("mesh.test").unwrap();
    let profile = CryptoProfile::Hybrid1024;
    let now = SystemClock.now();
    let validity = Validity {
        not_before: now - 60,
        not_after: now + 3600,
    };
    let serial = random_serial(&mut OsRng);
    let ca = CertificateAuthority::create(&domain, profile, validity, &serial, &mut OsRng).unwrap();
    ["web", "db"].map(|account| {
        let tls = TlsContext::new(TlsSettings::default(), Arc::new(SystemClock));
        let key = HybridKey::generate(profile, &mut OsRng);
        let csr = Csr::parse_and_verify(&csr::build(&key, &mut OsRng)).unwrap();
        let id = SpiffeId::new(&domain, "shop", account).unwrap();
        let serial = random_serial(&mut OsRng);
        let leaf = ca.issue(&csr, &id, validity, &serial, &mut OsRng).unwrap();
        tls.set_identity(key, leaf).unwrap();
        tls.set_trust(Trust::new(domain.clone(), vec![ca.root().clone()]));
        tls
    })
}

fn parameters() -> TransportParameters {
    // initial_source_connection_id, empty
    TransportParameters::read(quinn_proto::Side::Server, &mut &[0x0f, 0x00][..]).unwrap()
}

/// Says what there is to say; the keys are dropped, as they are quinn-proto's to hold.
fn speak(from: &mut dyn Session, to: &mut dyn Session) {
    loop {
        let mut messages = Vec::new();
        let more = from.write_handshake(&mut messages).is_some();
        if !messages.is_empty() {
            to.read_handshake(&messages).unwrap();
        } else if !more {
            return;
        }
    }
}

/// A server's session, with its handshake and the client's end behind it.
fn accepted(web: &TlsContext, db: &TlsContext) -> Box<dyn Session> {
    let config = web.client_config(Expect::AnyInMesh, "[fd00::2]:14008".parse().unwrap());
    let mut client = config.start_session(1, "unused", &parameters()).unwrap();
    let config = db.server_config(ServerRole::Mesh);
    let mut server = config.start_session(1, &parameters());
    speak(&mut *client, &mut *server);
    speak(&mut *server, &mut *client);
    speak(&mut *client, &mut *server);
    speak(&mut *server, &mut *client);
    assert!(!server.is_handshaking() && server.peer_identity().is_some());
    server
}

#[test]
fn a_server_keeps_less_than_two_kilobytes_of_a_handshake() {
    let [web, db] = contexts();
    // What both contexts remember of the first is not the connections'.
    let _first = [accepted(&web, &db), accepted(&web, &db)];
    let before = LIVE.load(Relaxed);
    let sessions: Vec<_> = (0..20).map(|_| accepted(&web, &db)).collect();
    let each = (LIVE.load(Relaxed) - before) / sessions.len();
    assert!(each < 2048, "{each} bytes each");
}
