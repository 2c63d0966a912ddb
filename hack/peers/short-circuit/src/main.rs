//! Holds the short circuit on a cgroup until its standard input ends; then says what it did.

use std::fs::File;
use std::io::{Read, stdin};
use std::path::PathBuf;

use anyhow::{Context, Result};
use aya::maps::{Array, SockHash};
use aya::programs::{CgroupAttachMode, SkMsg, SockOps};
use aya::{Ebpf, include_bytes_aligned};
use clap::Parser;
use serde_json::json;

/// Bytes of the program's `struct end_key`.
type EndKey = [u8; 32];

/// Redirects what is written on connections to one port, in a cgroup.
#[derive(Parser)]
struct Arguments {
    /// A folder of the cgroup v2 tree.
    cgroup: PathBuf,
    /// The port that the far ends listen on.
    port: u32,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let cgroup = File::open(&arguments.cgroup)
        .with_context(|| format!("no cgroup {}", arguments.cgroup.display()))?;
    let bytes = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/short_circuit.bpf.o"));
    let mut ebpf = Ebpf::load(bytes)?;
    let mut port: Array<_, u32> = ebpf.map_mut("port").context("map port")?.try_into()?;
    port.set(0, arguments.port, 0)?;
    let ends: SockHash<_, EndKey> = ebpf.map("ends").context("map ends")?.try_into()?;
    let ends = ends.fd().try_clone()?;
    let hand_over: &mut SkMsg = ebpf
        .program_mut("hand_over")
        .context("hand_over")?
        .try_into()?;
    hand_over.load()?;
    hand_over.attach(&ends)?;
    let collect: &mut SockOps = ebpf.program_mut("collect").context("collect")?.try_into()?;
    collect.load()?;
    collect.attach(cgroup, CgroupAttachMode::Single)?;
    println!("{}", json!({"attached": true}));
    stdin().read_to_end(&mut Vec::new())?;
    let redirected: Array<_, u64> = ebpf
        .map("redirected")
        .context("map redirected")?
        .try_into()?;
    println!("{}", json!({"redirected": redirected.get(&0, 0)?}));
    Ok(())
}
