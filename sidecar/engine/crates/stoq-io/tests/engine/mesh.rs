//! A mesh of two workloads, each with an engine.

use std::fmt::Debug;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand_core::OsRng;
use serde_json::{Value, json};
use stoq_core::authorise::Trust;
use stoq_core::cert::{CertificateAuthority, Csr, Validity, csr, random_serial};
use stoq_core::clock::{Clock, SystemClock};
use stoq_core::key::HybridKey;
use stoq_core::profile::CryptoProfile;
use stoq_core::spiffe::{SpiffeId, TrustDomain};
use stoq_core::table::Table;
use stoq_core::tls::{TlsContext, TlsSettings};
use stoq_io::{Engine, EngineSettings};
use stoq_wire::parameters::StoqParameters;

use crate::net::{DB, Link, OUTSIDE, VIP, WEB};
use crate::past_stack;

/// The port that clients dial on the virtual address.
pub(crate) const SERVICE: u16 = 5000;

/// The port that the server's application listens on.
pub(crate) const APPLICATION: u16 = 7000;

/// Nothing on one machine takes longer, unless it hangs: only what fails waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Authority {
    ca: CertificateAuthority,
}

pub(crate) fn id(service_account: &str) -> SpiffeId {
    SpiffeId::new(&domain(), "shop", service_account).unwrap()
}

fn domain() -> TrustDomain {
    TrustDomain::parse("mesh.test").unwrap()
}

fn validity(life: Duration) -> Validity {
    let now = SystemClock.now();
    Validity {
        not_before: now - 60,
        not_after: now + life.as_secs(),
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let serial = random_serial(&mut OsRng);
        let long = validity(Duration::from_secs(24 * 3600));
        let ca = CertificateAuthority::create(
            &domain(),
            CryptoProfile::Hybrid1024,
            long,
            &serial,
            &mut OsRng,
        );
        Self { ca: ca.unwrap() }
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::new(domain(), vec![self.ca.root().clone()])
    }

    /// A context with a certificate of this life, and its serial number.
    pub(crate) fn issue(&self, account: &str, life: Duration) -> (Arc<TlsContext>, Vec<u8>) {
        let settings = TlsSettings {
            accept_other_degree: true,
            ..TlsSettings::default()
        };
        let tls = TlsContext::new(settings, Arc::new(SystemClock));
        tls.set_trust(self.trust());
        let serial = self.certify(&tls, account, life);
        (tls, serial)
    }

    /// Gives a context a new certificate.
    pub(crate) fn renew(&self, tls: &TlsContext, account: &str) {
        self.certify(tls, account, Duration::from_secs(3600));
    }

    /// Gives a context a certificate of this life, and returns its serial number.
    pub(crate) fn certify(&self, tls: &TlsContext, account: &str, life: Duration) -> Vec<u8> {
        let key = HybridKey::generate(tls.profile(), &mut OsRng);
        let csr = Csr::parse_and_verify(&csr::build(&key, &mut OsRng)).unwrap();
        let serial = random_serial(&mut OsRng).to_vec();
        let leaf = self
            .ca
            .issue(&csr, &id(account), validity(life), &serial, &mut OsRng);
        tls.set_identity(key, leaf.unwrap()).unwrap();
        serial
    }

    /// A context that offers its peers so much.
    pub(crate) fn offering(&self, account: &str, parameters: StoqParameters) -> Arc<TlsContext> {
        let settings = TlsSettings {
            parameters,
            ..TlsSettings::default()
        };
        let tls = TlsContext::new(settings, Arc::new(SystemClock));
        tls.set_trust(self.trust());
        self.certify(&tls, account, Duration::from_secs(3600));
        tls
    }

    pub(crate) fn workload(&self, account: &str) -> Arc<TlsContext> {
        self.issue(account, Duration::from_secs(3600)).0
    }
}

/// Which of the workloads.
#[derive(Debug, Clone, Copy)]
enum Side {
    Client,
    Server,
}

/// Both engines and what made them.
pub(crate) struct Mesh {
    pub(crate) authority: Authority,
    pub(crate) web: Engine,
    pub(crate) db: Engine,
    pub(crate) web_tls: Arc<TlsContext>,
    pub(crate) db_serial: Vec<u8>,
}

impl Mesh {
    pub(crate) fn start() -> Self {
        Self::with(json!({}), json!({}))
    }

    /// With settings on top of the usual ones, for the client's and the server's engine.
    pub(crate) fn with(web: Value, db: Value) -> Self {
        let authority = Authority::new();
        let (db_tls, db_serial) = authority.issue("db", Duration::from_secs(3600));
        let mut mesh = Self::of(authority, db_tls, web, db);
        mesh.db_serial = db_serial;
        mesh
    }

    /// With a server's identity of one's own.
    pub(crate) fn of(authority: Authority, db_tls: Arc<TlsContext>, web: Value, db: Value) -> Self {
        let web_tls = authority.workload("web");
        let start = |_: Side, settings, tls| start(settings, tls);
        Self::started(authority, [web_tls, db_tls], web, db, start)
    }

    /// With engines that offer each other so much.
    pub(crate) fn offering(web: StoqParameters, db: StoqParameters) -> Self {
        Self::offering_with([web, db], json!({}), json!({}))
    }

