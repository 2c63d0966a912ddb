//! The enumerations of `bpf/include/stoq/shared.h`. Tests hold their numbers against the header.

/// Declares an enumeration of the header, all its values, and how the header calls them.
macro_rules! numbers {
    ($(#[$doc:meta])* $name:ident = $prefix:literal {
        $($(#[$value_doc:meta])* $value:ident = $number:literal $c:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$value_doc])* $value = $number,)* }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$value,)*];

            /// What the header calls it, without the prefix.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$value => $c,)* }
            }

            #[cfg(test)]
            pub(crate) const C_NAMES: &'static [(&'static str, u8)] = &[$((concat!($prefix, $c), $number),)*];
        }
    };
}
pub(crate) use numbers;

numbers! {
    /// Which way, seen from the host's end of a pod's link.
    Direction = "STOQ_" {
        /// Towards the pod.
        ToPod = 0 "TO_POD",
        /// Out of the pod.
        FromPod = 1 "FROM_POD",
    }
}

numbers! {
    /// What happens to plaintext that nothing allows.
    Mode = "STOQ_MODE_" {
        /// It passes, and is counted.
        Permissive = 0 "PERMISSIVE",
        /// It is dropped, and counted.
        Strict = 1 "STRICT",
    }
}

numbers! {
    /// Why strict mode let a packet pass, or did not.
    Reason = "STOQ_REASON_" {
        /// STOQ between workloads.
        Stoq = 0 "STOQ",
        /// Registry and certificate authority.
        Control = 1 "CONTROL",
        /// ARP, neighbour and router discovery, multicast listeners.
        Neighbour = 2 "NEIGHBOUR",
        /// ICMP that reports an error, as packet-too-big.
        IcmpError = 3 "ICMP_ERROR",
        /// A name server that is allowed.
        Dns = 4 "DNS",
        /// The API server.
        ApiServer = 5 "API_SERVER",
        /// An exempt port or network, but for UDP.
        Exempt = 6 "EXEMPT",
        /// The same of UDP.
        ExemptUdp = 7 "EXEMPT_UDP",
        /// A probe of this host, and the answer.
        Probe = 8 "PROBE",
        /// Applications' UDP, where it is let through.
        Udp = 9 "UDP",
        /// Ping, where it is let through.
        Echo = 10 "ECHO",
        /// An answer to what a permissive direction opened.
        Reply = 11 "REPLY",
        /// TCP in the clear.
        PlainTcp = 12 "PLAIN_TCP",
        /// UDP in the clear.
        PlainUdp = 13 "PLAIN_UDP",
        /// Another protocol.
        PlainOther = 14 "PLAIN_OTHER",
        /// A later fragment, whose ports nobody sees.
        Fragment = 15 "FRAGMENT",
        /// Headers that cannot be read.
        Malformed = 16 "MALFORMED",
        /// Neither IP nor ARP.
        Link = 17 "LINK",
    }
}

impl Reason {
    /// Whether strict mode drops what has this reason.
    pub const fn dropped(self) -> bool {
        self as u8 >= Self::PlainTcp as u8
    }
}

numbers! {
    /// What a packet is to the accounts.
    Class = "STOQ_CLASS_" {
        /// STOQ between workloads.
        Stoq = 0 "STOQ",
        /// Registry and certificate authority.
        Control = 1 "CONTROL",
        /// TCP: in the clear.
        Tcp = 2 "TCP",
        /// Other UDP: in the clear.
        Udp = 3 "UDP",
        /// ICMP and ICMPv6.
        Icmp = 4 "ICMP",
        /// Everything else, also later fragments and what cannot be read.
        Other = 5 "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::enumerators;

    #[test]
    fn the_numbers_are_those_of_the_header() {
        assert_eq!(enumerators("STOQ_MODE_"), Mode::C_NAMES);
        assert_eq!(enumerators("STOQ_REASON_"), Reason::C_NAMES);
        assert_eq!(enumerators("STOQ_CLASS_"), Class::C_NAMES);
        let mut directions = enumerators("STOQ_TO_POD");
        directions.extend(enumerators("STOQ_FROM_POD"));
        assert_eq!(directions, Direction::C_NAMES);
        let reasons = Reason::ALL.len() as u8;
        assert_eq!(enumerators("STOQ_REASONS"), [("STOQ_REASONS", reasons)]);
    }

    #[test]
    fn plaintext_is_what_strict_mode_drops() {
        let dropped: Vec<_> = Reason::ALL
            .iter()
            .filter(|reason| reason.dropped())
            .collect();
        assert_eq!(dropped.len(), 6);
        assert!(!Reason::Reply.dropped() && Reason::PlainTcp.dropped());
    }
}
