//! TLS handshake bytes, in pieces, as a stranger can send them to a server.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use quinn_proto::Side;
use quinn_proto::transport_parameters::TransportParameters;
use stoq_core::clock::SystemClock;
use stoq_core::tls::{ServerRole, TlsContext, TlsSettings};

static SERVER: LazyLock<Arc<TlsContext>> =
    LazyLock::new(|| TlsContext::new(TlsSettings::default(), Arc::new(SystemClock)));

fuzz_target!(|pieces: Vec<Vec<u8>>| {
    let parameters = TransportParameters::read(Side::Server, &mut &[0x0f, 0x00][..])
        .expect("the parameters are well-formed");
    let config = SERVER.server_config(ServerRole::Mesh);
    let mut session = config.start_session(1, &parameters);
    for piece in pieces {
        if session.read_handshake(&piece).is_err() {
            return;
        }
        let _ = session.transport_parameters();
        let mut out = Vec::new();
        while session.write_handshake(&mut out).is_some() {}
    }
    // Nobody gets in without a certificate, which this server trusts nobody for.
    assert!(session.is_handshaking());
});
