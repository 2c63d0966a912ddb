//! The crypto provider's randomness in the shape that FALCON takes it.

use rand_core::{CryptoRng, RngCore};
use rustls::crypto::SecureRandom;

/// Bytes drawn at once. A FALCON signature takes 40 of nonce and 56 of seed.
const POOL: usize = 256;

/// Randomness for one signature or key, drawn from a [`SecureRandom`].
///
/// A failing source must surface as an error, and [`RngCore`] has none: so a
/// pool is drawn on creation, where it can fail, and refilled only beyond it.
pub(crate) struct Random {
    source: &'static dyn SecureRandom,
    pool: zeroize::Zeroizing<[u8; POOL]>,
    used: usize,
}

impl Random {
    /// Draws the pool.
    pub(crate) fn new(source: &'static dyn SecureRandom) -> Result<Self, rustls::Error> {
        let mut pool = zeroize::Zeroizing::new([0; POOL]);
        source.fill(&mut *pool)?;
        Ok(Self {
            source,
            pool,
            used: 0,
        })
    }
}

impl RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        self.try_fill_bytes(out)
            .expect("the source of randomness worked a moment ago");
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        let Some(bytes) = self.pool.get(self.used..self.used + out.len()) else {
            return self
                .source
                .fill(out)
                .map_err(|_| rand_core::Error::from(NO_RANDOMNESS));
        };
        out.copy_from_slice(bytes);
        self.used += out.len();
        Ok(())
    }
}

const NO_RANDOMNESS: std::num::NonZeroU32 =
    std::num::NonZeroU32::new(rand_core::Error::CUSTOM_START).unwrap();

impl CryptoRng for Random {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Broken;

    impl SecureRandom for Broken {
        fn fill(&self, _: &mut [u8]) -> Result<(), rustls::crypto::GetRandomFailed> {
            Err(rustls::crypto::GetRandomFailed)
        }
    }

    fn source() -> &'static dyn SecureRandom {
        rustls::crypto::aws_lc_rs::default_provider().secure_random
    }

    #[test]
    fn no_two_draws_are_alike_within_the_pool_and_beyond_it() {
        let mut random = Random::new(source()).unwrap();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..2 * POOL / 8 {
            assert!(seen.insert(random.next_u64()));
        }
        assert_ne!(random.next_u32(), random.next_u32());
    }

    #[test]
    fn a_failing_source_is_an_error_not_a_panic() {
        assert!(Random::new(&Broken).is_err());
        let mut random = Random {
            source: &Broken,
            pool: zeroize::Zeroizing::new([0; POOL]),
            used: POOL,
        };
        assert!(random.try_fill_bytes(&mut [0]).is_err());
    }
}
