//! A client that reaches a server over gateways only. All but the client have one address and ports of
//! their own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use stoq_core::table::Table;
use stoq_core::tls::TlsContext;
use stoq_io::{ApiEvent, Engine, LocalPort, ObjectTarget, ReceivedObject};
use stoq_wire::extension::{FORWARDED, HOPS, SHARDS, SIGNED_ROUTES};
use stoq_wire::parameters::StoqParameters;

use crate::mesh::{Authority, PATIENCE, id, merged, start};
use crate::net::{DB, WEB};
use crate::past_stack;
use crate::spy::Spy;

const SHARD: u64 = 64 * 1024;

/// The engines, and what gateways were told.
pub(crate) struct Routed {
    authority: Authority,
    pub(crate) web: Engine,
    pub(crate) db: Engine,
    gateways: BTreeMap<String, Engine>,
    identities: BTreeMap<String, Arc<TlsContext>>,
    tables: RefCell<BTreeMap<String, Value>>,
    /// Of the gateways, and what is offered.
    settings: Value,
    usual: StoqParameters,
    client_table: RefCell<Value>,
}

pub(crate) fn object(length: usize) -> Bytes {
    let byte = |n: usize| (n.wrapping_mul(7919) >> 5) as u8;
    (0..length).map(byte).collect()
}

fn port(engine: &Engine) -> u16 {
    engine.local_port(LocalPort::Stoq).unwrap()
}

/// What the engines offer, unless something else is said.
pub(crate) fn offered() -> StoqParameters {
    StoqParameters {
        extensions: HOPS | SHARDS | SIGNED_ROUTES,
        max_shard: SHARD,
        ..StoqParameters::default()
    }
}

/// The same, and packets beside tunnels.
pub(crate) fn forwarding() -> StoqParameters {
    StoqParameters {
        extensions: offered().extensions | FORWARDED,
        ..offered()
    }
}

fn begin(name: &str, tls: &Arc<TlsContext>, more: &Value) -> Engine {
    let address = if name == "web" { WEB } else { DB };
    let usual = json!({
        "name": name, "workers": 2, "stoq": {"listen": format!("[{address}]:0")}, "log_level": "debug",
    });
    start(merged(usual, more.clone()), Arc::clone(tls))
}

impl Routed {
    /// With these ways, each a list of gateways.
    pub(crate) fn over(ways: &[&[&str]]) -> Self {
        Self::with(ways, &json!({}), &json!({}))
    }

    /// The same, with settings on top of the usual ones: of client and server, and of gateways.
    pub(crate) fn with(ways: &[&[&str]], ends: &Value, gateway: &Value) -> Self {
        Self::made(ways, offered(), &[], ends, gateway)
    }

    /// Where packets go beside tunnels.
    pub(crate) fn forwarded(ways: &[&[&str]]) -> Self {
        Self::with_offers(ways, forwarding(), &[])
    }

    /// Where this is offered, and some gateways offer something else.
    pub(crate) fn with_offers(
        ways: &[&[&str]],
        usual: StoqParameters,
        offers: &[(&str, StoqParameters)],
    ) -> Self {
        Self::made(ways, usual, offers, &json!({}), &json!({}))
    }

    /// Where this is offered, with these settings for all.
    pub(crate) fn with_settings(ways: &[&[&str]], usual: StoqParameters, all: &Value) -> Self {
        Self::made(ways, usual, &[], all, all)
    }

    /// Where this is offered, with these settings for gateways.
    pub(crate) fn with_gateways(ways: &[&[&str]], usual: StoqParameters, gateway: &Value) -> Self {
        Self::made(ways, usual, &[], &json!({}), gateway)
    }

