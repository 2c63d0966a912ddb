"""The PreTBSCertificate: what the alternative signature covers (docs/wire-format.md, K4)."""

from stoq_reference import der

ALT_SIGNATURE_VALUE = bytes.fromhex("0603551d4a")
"""The OBJECT IDENTIFIER 2.5.29.74."""


def pre_tbs(tbs: bytes) -> bytes:
    """The TBSCertificate without its `signature` field and without AltSignatureValue.

    Everything else is taken over as it was received.
    """
    version, serial, _signature, *rest = der.only(tbs, der.SEQUENCE).children()
    kept = [version.encoded, serial.encoded]
    kept += [_without_value(f) if f.tag == der.EXPLICIT_3 else f.encoded for f in rest]
    return der.encode(der.SEQUENCE, b"".join(kept))


def _without_value(field: der.Element) -> bytes:
    extensions = der.only(field.body, der.SEQUENCE).children()
    kept = b"".join(e.encoded for e in extensions if not e.body.startswith(ALT_SIGNATURE_VALUE))
    return der.encode(der.EXPLICIT_3, der.encode(der.SEQUENCE, kept))