    /// The same, with settings on top of the usual ones.
    pub(crate) fn offering_with([a, b]: [StoqParameters; 2], web: Value, db: Value) -> Self {
        let authority = Authority::new();
        let tls = [authority.offering("web", a), authority.offering("db", b)];
        let start = |_: Side, settings, tls| start(settings, tls);
        Self::started(authority, tls, web, db, start)
    }

    /// The workloads on both sides of a link.
    pub(crate) fn across(link: &Link, settings: &Value) -> Self {
        Self::between(link, settings.clone(), settings.clone())
    }

    /// The same, with settings of its own for each.
    pub(crate) fn between(link: &Link, web: Value, db: Value) -> Self {
        let authority = Authority::new();
        let tls = [authority.workload("web"), authority.workload("db")];
        let begin = |side, settings, tls| match side {
            Side::Client => link.client(|| start(settings, tls)),
            Side::Server => link.server(|| start(settings, tls)),
        };
        Self::started(authority, tls, web, db, begin)
    }

    fn started(
        authority: Authority,
        [web_tls, db_tls]: [Arc<TlsContext>; 2],
        web: Value,
        db: Value,
        start: impl Fn(Side, Value, Arc<TlsContext>) -> Engine,
    ) -> Self {
        let web_settings = json!({
            "name": "web-0", "namespace": "shop", "workers": 1,
            "stoq": {"listen": format!("[{WEB}]:14008")},
            "outbound": {"listen": format!("[{VIP}]:{SERVICE}")},
        });
        let db_settings = json!({
            "name": "db-0", "namespace": "shop", "workers": 1,
            "stoq": {"listen": format!("[{DB}]:14008")},
            "inbound": {"listen": format!("[{DB}]:14006")},
        });
        let web = merged(web_settings, web);
        let web = start(Side::Client, web, Arc::clone(&web_tls));
        let db = start(Side::Server, merged(db_settings, db), db_tls);
        web.set_table(table("web-0", WEB));
        db.set_table(table("db-0", DB));
        Self {
            authority,
            web,
            db,
            web_tls,
            db_serial: Vec::new(),
        }
    }

    /// Connects to the service, as an application does.
    pub(crate) fn dial(&self) -> TcpStream {
        dial()
    }
}

/// Connects to the service, as an application does.
pub(crate) fn dial() -> TcpStream {
    let address: SocketAddr = format!("[{VIP}]:{SERVICE}").parse().unwrap();
    let mut dialled = None;
    eventually("the service can be dialled", || {
        dialled = match TcpStream::connect(address) {
            // Under load the kernel has been seen without the route again after it was there.
            Err(error) if error.kind() == ErrorKind::NetworkUnreachable => None,
            other => Some(other),
        };
        dialled.is_some()
    });
    let stream = dialled.unwrap().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

impl Drop for Mesh {
    fn drop(&mut self) {
        past_stack::tell(&[&self.web, &self.db]);
        self.web.shutdown();
        self.db.shutdown();
    }
}

pub(crate) fn start(settings: Value, tls: Arc<TlsContext>) -> Engine {
    let settings = past_stack::with_link(settings);
    let settings = EngineSettings::from_json(&settings.to_string()).unwrap();
    Engine::start(settings, tls).unwrap()
}

/// The routing table of one of the workloads.
pub(crate) fn table(own: &str, address: &str) -> Arc<Table> {
    table_with(own, address, json!({}))
}

/// As [`table`], with fields on top.
pub(crate) fn table_with(own: &str, address: &str, more: Value) -> Arc<Table> {
    let workload = |name: &str, account: &str, address: &str| {
        json!({
            "uid": name, "name": name, "namespace": "shop",
            "spiffe_id": id(account).as_str(), "addresses": [address], "port": 14008,
        })
    };
    let document = json!({
        "version": 1,
        "own": {"name": own, "namespace": "shop", "addresses": [address]},
        "inbound": "permissive", "outbound": "allow",
        "workloads": [workload("web-0", "web", WEB), workload("db-0", "db", DB)],
        "services": [{
            "name": "db", "namespace": "shop", "vips": [VIP],
            "ports": [{"port": SERVICE, "target": APPLICATION}],
            "endpoints": [{"address": DB, "weight": 1}],
        }],
        "exempt_sources": [format!("{OUTSIDE}/128")],
    });
    Arc::new(Table::from_json(&merged(document, more).to_string()).unwrap())
}

pub(crate) fn merged(mut base: Value, more: Value) -> Value {
    let Value::Object(more) = more else {
        panic!("settings are objects")
    };
    for (key, value) in more {
        base[key] = value;
    }
    base
}

/// The server's application.
pub(crate) fn application() -> TcpListener {
    TcpListener::bind(format!("[{DB}]:{APPLICATION}")).unwrap()
}

/// Accepts one connection, with patience.
pub(crate) fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, condition: impl FnMut() -> bool) {
    within(PATIENCE, what, condition);
}

/// Waits until `found` gives this value; if it never does, tells the last one.
pub(crate) fn eventually_is<T: PartialEq + Debug>(what: &str, wanted: T, found: impl Fn() -> T) {
    let until = Instant::now() + PATIENCE;
    loop {
        let last = found();
        if last == wanted {
            return;
        }
        assert!(
            Instant::now() < until,
            "never: {what} {wanted:?}, but {last:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for no longer than this until `condition` holds.
pub(crate) fn within(patience: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + patience;
    while !condition() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
