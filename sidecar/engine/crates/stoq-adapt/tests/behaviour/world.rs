//! Flows over one bottleneck, and the clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::EcnCodepoint;
use stoq_adapt::{Adapter, Congestion, Looks, Pacer, Parameters, Policy};

pub(crate) use crate::flow::App;
use crate::flow::Flow;
use crate::side::{Factory, MTU, SEND_WINDOW, Side, WIDE, ours};
use crate::wire::{Bottleneck, Fate, Path};

/// Interval at which goodput is noted.
const TICK: Duration = Duration::from_millis(10);

/// Bytes that a greedy application keeps written ahead of the network.
static AHEAD: [u8; 65536] = [0x42; 65536];

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Tick,
    ToServer(usize, Vec<u8>, bool),
    ToClient(usize, Vec<u8>),
    Client(usize),
    Server(usize),
}

pub(crate) struct World {
    begun: Instant,
    pub(crate) now: Instant,
    pub(crate) wire: Bottleneck,
    pub(crate) flows: Vec<Flow>,
    queue: BinaryHeap<Reverse<(Instant, u64, What)>>,
    serial: u64,
    seed: u64,
    outgoing: Vec<u8>,
    /// What timers are rounded up to, counted from the beginning.
    pub(crate) grain: Duration,
    /// The same for everything that happens at an end: a machine too busy to look more often.
    pub(crate) slice: Duration,
    /// Sends per turn of an end, as the engine has them; the rest goes with the next slice.
    pub(crate) sends: usize,
    /// Bytes that flows added from now on may have unread.
    pub(crate) stream_window: u32,
}

impl World {
    pub(crate) fn new(path: Path) -> Self {
        let begun = Instant::now();
        let mut world = Self {
            begun,
            now: begun,
            wire: Bottleneck::new(path, begun, 0x5eed),
            flows: Vec::new(),
            queue: BinaryHeap::new(),
            serial: 0,
            seed: 7,
            outgoing: Vec::new(),
            grain: Duration::from_nanos(1),
            slice: Duration::from_nanos(1),
            sends: usize::MAX,
            stream_window: WIDE,
        };
        world.push(begun + TICK, What::Tick);
        world
    }

    /// A world with one greedy flow that has run for some seconds.
    pub(crate) fn alone(path: Path, congestion: Congestion, seconds: f64) -> Self {
        let mut world = Self::new(path);
        world.add(congestion, App::Greedy);
        world.run(seconds);
        world
    }

    pub(crate) fn add(&mut self, congestion: Congestion, app: App) -> usize {
        self.add_with(ours(congestion, self.seed + 2), app)
    }

    /// The same with controllers that `factory` makes, which have to be ours inside.
    pub(crate) fn add_with(&mut self, factory: Factory, app: App) -> usize {
        self.seed += 2;
        let ticks = (self.now - self.begun).as_millis() / TICK.as_millis();
        let window = self.stream_window;
        let mut client = Side::client(factory, self.now, self.seed);
        self.flows.push(Flow {
            path: client.path(),
            client,
            server: Side::server(self.seed, window),
            app,
            pacer: Pacer::default(),
            adapter: None,
            looks: Looks::new(self.now),
            changes: Vec::new(),
            received: vec![0; ticks as usize + 1],
        });
        let index = self.flows.len() - 1;
        self.push(self.now, What::Client(index));
        index
    }

    /// Lets a flow's adapter decide and apply.
    pub(crate) fn adapt(&mut self, flow: usize, policy: Policy) {
        let adapter = Adapter::new(policy, self.now);
        let path = &self.flows[flow].path;
        let first = Parameters {
            congestion: path.congestion(),
            receive_window: SEND_WINDOW,
            send_window: SEND_WINDOW,
            gso_segments: 10,
        };
        adapter.begin(path, first);
        self.flows[flow].adapter = Some(adapter);
    }

    /// Seconds since the beginning.
    pub(crate) fn elapsed(&self) -> f64 {
        (self.now - self.begun).as_secs_f64()
    }

    pub(crate) fn set_rate(&mut self, mbit: f64) {
        let path = Path {
            mbit,
            ..self.wire.path
        };
        self.set_path(path);
    }

    pub(crate) fn set_path(&mut self, path: Path) {
        self.wire.set_path(self.now, path);
    }

    /// Lets so many seconds pass.
    pub(crate) fn run(&mut self, seconds: f64) {
        let until = self.now + Duration::from_secs_f64(seconds);
        while let Some(Reverse((at, _, _))) = self.queue.peek()
            && *at <= until
        {
            let Some(Reverse((at, _, what))) = self.queue.pop() else {
                break;
            };
            self.now = self.now.max(at);
            self.happen(what);
        }
        self.now = until;
    }

