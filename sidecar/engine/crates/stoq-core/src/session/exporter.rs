//! Keying material of a connection whose TLS has been let go
//! (`docs/decisions/0047-a-server-lets-go-of-tls.md`).

use std::fmt;
use std::sync::OnceLock;

use rustls::crypto::tls13::OkmBlock;
use rustls::{KeyLog, SupportedCipherSuite};

/// What rustls calls the one secret that is kept.
const SECRET: &str = "EXPORTER_SECRET";

/// The exporter secret of one connection, once its handshake has one. rustls hands it out as
/// something to log and in no other way; it is wiped with the connection.
#[derive(Default)]
pub(super) struct Exporter(OnceLock<OkmBlock>);

impl KeyLog for Exporter {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        if label == SECRET {
            // A handshake has one.
            let _first = self.0.set(OkmBlock::new(secret));
        }
    }

    /// No other secret is even derived for it.
    fn will_log(&self, label: &str) -> bool {
        label == SECRET
    }
}

/// Says nothing of the secret.
impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exporter")
    }
}

impl Exporter {
    /// Fills `out` as rustls would (RFC 8446, section 7.5): what both sides derive of `label` and
    /// `context`, with the hash of the connection's `suite`. `None` before there is a secret, and for
    /// more than HKDF gives (255 hashes) or 249 bytes of label.
    pub(super) fn export(
        &self,
        suite: SupportedCipherSuite,
        out: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Option<()> {
        let SupportedCipherSuite::Tls13(suite) = suite;
        let hash = |bytes| suite.common.hash_provider.hash(bytes);
        let expander = |secret| suite.hkdf_provider.expander_for_okm(secret);
        let master = expander(self.0.get()?);
        let derived = info(master.hash_len(), label, hash(&[]).as_ref())?;
        let secret = master.expand_block(&[&derived]);
        let exported = info(out.len(), b"exporter", hash(context).as_ref())?;
        expander(&secret).expand_slice(&[&exported], out).ok()
    }
}

/// What HKDF-Expand-Label expands by (RFC 8446, section 7.1); none for what it has no room for.
fn info(length: usize, label: &[u8], context: &[u8]) -> Option<Vec<u8>> {
    let mut info = u16::try_from(length).ok()?.to_be_bytes().to_vec();
    for part in [&[b"tls13 ", label].concat(), context] {
        info.push(u8::try_from(part.len()).ok()?);
        info.extend_from_slice(part);
    }
    Some(info)
}
