//! Sends packets that pretend to be STOQ from sources that do not exist, for the benchmark of the
//! guard: never more than it is told, and only to one address, which must be a local one (fc00::/7).

mod frames;
mod packet;

use std::net::{SocketAddrV6, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with,
};
use serde_json::json;

use packet::{Kind, Packet, SIZES};

/// Packets between two looks at the clock.
const BATCH: u64 = 32;

/// Never more than this, whatever the command line says.
const MOST: u64 = 50_000_000;

/// Blasts one STOQ port with spoofed datagrams and prints one JSON object.
#[derive(Parser)]
struct Arguments {
    /// Address and port, of a unique local network (fc00::/7).
    target: SocketAddrV6,
    /// What is sent; mixed: Initials and junk in turn.
    #[arg(long, value_enum, default_value_t = Sent::Mixed)]
    kind: Sent,
    /// Bytes of payload.
    #[arg(long, default_value_t = 1200)]
    size: usize,
    /// Packets a second; 0: as fast as it goes.
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// Ends after this time.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Ends after this many packets.
    #[arg(long, default_value_t = MOST)]
    packets: u64,
    /// An end of a veth by which the kernel itself sends, as a network card that receives hands over
    /// frames: nothing is made by a socket first. With --to; not with --rate.
    #[arg(long, requires = "to", conflicts_with = "rate")]
    device: Option<String>,
    /// The Ethernet address of the other end.
    #[arg(long, value_parser = frames::ethernet)]
    to: Option<[u8; 6]>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Sent {
    Initial,
    Junk,
    Mixed,
}

impl Sent {
    fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Initial => &[Kind::Initial],
            Self::Junk => &[Kind::Junk],
            Self::Mixed => &[Kind::Initial, Kind::Junk],
        }
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let target = arguments.target;
    ensure!(
        target.ip().is_unique_local(),
        "{target} is not of a unique local network (fc00::/7): nothing else is blasted"
    );
    ensure!(
        SIZES.contains(&arguments.size),
        "--size {}: {} to {} bytes",
        arguments.size,
        SIZES.start(),
        SIZES.end()
    );
    ensure!(
        (0.0..=600.0).contains(&arguments.seconds),
        "--seconds {}: 0 to 600",
        arguments.seconds
    );
    let sent = match (&arguments.device, arguments.to) {
        (Some(device), Some(to)) => frames::send(&arguments, device, to)?,
        _ => send(&arguments)?,
    };
    println!("{sent}");
    Ok(())
}

fn send(arguments: &Arguments) -> Result<serde_json::Value> {
    let (family, kind) = (AddressFamily::INET6, SocketType::RAW);
    // Of this protocol the kernel takes IPv6's header as it is given (ipv6(7)).
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, Some(ipproto::RAW))
        .context("cannot open a raw socket: CAP_NET_RAW is needed")?;
    // The kernel wants no port there.
    let to = SocketAddrV6::new(*arguments.target.ip(), 0, 0, 0);
    announce(arguments.target)?;
    let seed = u64::from(std::process::id()) << 32 | 0x9e37_79b9;
    let make = |kind: &Kind| Packet::new(arguments.target, *kind, arguments.size, seed);
    let mut packets: Vec<Packet> = arguments.kind.kinds().iter().map(make).collect();
    let (began, limit) = (Instant::now(), arguments.packets.min(MOST));
    let (mut sent, mut refused) = (0_u64, 0_u64);
    while sent + refused < limit && began.elapsed().as_secs_f64() < arguments.seconds {
        for number in 0..BATCH.min(limit - sent - refused) {
            let packet = &mut packets[number as usize % arguments.kind.kinds().len()];
            match sendto(&socket, packet.next(), SendFlags::empty(), &to) {
                Ok(_) => sent += 1,
                // Queues are full: it is lost, as it would be on a wire.
                Err(rustix::io::Errno::NOBUFS) => refused += 1,
                Err(error) => return Err(error).context(format!("sending to {to}")),
            }
        }
        if arguments.rate > 0 {
            let due = Duration::from_secs_f64((sent + refused) as f64 / arguments.rate as f64);
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(json!({"sent": sent, "refused": refused, "seconds": seconds}))
}

/// Has the kernel find the neighbour first, or it would keep only the last few packets meanwhile.
fn announce(target: SocketAddrV6) -> Result<()> {
    let socket = UdpSocket::bind("[::]:0")?;
    // Port 9 (discard): nothing answers, and nothing needs to.
    socket.send_to(&[], SocketAddrV6::new(*target.ip(), 9, 0, 0))?;
    std::thread::sleep(Duration::from_millis(100));
    Ok(())
}