    fn made(
        ways: &[&[&str]],
        usual: StoqParameters,
        offers: &[(&str, StoqParameters)],
        ends: &Value,
        gateway: &Value,
    ) -> Self {
        let authority = Authority::new();
        let gateway = merged(json!({"gateway": {}}), gateway.clone());
        let (mut gateways, mut identities) = (BTreeMap::new(), BTreeMap::new());
        for name in ways.concat() {
            let other = offers.iter().find(|(of, _)| *of == name);
            let offer = other.map_or_else(|| usual.clone(), |(_, offer)| offer.clone());
            let tls = authority.offering(name, offer);
            gateways.insert(name.to_owned(), begin(name, &tls, &gateway));
            identities.insert(name.to_owned(), tls);
        }
        let [web, db] =
            ["web", "db"].map(|name| begin(name, &authority.offering(name, usual.clone()), ends));
        db.objects().accept(true);
        let addresses = gateways.iter().map(|(name, engine)| {
            json!({"spiffe_id": id(name).as_str(), "address": DB, "port": port(engine)})
        });
        let addresses: Vec<Value> = addresses.collect();
        let server = json!({
            "uid": "db-0", "name": "db-0", "namespace": "shop", "spiffe_id": id("db").as_str(),
            "addresses": [DB], "port": port(&db),
        });
        let base = json!({
            "version": 1, "inbound": "strict", "outbound": "meshOnly", "workloads": [server],
            "own": {"name": "web-0", "namespace": "shop", "addresses": [WEB]},
            "gateways": addresses,
        });
        let mut client_table = base.clone();
        let ids = |way: &&[&str]| {
            way.iter()
                .map(|name| id(name).to_string())
                .collect::<Vec<_>>()
        };
        client_table["workloads"][0]["via"] = json!(ways.iter().map(ids).collect::<Vec<_>>());
        let tables = gateways.keys().map(|name| (name.clone(), base.clone()));
        let routed = Self {
            tables: RefCell::new(tables.collect()),
            authority,
            web,
            db,
            gateways,
            identities,
            settings: gateway,
            usual,
            client_table: RefCell::new(client_table),
        };
        routed.web.set_table(read(&routed.client_table.borrow()));
        let own = json!({"own": {"name": "db-0", "namespace": "shop", "addresses": [DB]}});
        routed.db.set_table(read(&merged(base, own)));
        for name in routed.gateways.keys() {
            routed.allow_all(name);
        }
        routed
    }

    pub(crate) fn gateway(&self, name: &str) -> &Engine {
        &self.gateways[name]
    }

    /// Who has this name, with what engines offer.
    pub(crate) fn identity(&self, name: &str) -> Arc<TlsContext> {
        self.identity_offering(name, self.usual.clone())
    }

    /// Who has this name, with another offer.
    pub(crate) fn identity_offering(&self, name: &str, offer: StoqParameters) -> Arc<TlsContext> {
        self.authority.offering(name, offer)
    }

    /// Has the client find a gateway at another address.
    pub(crate) fn dial_at(&self, name: &str, address: SocketAddr) {
        let mut table = self.client_table.borrow_mut();
        let gateways = table["gateways"].as_array_mut().unwrap();
        for gateway in gateways
            .iter_mut()
            .filter(|one| one["spiffe_id"] == id(name).as_str())
        {
            gateway["address"] = json!(address.ip().to_string());
            gateway["port"] = json!(address.port());
        }
        self.web.set_table(read(&table));
    }

    /// Ends a gateway, and starts it again where it was.
    pub(crate) fn restart(&mut self, name: &str) {
        let listen = self.address(name).to_string();
        let settings = merged(self.settings.clone(), json!({"stoq": {"listen": listen}}));
        self.gateways[name].shutdown();
        let engine = begin(name, &self.identities[name], &settings);
        engine.set_table(read(&self.tables.borrow()[name]));
        self.gateways.insert(name.to_owned(), engine);
    }

    /// Has a gateway learn that every certificate of somebody is revoked.
    pub(crate) fn revoke_at(&self, gateway: &str, whom: &str) {
        let mut trust = self.authority.trust();
        trust.revoke_identity(id(whom), u64::MAX);
        self.identities[gateway].set_trust(trust);
        self.gateways[gateway].reauthorise();
    }

