//! A path between two interfaces: a pair of TAP devices whose frames come out of the other one as
//! late, as seldom and as often as a schedule says.
//!
//! Whoever starts it has made the devices, each in its network namespace, and hands over the near
//! one as standard input and the far one as standard output. `hack/netlab` does.

mod link;
mod schedule;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use link::Link;
use schedule::Schedule;

/// A TAP device gives one frame per read: an MTU of 65,535 and an Ethernet header.
const FRAME: usize = 65_550;

/// Frames taken from one side before the other has its turn.
const TURN: usize = 64;

/// How often it looks whether the schedule may begin, and how often the counters are written.
const LOOK: Duration = Duration::from_millis(2);
const TELL: Duration = Duration::from_millis(500);

/// Carries frames between two TAP devices, its standard input and its standard output.
#[derive(Parser)]
struct Arguments {
    /// The schedule, JSON.
    schedule: PathBuf,
    /// The first step holds until this file exists; then the schedule begins.
    #[arg(long)]
    hold: Option<PathBuf>,
    /// Where to write what became of the frames, JSON, twice a second.
    #[arg(long)]
    counters: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let file = File::open(&arguments.schedule)
        .with_context(|| format!("{}", arguments.schedule.display()))?;
    let schedule: Schedule = serde_json::from_reader(file)
        .with_context(|| format!("{}", arguments.schedule.display()))?;
    ensure!(!schedule.steps.is_empty(), "the schedule has no steps");
    // Timers of the kernel are 50 us late by default, as long as a frame takes at 240 Mbit/s.
    rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1)).context("timer slack")?;
    let (near, far) = (io::stdin(), io::stdout());
    Route::new(&schedule).run([near.as_fd(), far.as_fd()], &arguments)
}

/// Both directions, and where in the schedule they are.
struct Route<'a> {
    schedule: &'a Schedule,
    links: [Link; 2],
    step: usize,
    /// When the schedule began; none: not yet.
    began: Option<Duration>,
    changes: Option<Duration>,
    /// Where frames are read into.
    buffer: Vec<u8>,
}

impl<'a> Route<'a> {
    fn new(schedule: &'a Schedule) -> Self {
        let first = &schedule.steps[0];
        Self {
            schedule,
            links: [
                Link::new(schedule.seed, first.up),
                Link::new(!schedule.seed, first.down),
            ],
            step: 0,
            began: None,
            changes: None,
            buffer: vec![0; FRAME],
        }
    }

    fn run(mut self, ends: [BorrowedFd<'_>; 2], arguments: &Arguments) -> Result<()> {
        for end in ends {
            rustix::io::ioctl_fionbio(end, true).context("a TAP device is needed")?;
        }
        let start = Instant::now();
        let mut told = Duration::ZERO;
        loop {
            let now = start.elapsed();
            self.follow(now, arguments.hold.as_deref());
            let mut moved = false;
            for (number, end) in ends.into_iter().enumerate() {
                moved |= self.receive(number, end, now)?;
            }
            for number in 0..ends.len() {
                self.deliver(number, ends[1 - number], start.elapsed())?;
            }
            if let Some(file) = &arguments.counters
                && now >= told + TELL
            {
                told = now;
                self.tell(file)?;
            }
            if !moved {
                self.wait(ends, start.elapsed(), arguments.counters.is_some())?;
            }
        }
    }

    /// Puts the step in force that is due.
    fn follow(&mut self, now: Duration, hold: Option<&Path>) {
        if self.began.is_none() {
            if hold.is_some_and(|file| !file.exists()) {
                return;
            }
            self.began = Some(now);
            self.changes = Some(now);
        }
        let Some(began) = self.began else { return };
        if self.changes.is_none_or(|due| now < due) {
            return;
        }
        let (step, next) = self.schedule.at(now - began);
        self.changes = next.map(|next| began + next);
        if step != self.step {
            self.step = step;
            let Some(holds) = self.schedule.steps.get(step) else {
                return;
            };
            self.links[0].set(holds.up, now);
            self.links[1].set(holds.down, now);
        }
    }

    /// Takes frames in; whether there were any.
    fn receive(&mut self, number: usize, end: BorrowedFd<'_>, now: Duration) -> Result<bool> {
        for turn in 0..TURN {
            match rustix::io::read(end, self.buffer.as_mut_slice()) {
                Ok(length) => self.links[number].offer(now, self.buffer[..length].to_vec()),
                Err(Errno::AGAIN | Errno::INTR) => return Ok(turn > 0),
                // The interface is down.
                Err(Errno::IO) => return Ok(false),
                Err(error) => return Err(error).context("reading from a TAP device"),
            }
        }
        Ok(true)
    }

    fn deliver(&mut self, number: usize, end: BorrowedFd<'_>, now: Duration) -> Result<()> {
        while let Some(frame) = self.links[number].take(now) {
            match rustix::io::write(end, &frame) {
                // A frame that the other side's kernel does not take is lost, as on any interface.
                Ok(_) | Err(Errno::AGAIN | Errno::INTR | Errno::IO | Errno::NOBUFS) => {}
                Err(error) => return Err(error).context("writing to a TAP device"),
            }
        }
        Ok(())
    }

    fn wait(&self, ends: [BorrowedFd<'_>; 2], now: Duration, tells: bool) -> Result<()> {
        let hold = self.began.is_none().then_some(now + LOOK);
        let tell = tells.then_some(now + TELL);
        let due = [
            self.links[0].next(),
            self.links[1].next(),
            self.changes,
            hold,
            tell,
        ];
        let timeout = due.into_iter().flatten().min().map(|due| {
            let left = due.saturating_sub(now);
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        let mut polled = ends.map(|end| PollFd::from_borrowed_fd(end, PollFlags::IN));
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("waiting for frames"),
        }
    }

    /// Writes the counters: whole or not at all.
    fn tell(&self, file: &Path) -> Result<()> {
        let [up, down] = [&self.links[0], &self.links[1]].map(Link::counters);
        let told = serde_json::json!({ "step": self.step, "up": up, "down": down });
        let fresh = file.with_extension("new");
        std::fs::write(&fresh, told.to_string())
            .and_then(|()| std::fs::rename(&fresh, file))
            .with_context(|| format!("{}", file.display()))
    }
}
