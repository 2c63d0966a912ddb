//! Questions to the kernel about its interfaces, routes and neighbours (rtnetlink(7)). Asking takes no
//! capability, and the answer is there when the question has been sent.

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use socket2::{Socket, Type};
use stoq_core::udp::frame::Mac;

use super::neighbours::{Answer, Hop};

const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTM_GETNEIGH: u16 = 30;
const RTN_UNICAST: u8 = 1;
/// linux/if_link.h, if_addr.h, rtnetlink.h and neighbour.h: kinds of attributes.
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PREFSRC: u16 = 7;
const RTA_VIA: u16 = 18;
const RTA_IP_PROTO: u16 = 27;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
/// States in which a neighbour's address is known to be right, or being asked for at that address.
const NUD_GOOD: u16 = 0x02 | 0x08 | 0x10 | 0x40 | 0x80;
const NUD_STALE: u16 = 0x04;

/// Bytes of a message's header, and of what follows it by kind.
const HEADER: usize = 16;
const LINK: usize = 16;
const ADDRESS: usize = 8;
const ROUTE: usize = 12;
const NEIGHBOUR: usize = 12;

/// The kernel answers at once; this is for one that does not.
const PATIENCE: Duration = Duration::from_millis(500);

/// More than any answer, or part of one.
const BUFFER: usize = 32 * 1024;

/// An interface of Ethernet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) index: u32,
    pub(crate) mac: Mac,
    /// Bytes of a packet.
    pub(crate) mtu: u32,
    /// Its own, those of the link apart.
    pub(crate) addresses: Vec<IpAddr>,
}

/// A socket for questions.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// # Errors
    /// What the kernel says.
    pub(crate) fn open() -> io::Result<Self> {
        let (family, protocol) = (libc::AF_NETLINK.into(), libc::NETLINK_ROUTE.into());
        let socket = Socket::new(family, Type::RAW, Some(protocol))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            socket,
            sequence: 0,
            buffer: vec![0; BUFFER],
        })
    }

    /// An interface by its name.
    ///
    /// # Errors
    /// `ENODEV` if there is none, `InvalidData` for one without an address of Ethernet.
    pub(crate) fn interface(&mut self, name: &str) -> io::Result<Interface> {
        let mut question = vec![0; LINK];
        append(
            &mut question,
            IFLA_IFNAME,
            &[name.as_bytes(), &[0]].concat(),
        );
        let mut found = None;
        self.ask(RTM_GETLINK, 0, &question, |_, answer| {
            found = link(answer);
        })?;
        let mut found = found.ok_or(io::ErrorKind::InvalidData)?;
        let question = [0; ADDRESS];
        self.ask(
            RTM_GETADDR,
            libc::NLM_F_DUMP as u16,
            &question,
            |_, answer| {
                found.addresses.extend(address(answer, found.index));
            },
        )?;
        Ok(found)
    }

    /// The way to `peer` over the interface of index `own`.
    pub(crate) fn way(&mut self, peer: IpAddr, own: u32) -> Answer {
        let mut question = vec![0; ROUTE];
        question[0] = family(peer);
        question[1] = if peer.is_ipv4() { 32 } else { 128 };
        append(&mut question, RTA_DST, &octets(peer));
        // There are rules by protocol, and the socket's datagrams follow them.
        append(&mut question, RTA_IP_PROTO, &[libc::IPPROTO_UDP as u8]);
        let mut found = None;
        let asked = self.ask(RTM_GETROUTE, 0, &question, |kind, answer| {
            found = route(kind, answer);
        });
        let Some(Route {
            interface,
            gateway,
            source: Some(source),
        }) = found
        else {
            return Answer::Elsewhere;
        };
        if asked.is_err() || interface != own {
            return Answer::Elsewhere;
        }
        self.neighbour(gateway.unwrap_or(peer), own, source)
    }

    fn neighbour(&mut self, peer: IpAddr, own: u32, source: IpAddr) -> Answer {
        let mut question = vec![0; NEIGHBOUR];
        question[0] = family(peer);
        question[4..8].copy_from_slice(&own.to_ne_bytes());
        append(&mut question, NDA_DST, &octets(peer));
        let mut found = Answer::Unresolved;
        // That there is none is an error (ENOENT), and says the same.
        let _ = self.ask(RTM_GETNEIGH, 0, &question, |_, answer| {
            found = resolved(answer, source);
        });
        found
    }

    /// Sends a question and shows every part of the answer to `each`, with its kind.
    fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        question: &[u8],
        mut each: impl FnMut(u16, &[u8]),
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = Vec::with_capacity(HEADER + question.len());
        message.extend(((HEADER + question.len()) as u32).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend((flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(question);
        self.socket.send(&message)?;
        loop {
            let length = self.socket.read(&mut self.buffer)?;
            let mut rest = &self.buffer[..length];
            while let Some((part, after)) = Part::first(rest) {
                rest = after;
                // What is left of an earlier answer, which was given up.
                if part.sequence != self.sequence {
                    continue;
                }
                match libc::c_int::from(part.kind) {
                    libc::NLMSG_DONE => return Ok(()),
                    libc::NLMSG_ERROR => return refused(part.body),
                    _ => each(part.kind, part.body),
                }
                if part.flags & libc::NLM_F_MULTI as u16 == 0 {
                    return Ok(());
                }
            }
        }
    }
}

/// One message of what was read.
struct Part<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
}

