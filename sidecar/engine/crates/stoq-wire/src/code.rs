//! Application error codes: why a connection was closed or a stream was reset
//! (RFC 9000, section 20.2).

/// Declares a code space once: value, name on the wire's logs, meaning.
macro_rules! codes {
    ($(#[$meta:meta])* $space:ident { $($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $space { $($(#[$doc])* $name,)+ }

        impl $space {
            /// Every code of this space, in order of value.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The value on the wire.
            #[must_use]
            pub const fn as_u64(self) -> u64 {
                match self { $(Self::$name => $value,)+ }
            }

            /// The name used in logs, metrics and error texts.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The code with this value; `None` when this version knows none.
            #[must_use]
            pub const fn from_u64(value: u64) -> Option<Self> {
                match value { $($value => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

codes! {
    /// Why a connection was closed by the application.
    ConnectionCode {
        /// Orderly close; nothing is wrong.
        NoError = 0x00, "no_error";
        /// The peer's identity is not one that may speak here.
        Unauthorised = 0x01, "unauthorised";
        /// The peer's certificate or root was revoked while connected.
        Revoked = 0x02, "revoked";
        /// The peer's certificate ran out while connected.
        Expired = 0x03, "expired";
        /// The peer broke a rule of this protocol.
        Protocol = 0x04, "protocol";
        /// Nothing used the connection for the pool's idle time.
        Idle = 0x05, "idle";
        /// A limit of this endpoint is reached; try again later.
        Overloaded = 0x06, "overloaded";
        /// A fault of this endpoint.
        Internal = 0x07, "internal";
        /// The endpoint is going away; dial again.
        Draining = 0x08, "draining";
        /// A token is missing, forged, replayed or out of order.
        BadToken = 0x09, "bad_token";
        /// A policy requires another crypto profile than the peer proves itself with.
        CryptoProfile = 0x0a, "crypto_profile";
    }
}

codes! {
    /// Why a stream was reset or its peer was asked to stop sending.
    StreamCode {
        /// The destination refused the connection (its RST).
        Refused = 0x10, "refused";
        /// No route to the destination.
        Unreachable = 0x11, "unreachable";
        /// The destination did not answer in time.
        TimedOut = 0x12, "timed_out";
        /// The destination address does not belong to this workload.
        NotMine = 0x13, "not_mine";
        /// The destination port is one of the mesh's own.
        ForbiddenPort = 0x14, "forbidden_port";
        /// The application reset its connection.
        Reset = 0x15, "reset";
        /// The caller gave up.
        Cancelled = 0x16, "cancelled";
        /// The stream head could not be read.
        BadHead = 0x17, "bad_head";
        /// This endpoint does not take such a stream from this peer.
        Denied = 0x18, "denied";
        /// The endpoint is going away and takes no new streams.
        Draining = 0x19, "draining";
        /// An access policy of the destination refuses this peer.
        AccessDenied = 0x1a, "access_denied";
        /// A shard or manifest contradicts another, or its digest.
        BadShard = 0x1b, "bad_shard";
        /// The object is larger than the receiver takes.
        TooLarge = 0x1c, "too_large";
        /// The object was not whole in time.
        Incomplete = 0x1d, "incomplete";
        /// A signature or key is not acceptable here.
        BadSignature = 0x1e, "bad_signature";
        /// The route does not lead over this gateway.
        NoRoute = 0x1f, "no_route";
        /// The route has come by here before.
        Loop = 0x20, "loop";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_code_is_found_by_its_value() {
        for &code in ConnectionCode::ALL {
            assert_eq!(ConnectionCode::from_u64(code.as_u64()), Some(code));
            assert!(!code.name().is_empty());
        }
    }

    #[test]
    fn every_stream_code_is_found_by_its_value() {
        for &code in StreamCode::ALL {
            assert_eq!(StreamCode::from_u64(code.as_u64()), Some(code));
            assert!(!code.name().is_empty());
        }
    }

    #[test]
    fn the_two_spaces_do_not_overlap() {
        assert!(
            ConnectionCode::ALL
                .iter()
                .all(|c| StreamCode::from_u64(c.as_u64()).is_none())
        );
    }

    #[test]
    fn an_unknown_value_is_nobodys_code() {
        assert_eq!(ConnectionCode::from_u64(0x7777), None);
        assert_eq!(StreamCode::from_u64(0), None);
    }
}
