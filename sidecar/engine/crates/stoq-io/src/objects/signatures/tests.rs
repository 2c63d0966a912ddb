use serde_json::Value;
use stoq_core::authorise::Trust;
use stoq_core::cert::RootCertificate;
use stoq_core::clock::Clock;
use stoq_core::spiffe::TrustDomain;
use stoq_core::tls::TlsSettings;

use super::*;

#[path = "../../../../../testing/vectors.rs"]
mod vectors;

use vectors::{bytes, cases, vectors};

/// Stands still.
#[derive(Debug)]
struct At(u64);

impl Clock for At {
    fn now(&self) -> u64 {
        self.0
    }
}

fn receiver(document: &Value) -> Arc<TlsContext> {
    let now = document["now"].as_u64().unwrap();
    let roots = document["roots"].as_array().unwrap().iter();
    let roots = roots.map(|root| RootCertificate::parse(&bytes(root)).unwrap());
    let mut trust = Trust::new(TrustDomain::parse("mesh.test").unwrap(), roots.collect());
    trust.revoke(&bytes(&document["revoked"]));
    let tls = TlsContext::new(TlsSettings::default(), Arc::new(At(now)));
    tls.set_trust(trust);
    tls
}

/// Who signed the manifest behind a case's frames.
fn signer(document: &Value, case: &Value) -> Result<String, NotSigned> {
    let (tls, signatures, now) = (receiver(document), Signatures::new(), Instant::now());
    let peer = tls.vouched(&bytes(&document["peer"])).unwrap().peer;
    let announced = Some(peer.falcon_key_id.0);
    let mut signer = Arc::new(peer.clone());
    let mut proof = None;
    for encoded in case["frames"].as_array().unwrap() {
        let (frame, _) = Frame::decode(&bytes(encoded)).unwrap().unwrap();
        match frame {
            Frame::Key(Key::Certificate { leaf }) => {
                signer = Arc::new(signatures.certificate(&tls, &peer, &leaf, false, now)?);
            }
            Frame::Key(key) => signatures.key(&tls, &peer, announced, &key, now)?,
            Frame::Signature(signature) => {
                signatures.signature(&tls, &peer, &signer, &signature, now)?;
                let signer = Arc::clone(&signer);
                proof = Some(Proof { signer, signature });
            }
            other => panic!("{other:?}"),
        }
    }
    let manifest = Frame::decode(&bytes(&document["manifest"])).unwrap();
    let Some((Frame::Shard(manifest), _)) = manifest else {
        panic!("{manifest:?}")
    };
    let proof = proof.filter(|proof| proof.covers(&manifest));
    let proof = proof.ok_or(SignatureRefusal::OtherContent)?;
    assert!(signatures.stands(&tls, &proof));
    Ok(proof.signer.spiffe.as_str().to_owned())
}

#[test]
fn a_manifest_is_signed_by_whom_its_signature_says() {
    let document = vectors("signatures.json");
    for case in cases(&document, "valid") {
        let name = case["name"].as_str().unwrap();
        let found = signer(&document, &case);
        assert_eq!(
            found.as_deref(),
            Ok(case["signer"].as_str().unwrap()),
            "{name}"
        );
    }
}

#[test]
fn a_signature_that_is_not_acceptable_is_refused() {
    let document = vectors("signatures.json");
    for case in cases(&document, "invalid") {
        let refused = signer(&document, &case).unwrap_err();
        assert_eq!(refused.code(), StreamCode::BadSignature, "{case}");
        assert_eq!(refused.connection_code(), None, "{case}");
    }
}

#[test]
fn what_is_shown_to_others_is_what_came() {
    let document = vectors("signatures.json");
    let (tls, signatures, now) = (receiver(&document), Signatures::new(), Instant::now());
    let peer = tls.vouched(&bytes(&document["peer"])).unwrap().peer;
    let case = &cases(&document, "valid")[3];
    let [leaf, signature] = case["frames"].as_array().unwrap().as_slice() else {
        panic!("{case}")
    };
    let decoded = |encoded: &Value| Frame::decode(&bytes(encoded)).unwrap().unwrap().0;
    let (Frame::Key(Key::Certificate { leaf: der }), Frame::Signature(said)) =
        (decoded(leaf), decoded(signature))
    else {
        panic!("{case}")
    };
    let signer = signatures
        .certificate(&tls, &peer, &der, true, now)
        .unwrap();
    let proof = Proof {
        signer: Arc::new(signer),
        signature: said,
    };
    let shown = proof.frames().unwrap();
    assert_eq!(shown, [bytes(leaf), bytes(signature)].concat());
}
