//! STOQ's QUIC transport parameters (RFC 9000, sections 7.4 and 18).
//!
//! Each element is a transport parameter of its own in a private block, so that
//! an endpoint that does not know one ignores it (RFC 9000, 7.4.2). A peer that
//! sends no revision is a plain QUIC peer.
//!
//! | id | value |
//! |---|---|
//! | 0x53544f5100 | revision, varint, required |
//! | 0x53544f5101 | extensions, varint bitmap |
//! | 0x53544f5102 | packet reserve in bytes, varint |
//! | 0x53544f5103 | largest shard in bytes, varint |
//! | 0x53544f5104 | FALCON key id, 32 bytes |
//! | 0x53544f5105 | FALCON public key, 1 to 2048 bytes |

use bytes::{Buf, BufMut};

use crate::varint;

/// The first id of STOQ's block: "STOQ" in ASCII, followed by a zero byte.
pub const BASE: u64 = 0x53_54_4f_51_00;

/// The revision of the protocol that this crate speaks.
pub const REVISION: u64 = 1;

/// The longest FALCON public key accepted, in bytes. FALCON-1024's has 1793.
pub const MAX_KEY_LEN: usize = 2048;

/// The largest packet reserve a peer may ask for, in bytes.
pub const MAX_PACKET_RESERVE: u64 = 256;

const EXTENSIONS: u64 = BASE + 1;
const PACKET_RESERVE: u64 = BASE + 2;
const MAX_SHARD: u64 = BASE + 3;
const KEY_ID: u64 = BASE + 4;
const KEY: u64 = BASE + 5;

/// What one endpoint says of its STOQ abilities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoqParameters {
    /// The newest revision the endpoint speaks; at least 1.
    pub revision: u64,
    /// Bitmap of the extensions it supports. Both sides' bits are intersected.
    pub extensions: u64,
    /// Bytes it asks to reserve in every 1-RTT packet; 0 is ordinary QUIC.
    pub packet_reserve: u64,
    /// The largest shard it accepts, in bytes; 0 for none.
    pub max_shard: u64,
    /// SHA-256 of its FALCON public key.
    pub falcon_key_id: Option<[u8; 32]>,
    /// Its FALCON public key, where the certificate does not carry it.
    pub falcon_key: Option<Vec<u8>>,
}

impl Default for StoqParameters {
    fn default() -> Self {
        Self {
            revision: REVISION,
            extensions: 0,
            packet_reserve: 0,
            max_shard: 0,
            falcon_key_id: None,
            falcon_key: None,
        }
    }
}

/// Why transport parameters are refused. The connection is closed with
/// TRANSPORT_PARAMETER_ERROR (RFC 9000, 7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// The block ends inside a parameter.
    #[error("the transport parameters end inside a parameter")]
    Truncated,
    /// A STOQ parameter appears twice.
    #[error("transport parameter {0:#x} appears twice")]
    Duplicate(u64),
    /// A value that its parameter does not allow.
    #[error("transport parameter {0:#x} has a value that is not allowed")]
    Value(u64),
    /// STOQ parameters without the revision that must come with them.
    #[error("transport parameter {BASE:#x} (the STOQ revision) is missing")]
    NoRevision,
}

impl StoqParameters {
    /// Appends the parameters to an encoded block of QUIC's own.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        put_integer(BASE, self.revision, out);
        for (id, value) in [
            (EXTENSIONS, self.extensions),
            (PACKET_RESERVE, self.packet_reserve),
            (MAX_SHARD, self.max_shard),
        ] {
            if value != 0 {
                put_integer(id, value, out);
            }
        }
        if let Some(id) = &self.falcon_key_id {
            put_bytes(KEY_ID, id, out);
        }
        if let Some(key) = &self.falcon_key {
            put_bytes(KEY, key, out);
        }
    }

    /// Finds STOQ's parameters in an encoded block; `None` when it has none.
    ///
    /// # Errors
    /// [`ParameterError`] for a block that is cut short and for STOQ parameters
    /// that break a rule. Parameters of others are passed over.
    pub fn find(block: &[u8]) -> Result<Option<Self>, ParameterError> {
        let mut rest = block;
        let mut seen = 0u64;
        let mut found = Self {
            revision: 0,
            ..Self::default()
        };
        while rest.has_remaining() {
            let id = take_varint(&mut rest)?;
            let length = take_varint(&mut rest)?;
            let length = usize::try_from(length).map_err(|_| ParameterError::Truncated)?;
            if rest.len() < length {
                return Err(ParameterError::Truncated);
            }
            let (value, after) = rest.split_at(length);
            rest = after;
            let Some(bit) = id.checked_sub(BASE).filter(|bit| *bit <= KEY - BASE) else {
                continue;
            };
            if seen & (1 << bit) != 0 {
                return Err(ParameterError::Duplicate(id));
            }
            seen |= 1 << bit;
            found.set(id, value)?;
        }
        match seen {
            0 => Ok(None),
            _ if seen & 1 == 0 => Err(ParameterError::NoRevision),
            _ => Ok(Some(found)),
        }
    }

    fn set(&mut self, id: u64, value: &[u8]) -> Result<(), ParameterError> {
        let wrong = ParameterError::Value(id);
        match id {
            BASE => self.revision = integer(value).filter(|r| *r >= 1).ok_or(wrong)?,
            EXTENSIONS => self.extensions = integer(value).ok_or(wrong)?,
            PACKET_RESERVE => {
                self.packet_reserve = integer(value)
                    .filter(|r| *r <= MAX_PACKET_RESERVE)
                    .ok_or(wrong)?;
            }
            MAX_SHARD => self.max_shard = integer(value).ok_or(wrong)?,
            KEY_ID => self.falcon_key_id = Some(value.try_into().map_err(|_| wrong)?),
            _ => {
                if value.is_empty() || value.len() > MAX_KEY_LEN {
                    return Err(wrong);
                }
                self.falcon_key = Some(value.to_vec());
            }
        }
        Ok(())
    }
}