    /// Mbit/s that a flow's receiver got between two moments, in seconds.
    pub(crate) fn goodput(&self, flow: usize, from: f64, to: f64) -> f64 {
        let at = |seconds: f64| {
            let tick = (seconds / TICK.as_secs_f64()).round() as usize;
            let received = &self.flows[flow].received;
            received[tick.min(received.len() - 1)] as f64
        };
        (at(to) - at(from)) * 8e-6 / (to - from)
    }

    fn push(&mut self, at: Instant, what: What) {
        let at = match what {
            What::Tick => at,
            _ => round_up(at, self.begun, self.slice),
        };
        self.serial += 1;
        self.queue.push(Reverse((at, self.serial, what)));
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Tick => self.tick(),
            What::ToServer(flow, data, marked) => {
                let ecn = if marked {
                    EcnCodepoint::Ce
                } else {
                    EcnCodepoint::Ect0
                };
                let server = &mut self.flows[flow].server;
                server.handle(self.now, BytesMut::from(&data[..]), Some(ecn));
                self.drive_server(flow);
            }
            What::ToClient(flow, data) => {
                let client = &mut self.flows[flow].client;
                let ecn = Some(EcnCodepoint::Ect0);
                client.handle(self.now, BytesMut::from(&data[..]), ecn);
                self.drive_client(flow);
            }
            What::Client(flow) => {
                self.flows[flow].client.expire(self.now);
                self.drive_client(flow);
            }
            What::Server(flow) => {
                self.flows[flow].server.expire(self.now);
                self.drive_server(flow);
            }
        }
    }

    fn tick(&mut self) {
        for flow in 0..self.flows.len() {
            let Flow { app, client, .. } = &mut self.flows[flow];
            match *app {
                App::Steady(bytes) if client.connected => {
                    client.write(&AHEAD[..bytes]);
                    self.drive_client(flow);
                }
                App::Datagrams(count) if client.connected => {
                    client.send_datagrams(count);
                    self.drive_client(flow);
                }
                _ => {}
            }
            let flow = &mut self.flows[flow];
            flow.received.push(flow.server.received);
        }
        self.push(self.now + TICK, What::Tick);
    }

    fn drive_client(&mut self, index: usize) {
        let mut outgoing = std::mem::take(&mut self.outgoing);
        let flow = &mut self.flows[index];
        flow.client.settle();
        flow.look(self.now, self.begun);
        let path = &flow.path;
        let (mut sent, mut sends) = (Vec::new(), 0);
        let paced = loop {
            if sends == self.sends {
                break Some(self.now + self.slice);
            }
            sends += 1;
            if matches!(flow.app, App::Greedy) && flow.client.connected {
                while flow.client.write(&AHEAD) > 0 {}
            }
            if let Some(at) = flow.pacer.wait(self.now) {
                break Some(at);
            }
            outgoing.clear();
            let segments = (path.send_quantum() / u64::from(MTU)).clamp(1, 10) as usize;
            let quic = flow.client.quic().expect("a connection");
            let Some(transmit) = quic.poll_transmit(self.now, segments, &mut outgoing) else {
                break None;
            };
            let size = transmit.size;
            flow.pacer
                .on_sent(self.now, size as u64, path.pacing_rate());
            for data in outgoing[..size].chunks(transmit.segment_size.unwrap_or(size)) {
                if let Fate::Arrives { at, marked } = self.wire.enter(self.now, data.len()) {
                    sent.push((at, What::ToServer(index, data.to_vec(), marked)));
                }
            }
        };
        let client = &mut flow.client;
        let timer = client.quic().and_then(|quic| quic.poll_timeout());
        let next = [timer, paced].into_iter().flatten().min();
        let next = next.map(|at| round_up(at, self.begun, self.grain));
        let armed = client.arm(next, self.now);
        for (at, what) in sent {
            self.push(at, what);
        }
        if let Some(at) = armed {
            self.push(at, What::Client(index));
        }
        self.outgoing = outgoing;
    }

    fn drive_server(&mut self, index: usize) {
        let mut outgoing = std::mem::take(&mut self.outgoing);
        let server = &mut self.flows[index].server;
        server.settle();
        let mut sent = Vec::new();
        let mut next = None;
        if let Some(quic) = server.quic() {
            outgoing.clear();
            while let Some(transmit) = quic.poll_transmit(self.now, 1, &mut outgoing) {
                sent.push(outgoing[..transmit.size].to_vec());
                outgoing.clear();
            }
            next = quic.poll_timeout();
        }
        let armed = server.arm(next, self.now);
        for data in sent {
            let back = self.wire.back(self.now);
            self.push(back, What::ToClient(index, data));
        }
        if let Some(at) = armed {
            self.push(at, What::Server(index));
        }
        self.outgoing = outgoing;
    }
}

/// The next multiple of `step` since `begun`.
fn round_up(at: Instant, begun: Instant, step: Duration) -> Instant {
    let step = step.as_nanos();
    let elapsed = (at - begun).as_nanos().div_ceil(step) * step;
    begun + Duration::from_nanos(elapsed as u64)
}
