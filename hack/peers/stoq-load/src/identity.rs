//! A workload of our own making: signed by the authority of the mesh under test, which in the
//! embedded mode keeps its key in a file.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rand_core::OsRng;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use stoq_core::authorise::Trust;
use stoq_core::cert::{CertificateAuthority, Csr, Validity, csr};
use stoq_core::clock::{Clock, SystemClock};
use stoq_core::key::HybridKey;
use stoq_core::profile::CryptoProfile;
use stoq_core::spiffe::SpiffeId;
use stoq_core::tls::{TlsContext, TlsSettings};

/// How long the certificate is valid, seconds.
const LIFE: u64 = 3600;

/// TLS for a workload `ns/bench/sa/load` of the authority's trust domain. `tickets` lets sessions
/// be resumed.
pub(crate) fn context(key: &Path, root: &Path, tickets: bool) -> Result<Arc<TlsContext>> {
    let secret = fs::read(key).with_context(|| format!("cannot read {}", key.display()))?;
    let root = CertificateDer::from_pem_file(root)
        .with_context(|| format!("no certificate in {}", root.display()))?;
    let authority = CertificateAuthority::from_parts(HybridKey::from_bytes(&secret)?, &root)?;
    let domain = authority.root().trust_domain.clone();
    let id = SpiffeId::parse(&format!("{}/ns/bench/sa/load", domain.uri()))?;

    let own = HybridKey::generate(CryptoProfile::Hybrid1024, &mut OsRng);
    let request = Csr::parse_and_verify(&csr::build(&own, &mut OsRng))?;
    let now = SystemClock.now();
    let validity = Validity {
        not_before: now,
        not_after: now + LIFE,
    };
    let serial = now.to_be_bytes();
    let leaf = authority.issue(&request, &id, validity, &serial, &mut OsRng)?;

    let settings = TlsSettings {
        tickets,
        ..TlsSettings::default()
    };
    let context = TlsContext::new(settings, Arc::new(SystemClock));
    context.set_identity(own, leaf)?;
    context.set_trust(Trust::new(domain, vec![authority.root().clone()]));
    Ok(context)
}
