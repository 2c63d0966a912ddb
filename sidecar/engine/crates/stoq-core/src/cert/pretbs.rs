//! The bytes that signatures cover, cut out of encoded structures.
//!
//! The cuts are made on the received bytes, never on a re-encoding, so what is
//! verified is what was sent.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Encode, Reader, Result, SliceReader, Tag};

use super::oid;

/// The first element of `SEQUENCE { content, algorithm, signature }`, as the
/// ordinary signature covers it (RFC 5280, section 4.1.1.3).
pub(super) fn signed_content(der: &[u8]) -> Result<&[u8]> {
    SliceReader::new(der)?.sequence(|outer| {
        let content = outer.tlv_bytes()?;
        outer.tlv_bytes()?;
        outer.tlv_bytes()?;
        Ok(content)
    })
}

/// The PreTBSCertificate: "the TBSCertificate without the signature component
/// and without the altSignatureValue extension" (ITU-T X.509 (10/2019), 7.2.2).
///
/// `tbs` must be that of a version 3 certificate.
pub(super) fn pre_tbs_certificate(tbs: &[u8]) -> Result<Vec<u8>> {
    let mut kept = Vec::with_capacity(tbs.len());
    for (index, element) in elements(tbs)?.into_iter().enumerate() {
        match AnyRef::from_der(element)? {
            // version [0], serialNumber, signature
            _ if index == 2 => {}
            field if field.header().tag() == context(3) => {
                let extensions = without(field.value(), oid::ALT_SIGNATURE_VALUE)?;
                AnyRef::new(context(3), &sequence(&extensions)?)?.encode_to_vec(&mut kept)?;
            }
            _ => kept.extend_from_slice(element),
        }
    }
    sequence(&kept)
}

/// A CertificationRequestInfo without its altSignatureValue attribute: what
/// the FALCON key of a request signs.
pub(super) fn pre_request_info(info: &[u8]) -> Result<Vec<u8>> {
    let mut kept = Vec::with_capacity(info.len());
    for element in elements(info)? {
        let field = AnyRef::from_der(element)?;
        if field.header().tag() == context(0) {
            let attributes = keep(elements_of(field.value())?, oid::ALT_SIGNATURE_VALUE)?;
            AnyRef::new(context(0), &attributes)?.encode_to_vec(&mut kept)?;
        } else {
            kept.extend_from_slice(element);
        }
    }
    sequence(&kept)
}

fn context(number: u32) -> Tag {
    Tag::ContextSpecific {
        number: der::TagNumber(number),
        constructed: true,
    }
}

fn sequence(content: &[u8]) -> Result<Vec<u8>> {
    AnyRef::new(Tag::Sequence, content)?.to_der()
}

/// The encoded elements of a SEQUENCE.
fn elements(sequence: &[u8]) -> Result<Vec<&[u8]>> {
    let any = AnyRef::from_der(sequence)?;
    any.header().tag().assert_eq(Tag::Sequence)?;
    elements_of(any.value())
}

fn elements_of(content: &[u8]) -> Result<Vec<&[u8]>> {
    let mut reader = SliceReader::new(content)?;
    let mut found = Vec::new();
    while !reader.is_finished() {
        found.push(reader.tlv_bytes()?);
    }
    Ok(found)
}

fn without(sequence: &[u8], id: ObjectIdentifier) -> Result<Vec<u8>> {
    keep(elements(sequence)?, id)
}

/// Joins the elements, each `SEQUENCE { id OBJECT IDENTIFIER, … }`, but those of `id`.
fn keep(elements_: Vec<&[u8]>, id: ObjectIdentifier) -> Result<Vec<u8>> {
    let mut kept = Vec::new();
    for element in elements_ {
        let first = elements(element)?.first().copied().unwrap_or_default();
        if ObjectIdentifier::from_der(first)? != id {
            kept.extend_from_slice(element);
        }
    }
    Ok(kept)
}
