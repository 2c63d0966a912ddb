//! Datagrams there and back: an echo server, requests on a schedule, and as many as are answered.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::poller::Poller;
use crate::recorder::Recorder;
use crate::schedule::{Clock, Schedule};

/// The longest datagram, bytes.
const LONGEST: usize = 65_535;

/// What a datagram begins with: the number of its request.
const NUMBER: usize = size_of::<u64>();

/// The number of what is sent until there is a first answer; no request has it.
const FIRST: u64 = u64::MAX;

/// How long the first answer may take: a path may have to be made for it.
const SETUP: Duration = Duration::from_secs(10);

/// How long to wait for the last answers.
const GRACE: Duration = Duration::from_secs(3);

/// Without any answer for so long the datagrams under way are lost, and as many are sent anew.
const STALLED: Duration = Duration::from_millis(100);

/// Sends each datagram back until it is killed.
pub(crate) fn echo(listen: SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind(listen).with_context(|| format!("cannot bind {listen}"))?;
    let mut buffer = vec![0; LONGEST];
    loop {
        match socket.recv_from(&mut buffer) {
            // An answer that does not fit into a buffer is lost, as on any path.
            Ok((length, client)) => drop(socket.send_to(&buffer[..length], client)),
            // Of an earlier answer: its client is gone.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends the schedule's datagrams of `size` bytes; each has its own answer.
pub(crate) fn on_schedule(target: SocketAddr, schedule: Schedule, size: usize) -> Result<Recorder> {
    let mut path = Path::open(target, size)?;
    let mut recorder = Recorder::new(schedule)?;
    let mut clock = Clock::new(schedule, Instant::now());
    let mut waiting = Waiting::default();
    let mut end = None;
    loop {
        let now = Instant::now();
        while let Some((index, due)) = clock.take(now) {
            waiting.sent(index, due);
            if let Err(error) = path.send(index) {
                recorder.failed(&error);
            }
        }
        let deadline = clock
            .next_due()
            .unwrap_or_else(|| *end.get_or_insert(now + GRACE));
        if end.is_some_and(|end| end <= now || waiting.open == 0) {
            break;
        }
        path.wait(deadline)?;
        while let Some(index) = path.receive()? {
            if let Some(due) = waiting.answered(index) {
                recorder.answered(index, due, Instant::now());
            }
        }
    }
    recorder.lost(waiting.open);
    Ok(recorder)
}

/// Keeps `window` datagrams of `size` bytes under way for as long, and says how many were answered.
pub(crate) fn as_many(
    target: SocketAddr,
    window: u64,
    size: usize,
    seconds: Duration,
) -> Result<Value> {
    let mut path = Path::open(target, size)?;
    let mut flight = Flight::new(window);
    let started = Instant::now();
    let mut heard = started;
    while heard < started + seconds {
        while let Some(index) = flight.next() {
            // What the kernel does not take is lost, as what a path loses.
            let _ = path.send(index);
        }
        path.wait(heard + STALLED)?;
        let mut silent = true;
        while let Some(index) = path.receive()? {
            flight.answered(index);
            silent = false;
        }
        if silent && heard.elapsed() < STALLED {
            continue;
        }
        if silent {
            flight.lose_all();
        }
        heard = Instant::now();
    }
    let elapsed = (heard - started).as_secs_f64();
    Ok(json!({
        "answered": flight.answered,
        "lost": flight.lost,
        "answered_per_second": flight.answered as f64 / elapsed.max(f64::MIN_POSITIVE),
    }))
}

/// Datagrams that are under way, never more than a window of them.
struct Flight {
    window: u64,
    next: u64,
    /// Those from `first` on: whether each still waits for its answer.
    open: VecDeque<bool>,
    first: u64,
    waiting: u64,
    answered: u64,
    lost: u64,
}

impl Flight {
    fn new(window: u64) -> Self {
        Self {
            window,
            next: 0,
            open: VecDeque::new(),
            first: 0,
            waiting: 0,
            answered: 0,
            lost: 0,
        }
    }

    /// The number of another datagram, if there is room for it.
    fn next(&mut self) -> Option<u64> {
        if self.waiting == self.window {
            return None;
        }
        self.open.push_back(true);
        self.waiting += 1;
        self.next += 1;
        Some(self.next - 1)
    }

    /// Counts an answer once. What was sent a window or more before that datagram is lost: paths
    /// here change the order of a few at most.
    fn answered(&mut self, index: u64) {
        let at = index.checked_sub(self.first).map(|at| at as usize);
        let Some(open) = at.and_then(|at| self.open.get_mut(at)) else {
            return;
        };
        if std::mem::take(open) {
            self.answered += 1;
            self.waiting -= 1;
        }
        while self.first + self.window <= index {
            self.lose_first();
        }
    }

    fn lose_first(&mut self) {
        if let Some(open) = self.open.pop_front() {
            self.first += 1;
            self.lost += u64::from(open);
            self.waiting -= u64::from(open);
        }
    }

    fn lose_all(&mut self) {
        while !self.open.is_empty() {
            self.lose_first();
        }
    }
}

/// Requests that wait for their answers, which may come in any order.
#[derive(Default)]
struct Waiting {
    /// By index less `first`; none when it was answered.
    due: VecDeque<Option<Instant>>,
    first: u64,
    open: usize,
}

impl Waiting {
    /// Indices are given out one after the other.
    fn sent(&mut self, index: u64, due: Instant) {
        if self.due.is_empty() {
            self.first = index;
        }
        self.due.push_back(Some(due));
        self.open += 1;
    }

    /// When the request was due that is answered now; none for a second answer.
    fn answered(&mut self, index: u64) -> Option<Instant> {
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        let due = self.due.get_mut(at)?.take()?;
        self.open -= 1;
        while let Some(None) = self.due.front() {
            self.due.pop_front();
            self.first += 1;
        }
        Some(due)
    }
}

/// A socket towards the echo server.
struct Path {
    socket: UdpSocket,
    poller: Poller,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Path {
    /// One that has been answered: what is measured is a path that is up.
    fn open(target: SocketAddr, size: usize) -> Result<Self> {
        ensure!(
            (NUMBER..=LONGEST).contains(&size),
            "{size} bytes: a datagram here has {NUMBER} to {LONGEST}"
        );
        let any = match target {
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(target)?;
        socket.set_nonblocking(true)?;
        let poller = Poller::new()?;
        poller.add(&socket, 0)?;
        let mut path = Self {
            socket,
            poller,
            request: vec![0; size],
            answer: vec![0; LONGEST],
        };
        let deadline = Instant::now() + SETUP;
        loop {
            let now = Instant::now();
            ensure!(now < deadline, "no answer from {target} in {SETUP:?}");
            let _ = path.send(FIRST);
            path.wait(now + STALLED)?;
            if path.receive()?.is_some() {
                return Ok(path);
            }
        }
    }

    fn send(&mut self, index: u64) -> io::Result<()> {
        self.request[..NUMBER].copy_from_slice(&index.to_le_bytes());
        self.socket.send(&self.request).map(drop)
    }

    /// Returns when there may be an answer, at `deadline`, or earlier.
    fn wait(&mut self, deadline: Instant) -> io::Result<()> {
        self.poller.wait(Some(deadline)).map(drop)
    }

    /// The number of the next answer; none when there is none now.
    fn receive(&mut self) -> io::Result<Option<u64>> {
        loop {
            match self.socket.recv(&mut self.answer) {
                Ok(length) => {
                    let number = self.answer[..length].first_chunk();
                    return Ok(number.map(|number| u64::from_le_bytes(*number)));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                // An ICMP error of an earlier datagram; the socket goes on.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echoing() -> SocketAddr {
        let probe = UdpSocket::bind("[::1]:0").unwrap();
        let address = probe.local_addr().unwrap();
        drop(probe);
        std::thread::spawn(move || echo(address));
        address
    }

    #[test]
    fn answers_may_come_in_any_order_and_count_once() {
        let due = Instant::now();
        let mut waiting = Waiting::default();
        (0..3).for_each(|index| waiting.sent(index, due));
        assert_eq!(waiting.answered(1), Some(due));
        assert_eq!(waiting.answered(1), None);
        assert_eq!(waiting.answered(FIRST), None);
        assert_eq!((waiting.open, waiting.first), (2, 0));
        assert_eq!(waiting.answered(0), Some(due));
        assert_eq!((waiting.open, waiting.first), (1, 2));
        assert_eq!(waiting.answered(0), None);
    }

    #[test]
    fn there_is_never_more_than_a_window_under_way() {
        let mut flight = Flight::new(2);
        assert_eq!((flight.next(), flight.next()), (Some(0), Some(1)));
        assert_eq!(flight.next(), None);
        flight.answered(1);
        flight.answered(1);
        assert_eq!((flight.next(), flight.next()), (Some(2), None));
        assert_eq!((flight.answered, flight.lost), (1, 0));
    }

    #[test]
    fn what_later_ones_have_overtaken_by_a_window_is_lost_and_makes_room() {
        let mut flight = Flight::new(2);
        assert_eq!((flight.next(), flight.next()), (Some(0), Some(1)));
        flight.answered(1);
        assert_eq!(flight.next(), Some(2));
        flight.answered(2);
        assert_eq!((flight.answered, flight.lost, flight.waiting), (2, 1, 0));
        flight.answered(0);
        assert_eq!(flight.answered, 2, "it is too late");
    }

    #[test]
    fn without_any_answer_all_are_lost() {
        let mut flight = Flight::new(3);
        while flight.next().is_some() {}
        flight.lose_all();
        flight.answered(2);
        assert_eq!((flight.answered, flight.lost, flight.waiting), (0, 3, 0));
        assert_eq!(flight.next(), Some(3));
    }

    #[test]
    fn datagrams_are_answered_on_schedule_and_as_many_as_there_is_room_for() {
        let target = echoing();
        let schedule = Schedule::new(200.0, Duration::ZERO, Duration::from_millis(200));
        let recorded = on_schedule(target, schedule, 100).unwrap().to_json();
        assert_eq!(recorded["answered"], 40);
        let counted = as_many(target, 8, 64, Duration::from_millis(200)).unwrap();
        assert!(counted["answered"].as_u64().unwrap() > 8, "{counted}");
    }

    #[test]
    fn a_datagram_has_room_for_its_number() {
        let refused = as_many(echoing(), 1, 4, Duration::ZERO).unwrap_err();
        assert!(refused.to_string().contains("4 bytes"), "{refused}");
    }
}