fn put_integer(id: u64, value: u64, out: &mut Vec<u8>) {
    varint::write(id, out);
    varint::write(varint::size(value) as u64, out);
    varint::write(value, out);
}

fn put_bytes(id: u64, value: &[u8], out: &mut Vec<u8>) {
    varint::write(id, out);
    varint::write(value.len() as u64, out);
    out.put_slice(value);
}

fn take_varint(rest: &mut &[u8]) -> Result<u64, ParameterError> {
    varint::read(rest).map_err(|_| ParameterError::Truncated)
}

/// An integer that fills `value` exactly.
fn integer(mut value: &[u8]) -> Option<u64> {
    let integer = varint::read(&mut value).ok()?;
    value.is_empty().then_some(integer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn full() -> StoqParameters {
        StoqParameters {
            revision: REVISION,
            extensions: 0x3f,
            packet_reserve: 48,
            max_shard: 1 << 20,
            falcon_key_id: Some([9; 32]),
            falcon_key: Some(vec![1; 1793]),
        }
    }

    fn block(parameters: &StoqParameters) -> Vec<u8> {
        let mut bytes = vec![0x01, 0x02, 0x40, 0x64]; // max_idle_timeout = 100 ms
        parameters.append_to(&mut bytes);
        bytes
    }

    #[test]
    fn parameters_round_trip_beside_those_of_quic() {
        for parameters in [StoqParameters::default(), full()] {
            assert_eq!(
                StoqParameters::find(&block(&parameters)),
                Ok(Some(parameters))
            );
        }
    }

    #[test]
    fn a_plain_quic_peer_has_none() {
        assert_eq!(StoqParameters::find(&[]), Ok(None));
        assert_eq!(StoqParameters::find(&[0x01, 0x02, 0x40, 0x64]), Ok(None));
    }

    #[test]
    fn a_newer_peers_unknown_parameter_is_passed_over() {
        let mut bytes = block(&full());
        put_integer(KEY + 1, 5, &mut bytes);
        assert_eq!(StoqParameters::find(&bytes), Ok(Some(full())));
    }

    #[test]
    fn a_parameter_that_comes_twice_is_refused() {
        let mut bytes = block(&full());
        put_integer(EXTENSIONS, 1, &mut bytes);
        assert_eq!(
            StoqParameters::find(&bytes),
            Err(ParameterError::Duplicate(EXTENSIONS))
        );
    }

    #[test]
    fn extensions_without_a_revision_are_refused() {
        let mut bytes = Vec::new();
        put_integer(EXTENSIONS, 1, &mut bytes);
        assert_eq!(
            StoqParameters::find(&bytes),
            Err(ParameterError::NoRevision)
        );
    }

    #[test]
    fn values_beyond_their_bounds_are_refused_by_name() {
        let cases: [(u64, Vec<u8>); 6] = [
            (BASE, vec![0]),
            (BASE, vec![1, 0]),
            (PACKET_RESERVE, vec![0x41, 0x01]),
            (KEY_ID, vec![0; 31]),
            (KEY, vec![]),
            (KEY, vec![0; MAX_KEY_LEN + 1]),
        ];
        for (id, value) in cases {
            let mut bytes = Vec::new();
            put_bytes(id, &value, &mut bytes);
            assert_eq!(StoqParameters::find(&bytes), Err(ParameterError::Value(id)));
        }
    }

    #[test]
    fn a_cut_block_never_yields_the_whole() {
        let bytes = block(&full());
        for length in 0..bytes.len() {
            assert_ne!(StoqParameters::find(&bytes[..length]), Ok(Some(full())));
        }
    }

    proptest! {
        #[test]
        fn any_block_is_read_without_a_panic(bytes: Vec<u8>) {
            let _ = StoqParameters::find(&bytes);
        }
    }
}
