//! What the programs are told on their command lines.

use std::future::Future;

use anyhow::Result;
use clap::Args;

use crate::Identity;

/// The files that make an [`Identity`].
#[derive(Args, Clone, Debug)]
pub struct Files {
    /// Certificate, PEM.
    #[arg(long)]
    pub certificate: String,
    /// Private key, PEM.
    #[arg(long)]
    pub key: String,
    /// Root that both sides trust, PEM.
    #[arg(long)]
    pub root: String,
}

impl Files {
    /// Reads the three files.
    pub fn identity(&self) -> Result<Identity> {
        Identity::from_files(&self.certificate, &self.key, &self.root)
    }
}

/// What a peer on tokio needs, whichever side it plays.
#[derive(Args, Clone, Debug)]
pub struct Peer {
    /// The interface's MTU in bytes.
    #[arg(long, default_value_t = 1500)]
    pub mtu: u16,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    pub workers: usize,
    /// Its identity.
    #[command(flatten)]
    pub files: Files,
}

impl Peer {
    /// Runs `program` on a runtime with that many threads.
    pub fn run(&self, program: impl Future<Output = Result<()>>) -> Result<()> {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.workers)
            .enable_all()
            .build()?
            .block_on(program)
    }
}
