//! Objects that are signed, from who sent them and from who holds them; and what a peer may try with
//! keys and signatures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use stoq_core::authorise::Trust;
use stoq_core::clock::{Clock, SystemClock};
use stoq_core::spiffe::SpiffeId;
use stoq_core::tls::TlsContext;
use stoq_frames::sha256;
use stoq_frames::shard::manifest;
use stoq_io::{
    ApiEvent, Engine, LocalPort, ObjectError, ObjectTarget, ReceivedObject, StreamToken,
};
use stoq_wire::code::StreamCode;
use stoq_wire::extension::{SHARDS, SIGNATURES};
use stoq_wire::frame::Frame;
use stoq_wire::frame::key::Key;
use stoq_wire::frame::shard::{Shard, ShardBody, TransferId};
use stoq_wire::frame::signature::{Signature, Subject};
use stoq_wire::parameters::StoqParameters;

use crate::asker::Asker;
use crate::mesh::{Authority, PATIENCE, eventually, id, start, table};

const EACH: u64 = 64 * 1024;

fn offer(extensions: u64) -> StoqParameters {
    StoqParameters {
        extensions,
        max_shard: EACH,
        ..StoqParameters::default()
    }
}

/// An engine and its identity.
struct End {
    engine: Engine,
    tls: Arc<TlsContext>,
}

impl End {
    fn new(authority: &Authority, name: &str, extensions: u64) -> Self {
        let tls = authority.offering(name, offer(extensions));
        let settings = json!({"name": name, "workers": 2, "stoq": {"listen": "[::1]:0"}});
        let engine = start(settings, Arc::clone(&tls));
        engine.set_table(table("web-0", "fd00::1"));
        Self { engine, tls }
    }

    fn address(&self) -> SocketAddr {
        let port = self.engine.local_port(LocalPort::Stoq).unwrap();
        format!("[::1]:{port}").parse().unwrap()
    }

