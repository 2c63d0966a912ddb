import base64

import pytest

from stoq.pem import certificates


def block(der: bytes) -> str:
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n"


def test_certificates_are_read_in_order_and_text_around_them_ignored() -> None:
    text = f"# root of shop\n{block(b'a' * 100)}\n# the next one\n{block(b'b' * 10)}"
    assert certificates(text) == (b"a" * 100, b"b" * 10)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no certificate at all",
        "-----BEGIN CERTIFICATE-----\nYWJj\n",
        block(b"a") + "-----BEGIN CERTIFICATE-----\nYWJj\n",
        block(b"a").replace("Y", "*"),
        "-----BEGIN CERTIFICATE-----\nYWJ\n-----END CERTIFICATE-----\n",
    ],
)
def test_damaged_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"certificate"):
        certificates(text)
