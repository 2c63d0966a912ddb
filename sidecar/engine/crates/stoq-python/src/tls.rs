//! Identity and trust of a process.

use std::collections::BTreeMap;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use stoq_core::authorise::{Required, Trust};
use stoq_core::cert::RootCertificate;
use stoq_core::clock::SystemClock;
use stoq_core::profile::CryptoProfile;
use stoq_core::spiffe::{SpiffeId, TrustDomain};
use stoq_core::tls::{Aead, ResetSecret, TicketKey, TlsSettings};
use stoq_io::statement;
use stoq_wire::extension::{
    CAPTURED_UDP, FORWARDED, HOPS, PACKET_TOKENS, SEEDS, SHARDS, SIGNATURES, SIGNED_ROUTES,
    STREAM_TOKENS, STRIPES,
};
use stoq_wire::frame::shard::MAX_SHARD_LEN;
use stoq_wire::frame::token::PACKET_TOKEN_LEN;
use stoq_wire::parameters::{MAX_PACKET_RESERVE, StoqParameters};

use crate::certificate::unhex;
use crate::key::HybridKey;
use crate::mistakes;

/// TLS for all connections of a process.
#[pyclass(frozen, module = "stoq._engine")]
pub(crate) struct TlsContext(pub(crate) Arc<stoq_core::tls::TlsContext>);

#[pymethods]
impl TlsContext {
    #[new]
    #[pyo3(signature = (
        *,
        profile = "hybrid-1024",
        allow_classical = false,
        accept_other_degree = false,
        aead = "AES-256-GCM",
        tickets = true,
        max_tickets = 4096,
        reset_secret = None,
        tokens = "off",
        packet_reserve = 0,
        captured_udp = false,
        max_shard = None,
        mirrors = false,
        hops = false,
        forwarded = false,
        stripes = false,
    ))]
    #[allow(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        profile: &str,
        allow_classical: bool,
        accept_other_degree: bool,
        aead: &str,
        tickets: bool,
        max_tickets: usize,
        reset_secret: Option<[u8; 32]>,
        tokens: &str,
        packet_reserve: u64,
        captured_udp: bool,
        max_shard: Option<u64>,
        mirrors: bool,
        hops: bool,
        forwarded: bool,
        stripes: bool,
    ) -> PyResult<Self> {
        let profile: CryptoProfile = if allow_classical {
            crate::key::profile(profile)?
        } else {
            profile
                .parse()
                .map_err(|error| mistakes::argument("profile", error))?
        };
        let aead = match aead {
            "AES-256-GCM" => Aead::Aes256Gcm,
            "AES-128-GCM" => Aead::Aes128Gcm,
            other => {
                let text = format!("{other:?} is neither AES-256-GCM nor AES-128-GCM");
                return Err(mistakes::argument("aead", text));
            }
        };
        let mut parameters = offer(tokens, packet_reserve)?;
        if captured_udp {
            parameters.extensions |= CAPTURED_UDP;
        }
        if mirrors {
            parameters.extensions |= SEEDS;
        }
        if hops {
            parameters.extensions |= HOPS | SIGNED_ROUTES;
        }
        if hops && forwarded {
            parameters.extensions |= FORWARDED;
        }
        if stripes {
            parameters.extensions |= STRIPES;
        }
        if let Some(most) = max_shard {
            if most > MAX_SHARD_LEN {
                let text = format!("{most} is more than {MAX_SHARD_LEN}");
                return Err(mistakes::argument("max_shard", text));
            }
            parameters.extensions |= SHARDS | SIGNATURES;
            parameters.max_shard = most;
        }
        let settings = TlsSettings {
            profile,
            accept_other_degree,
            aead,
            tickets,
            max_tickets,
            parameters,
            reset_secret: reset_secret.map(|bytes| ResetSecret(bytes.into())),
        };
        Ok(Self(stoq_core::tls::TlsContext::new(
            settings,
            Arc::new(SystemClock),
        )))
    }

    fn set_identity(&self, py: Python<'_>, key: &HybridKey, leaf: Vec<u8>) -> PyResult<()> {
        let key = key.0.clone();
        py.detach(|| self.0.set_identity(key, leaf))
            .map_err(mistakes::value)
    }

    fn clear_identity(&self, py: Python<'_>) {
        py.detach(|| self.0.clear_identity());
    }

    #[pyo3(signature = (
        trust_domain,
        roots,
        revoked = Vec::new(),
        federated = BTreeMap::new(),
        revoked_identities = Vec::new(),
    ))]
    fn set_trust(
        &self,
        py: Python<'_>,
        trust_domain: &str,
        roots: Vec<Vec<u8>>,
        revoked: Vec<String>,
        federated: BTreeMap<String, Vec<Vec<u8>>>,
        revoked_identities: Vec<(String, u64)>,
    ) -> PyResult<()> {
        py.detach(|| {
            let mut trust = Trust::new(
                domain("trust_domain", trust_domain)?,
                parse_roots("roots", &roots)?,
            );
            for (index, serial) in revoked.iter().enumerate() {
                let bytes = unhex(serial)
                    .filter(|bytes| !bytes.is_empty())
                    .ok_or_else(|| {
                        let text = format!("{serial:?} is no serial number in hexadecimal");
                        mistakes::argument(&format!("revoked[{index}]"), text)
                    })?;
                trust.revoke(&bytes);
            }
            for (index, (id, before)) in revoked_identities.iter().enumerate() {
                let id = SpiffeId::parse(id).map_err(|error| {
                    mistakes::argument(&format!("revoked_identities[{index}]"), error)
                })?;
                trust.revoke_identity(id, *before);
            }
            for (name, roots) in &federated {
                let field = format!("federated[{name:?}]");
                trust
                    .federated
                    .insert(domain(&field, name)?, parse_roots(&field, roots)?);
            }
            self.0.set_trust(trust);
            Ok(())
        })
    }

    fn set_profile(&self, profile: &str) -> PyResult<()> {
        let profile: CryptoProfile = profile
            .parse()
            .map_err(|error| mistakes::argument("profile", error))?;
        self.0
            .set_profile(profile)
            .map_err(|error| mistakes::argument("profile", error))
    }

    #[pyo3(signature = (everyone = "", dialled = BTreeMap::new(), except_for = ""))]
    fn set_required(
        &self,
        everyone: &str,
        dialled: BTreeMap<String, String>,
        except_for: &str,
    ) -> PyResult<()> {
        let id = |field: &str, id: &str| {
            SpiffeId::parse(id).map_err(|error| mistakes::argument(field, error))
        };
        let except = (!except_for.is_empty()).then(|| id("except_for", except_for));
        let mut required = Required {
            everyone: (!everyone.is_empty()).then(|| everyone.into()),
            except: except.transpose()?,
            ..Required::default()
        };
        for (text, profile) in dialled {
            let field = format!("dialled[{text:?}]");
            required.dialled.insert(id(&field, &text)?, profile.into());
        }
        self.0.set_required(required);
        Ok(())
    }

    fn profiles(&self) -> (&'static str, Option<&'static str>) {
        let shown = self.0.shown_profile();
        (self.0.profile().name(), shown.map(CryptoProfile::name))
    }

    fn sign_statement<'py>(
        &self,
        py: Python<'py>,
        digest: [u8; 32],
        until: u64,
    ) -> Option<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let made = py.detach(|| statement::sign(&self.0, digest, until))?;
        let bytes = |bytes: &[u8]| PyBytes::new(py, bytes);
        Some((bytes(&made.leaf), bytes(&made.signature)))
    }

    fn verify_statement(
        &self,
        py: Python<'_>,
        leaf: &[u8],
        signature: &[u8],
        digest: [u8; 32],
    ) -> PyResult<String> {
        py.detach(|| statement::verify(&self.0, leaf, signature, digest))
            .map(|signer| signer.as_str().to_owned())
            .map_err(mistakes::value)
    }

    fn set_ticket_keys(&self, keys: Vec<(u64, [u8; 32])>) {
        let key = |(since, secret): (u64, [u8; 32])| TicketKey {
            since,
            secret: secret.into(),
        };
        let keys: Vec<_> = keys.into_iter().map(key).collect();
        self.0.set_ticket_keys(&keys);
    }

    fn ticket_counts(&self) -> (usize, usize) {
        self.0.ticket_counts()
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }
}

