//! Load for the request/response and memory scenarios of hack/bench.
//!
//! - `latency`: open-loop requests at a fixed rate. Each request is due at a fixed time and its
//!   latency counts from there, whenever it could really be sent, so that a stall of the path is
//!   charged to every request it delays (no coordinated omission).
//! - `echo`: the server both of them talk to.
//! - `udp-latency`, `udp-echo`: the same with datagrams, each of which has its own answer.
//! - `udp`: keeps a number of datagrams under way, and counts the answers.
//! - `idle`: opens many connections, proves each with one byte, and holds them.
//! - `stall`: opens many connections, fills them without reading, and holds them.

mod echo;
mod exchange;
mod idle;
mod new_connections;
mod persistent;
mod poller;
mod recorder;
mod schedule;
mod stall;
mod udp;

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::schedule::Schedule;

/// Load generator and echo server.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sends back every byte it receives.
    Echo {
        /// Where to listen.
        listen: SocketAddr,
    },
    /// Sends requests at a fixed rate and prints their latencies as one JSON object.
    Latency {
        /// The echo server, or the proxy in front of it.
        target: SocketAddr,
        #[command(flatten)]
        timing: Timing,
        /// Connections the requests are spread over in turn.
        #[arg(long, default_value_t = 16)]
        connections: usize,
        /// Bytes of a request and of its answer.
        #[arg(long, default_value_t = 1024)]
        size: usize,
        /// A new TCP connection for each request; `--connections` is then not used.
        #[arg(long)]
        new_connections: bool,
    },
    /// Opens connections, prints one JSON object when all are up, and holds them until its
    /// standard input ends.
    Idle {
        /// The echo server, or the proxy in front of it.
        target: SocketAddr,
        /// How many connections.
        #[arg(long, default_value_t = 1000)]
        connections: usize,
        /// Connections opened at the same time.
        #[arg(long, default_value_t = 64)]
        parallel: usize,
    },
    /// Opens connections, sends on each without reading until the path takes no more, prints one
    /// JSON object, and holds them until its standard input ends.
    Stall {
        /// The echo server, or the proxy in front of it.
        target: SocketAddr,
        /// How many connections.
        #[arg(long, default_value_t = 100)]
        connections: usize,
    },
    /// Sends back every datagram.
    UdpEcho {
        /// Where to listen.
        listen: SocketAddr,
    },
    /// Sends datagrams at a fixed rate and prints their latencies as one JSON object.
    UdpLatency {
        /// The echo server.
        target: SocketAddr,
        #[command(flatten)]
        timing: Timing,
        /// Bytes of a datagram and of its answer.
        #[arg(long, default_value_t = 100)]
        size: usize,
    },
    /// Keeps datagrams under way and prints how many were answered as one JSON object.
    Udp {
        /// The echo server.
        target: SocketAddr,
        /// How many are under way.
        #[arg(long, default_value_t = 64)]
        window: u64,
        /// Bytes of a datagram and of its answer.
        #[arg(long, default_value_t = 100)]
        size: usize,
        /// How long, seconds.
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
    },
}

/// When requests are sent that are sent at a fixed rate.
#[derive(Args)]
struct Timing {
    /// Requests or datagrams per second, over all connections.
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
    /// How long to measure, seconds.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// How long to send before that without recording, seconds.
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
}

impl Timing {
    /// What is due when, for a thread whose timers are exact from here on.
    fn schedule(&self) -> Result<Schedule> {
        exact_timers()?;
        Ok(Schedule::new(
            self.rate,
            Duration::from_secs_f64(self.warmup),
            Duration::from_secs_f64(self.seconds),
        ))
    }
}

fn main() -> Result<()> {
    allow_many_descriptors()?;
    match Arguments::parse().command {
        Command::Echo { listen } => echo::serve(listen),
        Command::Latency {
            target,
            timing,
            connections,
            size,
            new_connections,
        } => {
            let schedule = timing.schedule()?;
            let recorder = if new_connections {
                new_connections::run(target, schedule, size)?
            } else {
                persistent::run(target, schedule, connections, size)?
            };
            println!("{}", recorder.to_json());
            Ok(())
        }
        Command::Idle {
            target,
            connections,
            parallel,
        } => idle::run(target, connections, parallel),
        Command::Stall {
            target,
            connections,
        } => stall::run(target, connections),
        Command::UdpEcho { listen } => udp::echo(listen),
        Command::UdpLatency {
            target,
            timing,
            size,
        } => {
            let schedule = timing.schedule()?;
            println!("{}", udp::on_schedule(target, schedule, size)?.to_json());
            Ok(())
        }
        Command::Udp {
            target,
            window,
            size,
            seconds,
        } => {
            let seconds = Duration::from_secs_f64(seconds);
            println!("{}", udp::as_many(target, window, size, seconds)?);
            Ok(())
        }
    }
}

/// The kernel may delay a sleeper by its timer slack, 50 µs by default: as much as what is
/// measured here.
fn exact_timers() -> Result<()> {
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).context("cannot set timer slack")
}

fn allow_many_descriptors() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )
    .context("cannot raise the limit of open files")
}
