//! Frames out of the kernel: a program of XDP is run on them and sends them out of a device, as
//! frames that a card has received and that no packet was made for yet (Linux 5.18).

use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use aya::programs::{ProgramError, TestRun, TestRunAttrs, TestRunOptions, Xdp};
use aya::{EbpfLoader, include_bytes_aligned};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType, socket};
use serde_json::json;

use crate::packet::{Kind, Packet};
use crate::{Arguments, MOST};

/// What the receiver takes at once (NAPI's weight).
const BATCH: u32 = 64;

/// Frames between two looks at the clock: a tenth of a second. Each time the kernel sets up pages for
/// them and waits until they are back, idle.
const SLICE: u32 = 2048 * BATCH;

/// Locally administered (IEEE 802), and nobody's.
const FROM: [u8; 6] = [0x02, 0, 0, 0, 0, 0xfe];
const IPV6: [u8; 2] = [0x86, 0xdd];

/// Sends until one of the limits is reached.
pub(crate) fn send(arguments: &Arguments, device: &str, to: [u8; 6]) -> Result<serde_json::Value> {
    let any = socket(AddressFamily::INET6, SocketType::DGRAM, None)?;
    let index = name_to_index(&any, device).with_context(|| format!("no device {device} here"))?;
    let bytes = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/frames.bpf.o"));
    let mut ebpf = EbpfLoader::new()
        .override_global("device", &index, true)
        .load(bytes)?;
    let program: &mut Xdp = ebpf.program_mut("send").context("send")?.try_into()?;
    program.load()?;
    let kinds = arguments.kind.kinds();
    let frames: Vec<Vec<u8>> = kinds
        .iter()
        .map(|kind| frame(arguments, *kind, to))
        .collect();
    let (began, limit) = (Instant::now(), arguments.packets.min(MOST));
    let mut sent = 0_u64;
    for frame in frames.iter().cycle() {
        let left = limit - sent;
        if left == 0 || began.elapsed().as_secs_f64() >= arguments.seconds {
            break;
        }
        let repeat = u32::try_from(left).map_or(SLICE, |left| left.min(SLICE));
        let options = TestRunOptions {
            data_in: Some(frame),
            repeat,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::new()
        };
        program.test_run(options).map_err(refused)?;
        sent += u64::from(repeat);
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(json!({"sent": sent, "refused": 0, "seconds": seconds}))
}

/// What a kernel says that does not know the flag; anything else is as it is.
fn refused(error: ProgramError) -> anyhow::Error {
    match error {
        ProgramError::SyscallError(call)
            if call.io_error.kind() == std::io::ErrorKind::InvalidInput =>
        {
            anyhow!("the kernel runs no program of XDP on live frames (Linux 5.18 does)")
        }
        other => other.into(),
    }
}

fn frame(arguments: &Arguments, kind: Kind, to: [u8; 6]) -> Vec<u8> {
    let mut packet = Packet::new(arguments.target, kind, arguments.size, 1);
    [&to[..], &FROM, &IPV6, packet.blank()].concat()
}

/// Six numbers of two digits, as ip-link(8) takes them.
pub(crate) fn ethernet(text: &str) -> Result<[u8; 6]> {
    let bytes: Vec<u8> = text
        .split(':')
        .map(|part| u8::from_str_radix(part, 16))
        .collect::<Result<_, _>>()
        .with_context(|| format!("{text} is no Ethernet address"))?;
    let Ok(bytes) = bytes.try_into() else {
        bail!("{text} is no Ethernet address: it has six numbers");
    };
    Ok(bytes)
}