/// What peers are offered.
fn offer(tokens: &str, packet_reserve: u64) -> PyResult<StoqParameters> {
    let (extensions, least) = match tokens {
        "off" => (0, 0),
        "packet" => (PACKET_TOKENS, PACKET_TOKEN_LEN as u64),
        "stream" => (STREAM_TOKENS, 0),
        other => {
            let text = format!("{other:?} is none of off, packet, stream");
            return Err(mistakes::argument("tokens", text));
        }
    };
    if packet_reserve > MAX_PACKET_RESERVE {
        let text = format!("{packet_reserve} is more than {MAX_PACKET_RESERVE}");
        return Err(mistakes::argument("packet_reserve", text));
    }
    Ok(StoqParameters {
        extensions,
        packet_reserve: packet_reserve.max(least),
        ..StoqParameters::default()
    })
}

fn domain(field: &str, name: &str) -> PyResult<TrustDomain> {
    TrustDomain::parse(name).map_err(|error| mistakes::argument(field, error))
}

fn parse_roots(field: &str, roots: &[Vec<u8>]) -> PyResult<Vec<RootCertificate>> {
    let parse = |(index, der): (usize, &Vec<u8>)| {
        RootCertificate::parse(der)
            .map_err(|error| mistakes::argument(&format!("{field}[{index}]"), error))
    };
    roots.iter().enumerate().map(parse).collect()
}
