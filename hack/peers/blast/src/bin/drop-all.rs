//! Holds a program that drops every frame in the driver of a device until its standard input ends:
//! what a blast of frames costs by itself.

use std::io::{Read, stdin};

use anyhow::{Context, Result};
use aya::programs::Xdp;
use aya::programs::xdp::XdpMode;
use aya::{Ebpf, include_bytes_aligned};
use clap::Parser;
use serde_json::json;

/// Drops what a device receives.
#[derive(Parser)]
struct Arguments {
    /// The device, in this network namespace.
    device: String,
}

fn main() -> Result<()> {
    let device = Arguments::parse().device;
    let bytes = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/frames.bpf.o"));
    let mut ebpf = Ebpf::load(bytes)?;
    let program: &mut Xdp = ebpf
        .program_mut("drop_all")
        .context("drop_all")?
        .try_into()?;
    program.load()?;
    program
        .attach(&device, XdpMode::Driver)
        .with_context(|| format!("{device} takes no program in its driver"))?;
    println!("{}", json!({"attached": true}));
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
