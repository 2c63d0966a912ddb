//! Secrets of the endpoint rather than of a connection: Retry tokens and
//! stateless resets.

use std::sync::Arc;

use aws_lc_rs::{hkdf, hmac};
use quinn_proto::crypto::{HandshakeTokenKey, HmacKey};
use zeroize::Zeroizing;

use super::context::ResetSecret;

/// The keys all workers of one process share.
pub(super) struct EndpointKeys {
    token: Zeroizing<[u8; 32]>,
    reset: Zeroizing<[u8; 32]>,
}

impl EndpointKeys {
    pub(super) fn new(
        random: &'static dyn rustls::crypto::SecureRandom,
        reset: Option<&ResetSecret>,
    ) -> Self {
        let draw = || {
            let mut secret = Zeroizing::new([0; 32]);
            random
                .fill(&mut *secret)
                .expect("without randomness nothing here is secure");
            secret
        };
        Self {
            token: draw(),
            reset: reset.map_or_else(draw, |secret| secret.0.clone()),
        }
    }

    /// Protects address validation tokens (RFC 9000, section 8.1.3).
    pub(super) fn token(&self) -> Arc<dyn HandshakeTokenKey> {
        Arc::new(hkdf::Salt::new(hkdf::HKDF_SHA256, b"STOQ token key").extract(&*self.token))
    }

    /// Makes stateless reset tokens (RFC 9000, section 10.3.2).
    pub(super) fn reset(&self) -> Arc<dyn HmacKey> {
        Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &*self.reset))
    }
}

impl std::fmt::Debug for EndpointKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EndpointKeys")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(keys: &EndpointKeys) -> [u8; 32] {
        let mut signature = [0; 32];
        keys.reset().sign(b"a connection id", &mut signature);
        signature
    }

    #[test]
    fn only_the_same_secret_makes_the_same_reset_tokens() {
        let random = aws_lc_rs_random();
        let secret = |byte| ResetSecret(Zeroizing::new([byte; 32]));
        let keys = |secret: Option<&ResetSecret>| EndpointKeys::new(random, secret);
        let ours = token(&keys(Some(&secret(1))));
        assert_eq!(ours, token(&keys(Some(&secret(1)))));
        assert_ne!(ours, token(&keys(Some(&secret(2)))));
        assert_ne!(token(&keys(None)), token(&keys(None)));
        assert_eq!(format!("{:?}", secret(1)), "ResetSecret");
    }

    fn aws_lc_rs_random() -> &'static dyn rustls::crypto::SecureRandom {
        rustls::crypto::aws_lc_rs::default_provider().secure_random
    }
}
