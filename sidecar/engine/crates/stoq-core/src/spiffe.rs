//! SPIFFE identities: `spiffe://<trust-domain>/ns/<namespace>/sa/<service-account>`.
//!
//! The rules are those of the SPIFFE-ID specification (sections 2.1 and 2.2)
//! for the bytes, and Kubernetes' `ns/…/sa/…` for the path. Comparison is by
//! exact bytes: nothing is folded, decoded or trimmed.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest SPIFFE id, in bytes (SPIFFE-ID, section 2.3).
pub const MAX_ID_LEN: usize = 2048;

/// The longest trust domain, in bytes (SPIFFE-ID, section 2.3).
pub const MAX_TRUST_DOMAIN_LEN: usize = 255;

const SCHEME: &str = "spiffe://";

/// Why a text is not a SPIFFE id of this mesh.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeError {
    /// The text does not begin with `spiffe://`.
    #[error("{0:?} is no SPIFFE id: it must begin with spiffe://")]
    Scheme(String),
    /// The trust domain is empty, too long, or has a character that is not allowed.
    #[error(
        "{0:?} is no trust domain: it must be 1 to {MAX_TRUST_DOMAIN_LEN} of the characters a-z 0-9 . - _"
    )]
    TrustDomain(String),
    /// The path is not `/ns/<namespace>/sa/<service-account>`.
    #[error("{0:?} names no workload: the path must be /ns/<namespace>/sa/<service-account>")]
    Path(String),
    /// The text is longer than the specification allows.
    #[error("the SPIFFE id has {0} bytes: at most {MAX_ID_LEN} are allowed")]
    TooLong(usize),
}

/// A SPIFFE trust domain, such as `prod.example.org`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// Parses a trust domain.
    ///
    /// # Errors
    /// [`SpiffeError::TrustDomain`] for anything but 1 to 255 of `a-z 0-9 . - _`.
    pub fn parse(text: &str) -> Result<Self, SpiffeError> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        if text.is_empty() || text.len() > MAX_TRUST_DOMAIN_LEN || !text.bytes().all(allowed) {
            return Err(SpiffeError::TrustDomain(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// Parses the id of a trust domain itself, `spiffe://<trust-domain>`, as a
    /// root certificate carries it (SPIFFE X.509-SVID, section 3.1).
    ///
    /// # Errors
    /// [`SpiffeError`] for another scheme and for anything after the domain.
    pub fn parse_uri(text: &str) -> Result<Self, SpiffeError> {
        Self::parse(without_scheme(text)?)
    }

    /// The domain's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `spiffe://<trust-domain>`.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("{SCHEME}{}", self.0)
    }
}

/// The SPIFFE id of a workload.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    text: Arc<str>,
    trust_domain: TrustDomain,
}

impl SpiffeId {
    /// Parses `spiffe://<trust-domain>/ns/<namespace>/sa/<service-account>`.
    ///
    /// # Errors
    /// [`SpiffeError`] naming the part that breaks a rule.
    pub fn parse(text: &str) -> Result<Self, SpiffeError> {
        if text.len() > MAX_ID_LEN {
            return Err(SpiffeError::TooLong(text.len()));
        }
        let rest = without_scheme(text)?;
        let (domain, path) = rest.split_once('/').unwrap_or((rest, ""));
        let trust_domain = TrustDomain::parse(domain)?;
        let segments: Vec<&str> = path.split('/').collect();
        match segments[..] {
            ["ns", namespace, "sa", account] if segment(namespace) && segment(account) => {
                Ok(Self {
                    text: text.into(),
                    trust_domain,
                })
            }
            _ => Err(SpiffeError::Path(text.to_owned())),
        }
    }

    /// Builds an id from its parts.
    ///
    /// # Errors
    /// [`SpiffeError::Path`] if the namespace or the service account is no path segment.
    pub fn new(
        trust_domain: &TrustDomain,
        namespace: &str,
        service_account: &str,
    ) -> Result<Self, SpiffeError> {
        Self::parse(&format!(
            "{}/ns/{namespace}/sa/{service_account}",
            trust_domain.uri()
        ))
    }

    /// The id of a mesh's operator, which runs its CA and registry.
    #[must_use]
    pub fn operator(trust_domain: &TrustDomain) -> Self {
        Self {
            text: format!("{}/ns/stoq-system/sa/stoq-operator", trust_domain.uri()).into(),
            trust_domain: trust_domain.clone(),
        }
    }

    /// The whole id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The trust domain.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The Kubernetes namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.path_segment(1)
    }

    /// The Kubernetes service account.
    #[must_use]
    pub fn service_account(&self) -> &str {
        self.path_segment(3)
    }

    fn path_segment(&self, index: usize) -> &str {
        let path = &self.text[SCHEME.len() + self.trust_domain.as_str().len() + 1..];
        path.split('/').nth(index).unwrap_or_default()
    }
}

