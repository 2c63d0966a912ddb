//! Connections that are relayed as they are: out of the mesh, or to this pod.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use mio::{Interest, Token};
use stoq_core::table::Reason;
use stoq_wire::code::StreamCode;

use super::inbound::CONNECT_TIMEOUT;
use super::observe::Outcome;
use super::outbound::Outgoing;
use super::{Client, FLOWS, Flow, FlowInfo, Worker};
use crate::relay::pipe::Pipe;
use crate::socket::tcp;

impl Worker {
    /// Connects plaintext to where it was going.
    pub(super) fn connect_plain(
        &mut self,
        client: Client,
        destination: SocketAddr,
        info: FlowInfo,
        now: Instant,
    ) {
        if self.refuses_ipv4(destination) {
            self.refuse(client.tcp, destination, Reason::Ipv4Refused);
            return;
        }
        if self
            .listeners
            .iter()
            .any(|listener| listener.address == destination)
        {
            self.refuse(client.tcp, destination, Reason::Loop);
            return;
        }
        let mut server = match tcp::connect(destination) {
            Ok(server) => server,
            Err(error) => return self.not_connected(client, destination, &info, &error, now),
        };
        let Client {
            tcp: mut client,
            said,
            trial,
        } = client;
        let entry = self.flows.vacant_key();
        let both = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        let registered = registry
            .register(&mut client, Token(FLOWS + entry * 2), both)
            .and_then(|()| registry.register(&mut server, Token(FLOWS + entry * 2 + 1), both));
        let pipe = Pipe::new(client, server, said);
        let key = self.insert_flow(Flow::Pipe(Box::new(pipe)), Some(info));
        debug_assert_eq!(key, entry);
        self.flows[key].trial = trial;
        self.set_deadline(key, now + CONNECT_TIMEOUT);
        self.count_opened(key);
        if let Err(error) = registered {
            let code = StreamCode::Cancelled;
            self.end_flow(key, code, Outcome::Application(error), now);
        }
    }

    /// A destination cannot even be dialled: another endpoint may be, if it was one.
    fn not_connected(
        &mut self,
        client: Client,
        destination: SocketAddr,
        info: &FlowInfo,
        error: &io::Error,
        now: Instant,
    ) {
        let Client { tcp, said, trial } = client;
        let client = match trial {
            Some(trial) => match self.plain_failed(Outgoing::again(tcp, said, info, trial), now) {
                Ok(()) => return,
                Err(tcp) => tcp,
            },
            None => tcp,
        };
        self.counters().refused(Reason::ConnectFailed);
        self.turn_away(client, destination, format_args!("{error}"));
    }
}