impl<'a> Part<'a> {
    fn first(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let length = word(bytes, 0)? as usize;
        let body = bytes.get(HEADER..length)?;
        let part = Self {
            kind: half(bytes, 4)?,
            flags: half(bytes, 6)?,
            sequence: word(bytes, 8)?,
            body,
        };
        let next = length.next_multiple_of(4).min(bytes.len());
        Some((part, &bytes[next..]))
    }
}

fn refused(body: &[u8]) -> io::Result<()> {
    match word(body, 0).map(u32::cast_signed) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.wrapping_neg())),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn link(body: &[u8]) -> Option<Interface> {
    let (mut mac, mut mtu) = (None, None);
    for (kind, value) in attributes(body.get(LINK..)?) {
        match kind {
            IFLA_ADDRESS => mac = value.try_into().ok(),
            IFLA_MTU => mtu = word(value, 0),
            _ => {}
        }
    }
    Some(Interface {
        index: word(body, 4)?,
        mac: mac?,
        mtu: mtu?,
        addresses: Vec::new(),
    })
}

/// The address of a part of the list of all, if it is the interface's and means something beyond it.
fn address(body: &[u8], index: u32) -> Option<IpAddr> {
    const UNIVERSE: u8 = 0;
    if word(body, 4)? != index || *body.get(3)? != UNIVERSE {
        return None;
    }
    let (mut address, mut local) = (None, None);
    for (kind, value) in attributes(body.get(ADDRESS..)?) {
        match kind {
            IFA_ADDRESS => address = ip(value),
            // Of a link between two, where the other one is the other end's.
            IFA_LOCAL => local = ip(value),
            _ => {}
        }
    }
    local.or(address)
}

/// What a route says.
#[derive(Debug, PartialEq, Eq)]
struct Route {
    interface: u32,
    gateway: Option<IpAddr>,
    source: Option<IpAddr>,
}

fn route(kind: u16, body: &[u8]) -> Option<Route> {
    if kind != RTM_NEWROUTE || *body.get(7)? != RTN_UNICAST {
        return None;
    }
    let mut found = Route {
        interface: 0,
        gateway: None,
        source: None,
    };
    for (kind, value) in attributes(body.get(ROUTE..)?) {
        match kind {
            RTA_OIF => found.interface = word(value, 0)?,
            RTA_GATEWAY => found.gateway = Some(ip(value)?),
            // A family in two bytes, and an address of it: that of an IPv4 route over IPv6.
            RTA_VIA => found.gateway = Some(ip(value.get(2..)?)?),
            RTA_PREFSRC => found.source = ip(value),
            _ => {}
        }
    }
    Some(found)
}

fn resolved(body: &[u8], source: IpAddr) -> Answer {
    let state = half(body, 8).unwrap_or(0);
    let mac = attributes(body.get(NEIGHBOUR..).unwrap_or_default())
        .find(|(kind, _)| *kind == NDA_LLADDR)
        .and_then(|(_, value)| value.try_into().ok());
    match mac.map(|mac| Hop { mac, source }) {
        Some(hop) if state & NUD_GOOD != 0 => Answer::Resolved(hop),
        Some(hop) if state & NUD_STALE != 0 => Answer::Doubtful(hop),
        _ => Answer::Unresolved,
    }
}

/// The attributes of a message, up to the first that is cut off.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(half(bytes, 0)?);
        // The two high bits say how a value is encoded.
        let kind = half(bytes, 2)? & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
        Some((kind, value))
    })
}

fn append(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(((value.len() + 4) as u16).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let value = bytes.get(at..at + 2)?;
    Some(u16::from_ne_bytes(value.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let value = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(value.try_into().ok()?))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(octets).into());
    }
    let octets = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Ipv6Addr::from(octets).into())
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}