fn without_scheme(text: &str) -> Result<&str, SpiffeError> {
    text.strip_prefix(SCHEME)
        .ok_or_else(|| SpiffeError::Scheme(text.to_owned()))
}

/// "The path segments MUST only contain letters, numbers, dots, dashes, and
/// underscores" and none is empty, `.` or `..` (SPIFFE-ID, section 2.2).
fn segment(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !matches!(text, "" | "." | "..") && text.bytes().all(allowed)
}

impl FromStr for SpiffeId {
    type Err = SpiffeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_is_taken_apart_and_kept_byte_for_byte() {
        let id = SpiffeId::parse("spiffe://mesh.test/ns/shop/sa/web-0").unwrap();
        assert_eq!(id.as_str(), "spiffe://mesh.test/ns/shop/sa/web-0");
        assert_eq!(id.trust_domain().as_str(), "mesh.test");
        assert_eq!(id.namespace(), "shop");
        assert_eq!(id.service_account(), "web-0");
        assert_eq!(id.to_string(), format!("{id:?}"));
        assert_eq!("spiffe://mesh.test/ns/shop/sa/web-0".parse(), Ok(id));
    }

    #[test]
    fn the_operators_id_is_what_parsing_gives() {
        let domain = TrustDomain::parse("mesh.test").unwrap();
        let operator = SpiffeId::operator(&domain);
        assert_eq!(SpiffeId::parse(operator.as_str()), Ok(operator.clone()));
        assert_eq!(
            SpiffeId::new(&domain, "stoq-system", "stoq-operator"),
            Ok(operator)
        );
    }

    #[test]
    fn another_scheme_is_refused() {
        for text in [
            "",
            "SPIFFE://mesh.test/ns/a/sa/b",
            "https://mesh.test/ns/a/sa/b",
        ] {
            assert_eq!(
                SpiffeId::parse(text),
                Err(SpiffeError::Scheme(text.to_owned()))
            );
        }
    }

    #[test]
    fn a_trust_domain_with_other_characters_is_refused() {
        for domain in [
            "",
            "Mesh",
            "mesh test",
            "mesh:80",
            "user@mesh",
            "mésh",
            "a\0b",
        ] {
            let text = format!("spiffe://{domain}/ns/a/sa/b");
            assert_eq!(
                SpiffeId::parse(&text),
                Err(SpiffeError::TrustDomain(domain.to_owned()))
            );
        }
        assert!(TrustDomain::parse(&"a".repeat(MAX_TRUST_DOMAIN_LEN)).is_ok());
        assert!(TrustDomain::parse(&"a".repeat(MAX_TRUST_DOMAIN_LEN + 1)).is_err());
    }

    #[test]
    fn a_path_of_another_shape_is_refused() {
        for path in [
            "",
            "/",
            "/ns/a",
            "/ns/a/sa",
            "/ns/a/sa/",
            "/ns//sa/b",
            "/ns/a/sa/b/",
            "/ns/a/sa/b/c",
            "/NS/a/sa/b",
            "/ns/a/sa/b?x",
            "/ns/a/sa/b#x",
            "/ns/a/sa/b%00",
            "/ns/a/sa/b\0",
            "/ns/./sa/b",
            "/ns/a/sa/..",
        ] {
            let text = format!("spiffe://mesh.test{path}");
            assert_eq!(SpiffeId::parse(&text), Err(SpiffeError::Path(text.clone())));
        }
    }

    #[test]
    fn an_id_of_more_than_2048_bytes_is_refused() {
        let head = "spiffe://mesh.test/ns/a/sa/";
        let longest = format!("{head}{}", "b".repeat(MAX_ID_LEN - head.len()));
        assert!(SpiffeId::parse(&longest).is_ok());
        assert_eq!(
            SpiffeId::parse(&format!("{longest}b")),
            Err(SpiffeError::TooLong(MAX_ID_LEN + 1))
        );
    }

    #[test]
    fn the_id_of_a_trust_domain_has_no_path() {
        let domain = TrustDomain::parse("mesh.test").unwrap();
        assert_eq!(
            TrustDomain::parse_uri("spiffe://mesh.test"),
            Ok(domain.clone())
        );
        assert_eq!(domain.uri(), "spiffe://mesh.test");
        assert_eq!(domain.to_string(), format!("{domain:?}"));
        assert!(TrustDomain::parse_uri("spiffe://mesh.test/").is_err());
        assert!(TrustDomain::parse_uri("mesh.test").is_err());
    }

    proptest! {
        #[test]
        fn what_parses_prints_as_it_was(text in "(spiffe://)?[a-z.]{0,8}(/[a-z.]{0,4}){0,5}") {
            if let Ok(id) = SpiffeId::parse(&text) {
                prop_assert_eq!(id.as_str(), text);
            }
        }
    }
}
