//! Tickets that hold their session, sealed with keys that several servers share.
//!
//! A ticket is the second from which its key is used (8 bytes), a random nonce (12), and under
//! AES-256-GCM the second in which it was made (8) and the session.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::crypto::SecureRandom;
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

use crate::clock::Clock;

/// Seconds that a ticket can be taken.
const LIFETIME: u32 = 24 * 60 * 60;

/// Seconds that a key seals, at most: twice as long as until another takes over. Who cannot get that one
/// gives no tickets rather than ever more of the same key.
const SEALS: u64 = 24 * 60 * 60;

/// Bytes of a session that has the client's certificate in it, at least: a FALCON-512 key. Without one a
/// session has a secret and a few words. rustls tells a sealer nothing more.
const CERTIFIED: usize = 897;

const LABEL: &[u8] = b"stoq ticket 1";
const SECOND: usize = 8;

/// A key of tickets, the same at every server that shares them; never printed.
#[derive(Clone)]
pub struct TicketKey {
    /// Unix time from which tickets are sealed with it, seconds. It also names the key.
    pub since: u64,
    /// 32 random bytes.
    pub secret: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TicketKey({})", self.since)
    }
}

struct Key {
    since: u64,
    aead: LessSafeKey,
}

/// Seals and opens. Without keys there are no tickets.
pub(crate) struct SealedTickets {
    keys: ArcSwap<Vec<Key>>,
    clock: Arc<dyn Clock>,
    random: &'static dyn SecureRandom,
}

impl SealedTickets {
    pub(crate) fn new(clock: Arc<dyn Clock>, random: &'static dyn SecureRandom) -> Self {
        Self {
            keys: ArcSwap::default(),
            clock,
            random,
        }
    }

    /// Uses exactly these. Of those whose time has come the newest seals, for a day at most; all of them
    /// open.
    pub(crate) fn set(&self, keys: &[TicketKey]) {
        let key = |key: &TicketKey| Key {
            since: key.since,
            aead: LessSafeKey::new(
                UnboundKey::new(&AES_256_GCM, &*key.secret).expect("32 bytes are an AES-256 key"),
            ),
        };
        self.keys.store(Arc::new(keys.iter().map(key).collect()));
    }
}

impl ProducesTickets for SealedTickets {
    fn enabled(&self) -> bool {
        !self.keys.load().is_empty()
    }

