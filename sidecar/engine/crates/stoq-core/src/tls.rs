//! TLS as STOQ uses it: one context, shared by all workers.
//!
//! TLS 1.3 only, key exchange X25519MLKEM768 only, composite signatures,
//! mutual authentication, no SNI, no 0-RTT, ALPN `stoq/1`. TLS itself proves
//! that the peer holds the keys of its certificate; whether that certificate is
//! good is decided by [`authorise`](crate::authorise::authorise) alone.

mod composite;
mod config;
mod context;
mod endpoint;
mod leaves;
mod policy;
mod reauthentication;
mod shared;
mod signed;
mod signer;
mod suite;
#[cfg(test)]
#[path = "../../../testing/vectors.rs"]
mod vectors;
mod verifier;

pub use crate::tickets::TicketKey;
pub use composite::{
    DOMAIN_LABEL, ED25519_FALCON_512, ED25519_FALCON_1024, scheme_name, scheme_of,
};
pub use context::{Aead, ResetSecret, ServerRole, TlsContext, TlsSettings};
pub use reauthentication::{Binding, ReauthenticationError};
pub use shared::IdentityError;
pub use signed::Vouched;

pub(crate) use shared::{Shared, scheme_for};