    /// What becomes of what was sent or asked for, or the next object.
    fn wait(&self, token: Option<StreamToken>) -> ApiEvent {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut events = self.engine.api().poll_events().into_iter();
            let found = events.find(|event| match event {
                ApiEvent::Object(found) => token.is_none_or(|token| token == *found),
                ApiEvent::ObjectSent(found) | ApiEvent::Failed { token: found, .. } => {
                    token == Some(*found)
                }
                _ => false,
            });
            match found {
                Some(event) => return event,
                None => assert!(Instant::now() < until, "no such event"),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn received(&self) -> ReceivedObject {
        match self.wait(None) {
            ApiEvent::Object(token) => self.engine.objects().fetch(token).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.engine.shutdown();
    }
}

/// Who signs and sends an object, who holds it, and who asks for it.
struct Three {
    authority: Authority,
    web: End,
    db: End,
    late: End,
}

impl Three {
    fn start() -> Self {
        let authority = Authority::new();
        let begin = |name| End::new(&authority, name, SHARDS | SIGNATURES);
        let (web, db, late) = (begin("web"), begin("db"), begin("late"));
        db.engine.objects().accept(true);
        db.engine.objects().hold(16 << 20, Vec::new());
        Self {
            authority,
            web,
            db,
            late,
        }
    }

    fn send(&self, object: &[u8], sign: bool, lanes: u8) -> ApiEvent {
        let target = ObjectTarget {
            remote: self.db.address(),
            expect: Some(id("db")),
            shard_size: EACH,
            lanes,
            sign,
            shadows: Vec::new(),
        };
        let object = Bytes::copy_from_slice(object);
        let token = self.web.engine.objects().send(object, target).unwrap();
        self.web.wait(Some(token))
    }

    /// The object's transfer, once the holder has it.
    fn held(&self, object: &[u8], sign: bool) -> TransferId {
        let sent = self.send(object, sign, 2);
        assert!(matches!(sent, ApiEvent::ObjectSent(_)), "{sent:?}");
        let found = self.db.received();
        assert_eq!(found.signer, sign.then(|| id("web")));
        found.transfer
    }

    fn ask(&self, transfer: TransferId, signer: SpiffeId) -> Result<ReceivedObject, String> {
        let objects = self.late.engine.objects();
        let asked = objects.ask(transfer, self.db.address(), Some(id("db")), Some(signer));
        match self.late.wait(Some(asked.unwrap())) {
            ApiEvent::Object(token) => Ok(objects.fetch(token).unwrap()),
            ApiEvent::Failed { reason, .. } => Err(reason.to_string()),
            other => panic!("{other:?}"),
        }
    }

    /// Has everybody but the signer learn that its certificate is revoked.
    fn revoke(&self) {
        let mut trust: Trust = self.authority.trust();
        trust.revoke_identity(id("web"), SystemClock.now() + 60);
        self.late.tls.set_trust(trust);
    }
}

fn code(failed: &ApiEvent) -> Option<StreamCode> {
    match failed {
        ApiEvent::Failed { code, .. } => *code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_gets_an_object_of_its_holder_knows_who_made_it() {
    let three = Three::start();
    let sent: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
    let transfer = three.held(&sent, true);
    let found = three.ask(transfer, id("web")).unwrap();
    assert!(found.data.concat() == sent);
    assert_eq!((found.sender, found.signer), (id("db"), Some(id("web"))));
    let counted = |end: &End| end.engine.snapshot().counters;
    assert_eq!(counted(&three.web).signatures_made, 1);
    // One on each lane that came before the object was whole.
    let verified = counted(&three.db).signatures_verified;
    assert!((1..=2).contains(&verified));
    let lanes = three.db.engine.connections().into_iter();
    let each = lanes.filter_map(|lane| lane.signatures.map(|known| known.verified));
    let shown: Vec<_> = each.filter(|count| *count > 0).collect();
    assert_eq!(shown, vec![1; verified as usize]);
    assert_eq!(counted(&three.late).signatures_verified, 1);
    let connections = three.late.engine.connections();
    let known = connections[0].signatures.as_ref().unwrap();
    assert_eq!((known.verified, known.refused), (1, 0));
    assert_eq!(known.signer.as_deref(), Some(id("web").as_str()));
    let made = three.web.tls.sign_frame(Subject::Manifest, [0; 32], 0);
    let key = made.unwrap().1.key_id;
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(known.key_id.as_deref(), Some(&hex[..]));
}

#[test]
fn a_holder_that_has_no_signature_of_the_right_one_is_refused() {
    let three = Three::start();
    let unsigned = three.held(b"unsigned", false);
    let failed = three.ask(unsigned, id("web")).unwrap_err();
    assert!(failed.contains("not signed by whom"), "{failed}");
    let signed = three.held(b"signed", true);
    let failed = three.ask(signed, id("db")).unwrap_err();
    assert!(failed.contains("not signed by whom"), "{failed}");
    assert!(three.ask(signed, id("web")).is_ok());
}

#[test]
fn who_takes_what_one_identity_signed_refuses_the_rest() {
    let three = Three::start();
    let objects = three.db.engine.objects();
    objects.require_signer(Some(id("web")));
    let refused = three.send(b"unsigned", false, 1);
    assert_eq!(code(&refused), Some(StreamCode::BadSignature));
    assert!(matches!(
        three.send(b"signed", true, 1),
        ApiEvent::ObjectSent(_)
    ));
    assert_eq!(three.db.received().signer, Some(id("web")));
    objects.require_signer(Some(id("author")));
    let refused = three.send(b"of another", true, 1);
    assert_eq!(code(&refused), Some(StreamCode::BadSignature));
    assert_eq!(three.db.engine.snapshot().gauges.connections, 1);
}

#[test]
fn what_a_revoked_identity_signed_is_no_longer_signed() {
    let three = Three::start();
    let transfer = three.held(b"data", true);
    three.revoke();
    let failed = three.ask(transfer, id("web")).unwrap_err();
    assert!(failed.contains("the signer's certificate"), "{failed}");
    assert_eq!(three.late.engine.snapshot().counters.signatures_refused, 1);
    three.late.tls.set_trust(three.authority.trust());
    assert!(three.ask(transfer, id("web")).is_ok());
}

#[test]
fn regression_a_holder_does_not_show_what_it_would_refuse_itself() {
    let three = Three::start();
    let transfer = three.held(b"data", true);
    let mut trust: Trust = three.authority.trust();
    trust.revoke_identity(id("web"), SystemClock.now() + 60);
    three.db.tls.set_trust(trust.clone());
    three.late.tls.set_trust(trust);
    // More often than anybody may have us verify in vain.
    for _ in 0..20 {
        let failed = three.ask(transfer, id("web")).unwrap_err();
        assert!(failed.contains("not signed by whom"), "{failed}");
    }
    let late = three.late.engine.snapshot();
    assert_eq!(late.counters.signatures_refused, 0);
    assert_eq!(late.gauges.connections, 1);
}

#[test]
fn a_peer_that_takes_no_signatures_is_named_and_gets_none() {
    let authority = Authority::new();
    let web = End::new(&authority, "web", SHARDS | SIGNATURES);
    let db = End::new(&authority, "db", SHARDS);
    db.engine.objects().accept(true);
    let send = |sign| {
        let target = ObjectTarget {
            remote: db.address(),
            expect: None,
            shard_size: EACH,
            lanes: 1,
            sign,
            shadows: Vec::new(),
        };
        let object = Bytes::from_static(b"data");
        web.wait(Some(web.engine.objects().send(object, target).unwrap()))
    };
    let ApiEvent::Failed { reason, .. } = send(true) else {
        panic!("an old peer took a signature")
    };
    assert!(reason.contains("takes no signatures"), "{reason}");
    assert!(matches!(send(false), ApiEvent::ObjectSent(_)));
    assert_eq!(web.engine.connections()[0].signatures, None);
}

#[test]
fn without_an_identity_nothing_is_signed() {
    let three = Three::start();
    three.web.tls.clear_identity();
    let target = ObjectTarget {
        remote: three.db.address(),
        expect: None,
        shard_size: EACH,
        lanes: 1,
        sign: true,
        shadows: Vec::new(),
    };
    let sent = three.web.engine.objects().send(&b"data"[..], target);
    assert_eq!(sent, Err(ObjectError::NoIdentity));
}

/// A peer that says what it likes, to an engine that takes objects.
struct Scene {
    authority: Authority,
    tls: Arc<TlsContext>,
    db: End,
    peer: Asker,
}

impl Scene {
    fn new() -> Self {
        let authority = Authority::new();
        let db = End::new(&authority, "db", SHARDS | SIGNATURES);
        db.engine.objects().accept(true);
        let tls = authority.offering("web", offer(SHARDS | SIGNATURES));
        let peer = Asker::connect(&tls, db.address());
        Self {
            authority,
            tls,
            db,
            peer,
        }
    }

    fn refused(&mut self, frames: &[Frame]) -> Option<StreamCode> {
        let stream = self.peer.say(frames);
        self.peer.code_of(stream)
    }

    /// The peer's objects go on as if nothing had been.
    fn still_works(&mut self) {
        self.peer.say(&[object(200)]);
        assert_eq!(self.db.received().transfer, TransferId([200; 16]));
    }
}

/// An empty object.
fn object(number: u8) -> Frame {
    let transfer = TransferId([number; 16]);
    let body = ShardBody::Manifest(manifest(b"", 10).unwrap());
    Frame::Shard(Shard { transfer, body })
}

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes).unwrap();
    bytes
}

fn certificate(tls: &TlsContext) -> Frame {
    let leaf = tls.sign_frame(Subject::Manifest, [0; 32], 0).unwrap().0;
    Frame::Key(Key::Certificate { leaf })
}

/// Signs a frame for ten minutes.
fn signed(tls: &TlsContext, subject: Subject, frame: &Frame) -> Signature {
    let digest = sha256(&encoded(frame));
    tls.sign_frame(subject, digest, 600).unwrap().1
}

#[test]
fn a_signature_that_is_not_acceptable_resets_its_stream_and_no_more() {
    let mut scene = Scene::new();
    let other = scene.authority.offering("other", offer(0));
    let own = Arc::clone(&scene.tls);
    let digest = sha256(&encoded(&object(1)));
    let by = |tls: &TlsContext, digest, life| {
        Frame::Signature(tls.sign_frame(Subject::Manifest, digest, life).unwrap().1)
    };
    let mut forged = signed(&own, Subject::Manifest, &object(1));
    forged.signature[700] ^= 1;
    let cases: [Vec<Frame>; 7] = [
        vec![by(&other, digest, 600)],
        vec![Frame::Signature(forged)],
        vec![by(&own, digest, 0)],
        vec![by(&own, digest, 8 * 24 * 3600)],
        vec![certificate(&other), by(&own, digest, 600)],
        vec![Frame::Key(Key::Certificate {
            leaf: vec![0x30; 100],
        })],
        // Over another manifest: refused where that comes, and not verified in vain.
        vec![by(&own, [9; 32], 600), object(1)],
    ];
    for case in &cases {
        assert_eq!(scene.refused(case), Some(StreamCode::BadSignature));
    }
    assert_eq!(scene.db.engine.snapshot().counters.signatures_refused, 7);
    scene.still_works();
}

#[test]
fn who_has_us_verify_in_vain_too_often_is_closed_and_nobody_else() {
    let mut scene = Scene::new();
    let tls = scene.authority.offering("late", offer(SHARDS | SIGNATURES));
    let mut other = Asker::connect(&tls, scene.db.address());
    let mut forged = signed(&scene.tls, Subject::Manifest, &object(1));
    forged.signature[700] ^= 1;
    for _ in 0..8 {
        let frame = Frame::Signature(forged.clone());
        assert_eq!(scene.refused(&[frame]), Some(StreamCode::BadSignature));
    }
    scene.peer.say(&[Frame::Signature(forged)]);
    scene
        .peer
        .until("the connection is closed", |peer| peer.lost.is_some());
    let lost = scene.peer.lost.clone().unwrap();
    assert!(lost.contains("too many signatures"), "{lost}");
    let proof = Frame::Signature(signed(&tls, Subject::Manifest, &object(3)));
    other.say(&[proof, object(3)]);
    assert_eq!(scene.db.received().signer, Some(id("late")));
}

#[test]
fn a_key_is_rotated_to_by_the_old_one_and_taken_back_by_any() {
    let mut scene = Scene::new();
    let tls = Arc::clone(&scene.tls);
    // Its certificate says this key; the peer's connection knows the one before.
    let newer = scene.authority.offering("web", offer(0));
    let certified = |tls: &TlsContext| {
        let leaf = tls.sign_frame(Subject::Manifest, [0; 32], 0).unwrap().0;
        tls.vouched(&leaf).unwrap()
    };
    let old = certified(&tls).peer.falcon_key_id.0;
    let key = certified(&newer).falcon.as_bytes().to_vec();
    let by_newer = |number| {
        let frame = object(number);
        Frame::Signature(signed(&newer, Subject::Manifest, &frame))
    };
    let unknown = scene.refused(&[by_newer(1), object(1)]);
    assert_eq!(unknown, Some(StreamCode::BadSignature));
    let rotate = Frame::Key(Key::Rotate { old, key });
    let bare = scene.refused(std::slice::from_ref(&rotate));
    assert_eq!(bare, Some(StreamCode::BadSignature));
    let by_old = Frame::Signature(signed(&tls, Subject::Key, &rotate));
    scene.peer.say(&[by_old, rotate, by_newer(2), object(2)]);
    assert_eq!(scene.db.received().signer, Some(id("web")));
    let revoke = Frame::Key(Key::Revoke { old });
    let by_old = signed(&tls, Subject::Key, &revoke);
    scene
        .peer
        .say(&[Frame::Signature(by_old), revoke, by_newer(3), object(3)]);
    assert_eq!(scene.db.received().transfer, TransferId([3; 16]));
    let late = Frame::Signature(signed(&tls, Subject::Manifest, &object(4)));
    let revoked = scene.refused(&[late, object(4)]);
    assert_eq!(revoked, Some(StreamCode::BadSignature));
    scene.still_works();
}

#[test]
fn keys_where_signatures_are_not_in_use_close_the_connection() {
    let scene = Scene::new();
    let tls = scene.authority.offering("old", offer(SHARDS));
    let mut peer = Asker::connect(&tls, scene.db.address());
    peer.say(&[certificate(&tls)]);
    peer.until("the connection is closed", |peer| peer.lost.is_some());
    eventually("it is counted", || {
        scene.db.engine.snapshot().connections_closed["protocol"] == 1
    });
}