    fn lifetime(&self) -> u32 {
        LIFETIME
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        if plain.len() < CERTIFIED {
            return None;
        }
        let now = self.clock.now();
        let keys = self.keys.load();
        let begun = keys
            .iter()
            .filter(|key| key.since <= now && now - key.since < SEALS);
        let key = begun.max_by_key(|key| key.since)?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut sealed = [&now.to_be_bytes(), plain].concat();
        let unique = Nonce::assume_unique_for_key(nonce);
        key.aead
            .seal_in_place_append_tag(unique, Aad::from(LABEL), &mut sealed)
            .ok()?;
        Some([&key.since.to_be_bytes(), &nonce[..], &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (since, rest) = ticket.split_first_chunk::<SECOND>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let since = u64::from_be_bytes(*since);
        let keys = self.keys.load();
        let key = keys.iter().find(|key| key.since == since)?;
        let mut opened = Zeroizing::new(sealed.to_vec());
        let unique = Nonce::assume_unique_for_key(*nonce);
        let opened = key
            .aead
            .open_in_place(unique, Aad::from(LABEL), &mut opened)
            .ok()?;
        let (made, session) = opened.split_first_chunk::<SECOND>()?;
        let age = self.clock.now().saturating_sub(u64::from_be_bytes(*made));
        (age <= u64::from(LIFETIME)).then(|| session.to_vec())
    }
}

impl fmt::Debug for SealedTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedTickets({} keys)", self.keys.load().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestClock;

    const SESSION: &[u8] = &[5; CERTIFIED];

    fn key(since: u64, byte: u8) -> TicketKey {
        TicketKey {
            since,
            secret: Zeroizing::new([byte; 32]),
        }
    }

    fn tickets(at: u64, keys: &[TicketKey]) -> (SealedTickets, Arc<TestClock>) {
        let clock = TestClock::at(at);
        let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
        let tickets = SealedTickets::new(clock.clone(), random);
        tickets.set(keys);
        (tickets, clock)
    }

    #[test]
    fn whoever_has_the_key_opens_what_another_sealed_and_nobody_else() {
        let (one, _) = tickets(1000, &[key(900, 1)]);
        let (other, _) = tickets(1000, &[key(900, 1)]);
        let (stranger, _) = tickets(1000, &[key(900, 2)]);
        let ticket = one.encrypt(SESSION).unwrap();
        assert_eq!(other.decrypt(&ticket), Some(SESSION.to_vec()));
        assert_eq!(stranger.decrypt(&ticket), None);
        assert_ne!(one.encrypt(SESSION).unwrap(), ticket);
        for place in (0..ticket.len()).filter(|place| *place < 40 || place % 97 == 0) {
            let mut forged = ticket.clone();
            forged[place] ^= 1;
            assert_eq!(other.decrypt(&forged), None, "byte {place}");
            assert_eq!(other.decrypt(&ticket[..place]), None, "{place} bytes");
        }
    }

    #[test]
    fn a_session_without_a_certificate_gets_no_ticket() {
        let (tickets, _) = tickets(1000, &[key(900, 1)]);
        assert_eq!(tickets.encrypt(&SESSION[1..]), None);
    }

    #[test]
    fn a_key_seals_once_its_time_has_come_and_opens_before() {
        let (early, clock) = tickets(1000, &[key(900, 1), key(1060, 2)]);
        let (late, _) = tickets(1060, &[key(900, 1), key(1060, 2)]);
        let ticket = late.encrypt(SESSION).unwrap();
        assert_eq!(early.decrypt(&ticket), Some(SESSION.to_vec()));
        assert_eq!(early.encrypt(SESSION).unwrap()[..8], 900u64.to_be_bytes());
        clock.advance(60);
        assert_eq!(early.encrypt(SESSION).unwrap()[..8], 1060u64.to_be_bytes());
        early.set(&[key(900, 1)]);
        assert_eq!(early.decrypt(&ticket), None);
    }

    #[test]
    fn a_ticket_ends_after_a_day_though_its_key_is_there() {
        let (tickets, clock) = tickets(1000, &[key(900, 1)]);
        let ticket = tickets.encrypt(SESSION).unwrap();
        clock.advance(u64::from(LIFETIME));
        assert!(tickets.decrypt(&ticket).is_some());
        clock.advance(1);
        assert_eq!(tickets.decrypt(&ticket), None);
    }

    #[test]
    fn a_key_that_nobody_replaces_seals_for_a_day_and_opens_beyond() {
        let (tickets, clock) = tickets(1000, &[key(1000, 1)]);
        clock.advance(SEALS - 1);
        let ticket = tickets.encrypt(SESSION).unwrap();
        clock.advance(1);
        assert_eq!(tickets.encrypt(SESSION), None);
        assert_eq!(tickets.decrypt(&ticket), Some(SESSION.to_vec()));
    }

    #[test]
    fn without_a_key_there_are_no_tickets_and_none_is_printed() {
        let (tickets, _) = tickets(1000, &[]);
        assert!(!tickets.enabled());
        assert_eq!(tickets.encrypt(SESSION), None);
        tickets.set(&[key(2000, 7)]);
        assert_eq!(tickets.encrypt(SESSION), None, "its time has not come");
        assert_eq!(format!("{tickets:?}"), "SealedTickets(1 keys)");
        assert_eq!(format!("{:?}", key(2000, 7)), "TicketKey(2000)");
    }
}