    /// Where a gateway listens.
    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        SocketAddr::new(DB.parse().unwrap(), port(&self.gateways[name]))
    }

    /// Where the server does.
    pub(crate) fn server_port(&self) -> u16 {
        port(&self.db)
    }

    /// A client at `own` with the first one's identity, and settings and table of its own.
    pub(crate) fn another_client(&self, own: &str, settings: &Value, table: &Value) -> Engine {
        let engine = begin("web", &self.identity("web"), settings);
        let own = json!({"own": {"name": "web-1", "namespace": "shop", "addresses": [own]}});
        let table = merged(
            merged(self.client_table.borrow().clone(), own),
            table.clone(),
        );
        engine.set_table(read(&table));
        engine
    }

    pub(crate) fn set_table(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut tables = self.tables.borrow_mut();
        let table = tables.get_mut(name).unwrap();
        edit(table);
        self.gateways[name].set_table(read(table));
    }

    pub(crate) fn set_rules(&self, name: &str, rules: &Value) {
        self.set_table(name, |table| table["forwards"] = rules.clone());
    }

    /// Lets everything pass.
    pub(crate) fn allow_all(&self, name: &str) {
        let rules = json!([{"from": "*", "to": "*"}, {"from": "*", "next": "*", "to": "*"}]);
        self.set_rules(name, &rules);
    }

    /// Sends an object to the server: what it received, or why it did not.
    pub(crate) fn send(&self, object: &Bytes) -> Result<ReceivedObject, String> {
        self.send_from(&self.web, object)
    }

    /// The same, where the server is known by the address of a spy before it.
    pub(crate) fn send_over(&self, spy: &Spy, object: &Bytes) -> Result<ReceivedObject, String> {
        let port = json!(spy.address().port());
        let mut table = self.client_table.borrow().clone();
        table["workloads"][0]["port"] = port.clone();
        self.web.set_table(read(&table));
        for name in self.gateways.keys() {
            self.set_table(name, |table| table["workloads"][0]["port"] = port.clone());
        }
        self.send_to(&self.web, spy.address(), object)
    }

    pub(crate) fn send_from(&self, web: &Engine, object: &Bytes) -> Result<ReceivedObject, String> {
        let remote = SocketAddr::new(DB.parse().unwrap(), port(&self.db));
        self.send_to(web, remote, object)
    }

    fn send_to(
        &self,
        web: &Engine,
        remote: SocketAddr,
        object: &Bytes,
    ) -> Result<ReceivedObject, String> {
        let target = ObjectTarget {
            remote,
            expect: Some(id("db")),
            shard_size: SHARD,
            lanes: 1,
            sign: false,
            shadows: Vec::new(),
        };
        let token = web.objects().send(object.clone(), target).unwrap();
        let until = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < until, "neither sent nor failed");
            for event in web.api().poll_events() {
                match event {
                    ApiEvent::ObjectSent(sent) if sent == token => return Ok(self.received()),
                    ApiEvent::Failed {
                        token: failed,
                        reason,
                        ..
                    } if failed == token => {
                        return Err(reason.to_string());
                    }
                    _ => {}
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn received(&self) -> ReceivedObject {
        for event in self.db.api().poll_events() {
            if let ApiEvent::Object(token) = event {
                return self.db.objects().fetch(token).unwrap();
            }
        }
        panic!("the server has said that it has it");
    }
}

impl Drop for Routed {
    fn drop(&mut self) {
        past_stack::tell(&[&self.web]);
        self.web.shutdown();
        self.db.shutdown();
        for gateway in self.gateways.values() {
            gateway.shutdown();
        }
    }
}

fn read(table: &Value) -> Arc<Table> {
    Arc::new(Table::from_json(&table.to_string()).unwrap())
}
