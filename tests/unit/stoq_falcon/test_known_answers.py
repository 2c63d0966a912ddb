"""The engine verifies what the submission to NIST's round 3 signed."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from stoq.falcon import SIGNATURE_BYTES, VerifyingKey

FILE = Path(__file__).parents[2] / "vectors" / "falcon-round3-kat.txt"

NONCE = 40


@dataclass(frozen=True)
class Answer:
    degree: int
    message: bytes
    public_key: bytes
    signed: bytes

    def padded(self) -> bytes:
        """The compressed signature in the padded format (Falcon specification v1.2, 3.11.6):
        another first byte, the nonce inside, zeros up to the fixed length.
        """
        length = int.from_bytes(self.signed[:2], "big")
        nonce = self.signed[2 : 2 + NONCE]
        compressed = self.signed[-length:]
        logarithm = self.degree.bit_length() - 1
        assert compressed[0] == 0x20 + logarithm
        padded = bytes([0x30 + logarithm]) + nonce + compressed[1:]
        return padded.ljust(SIGNATURE_BYTES[self.degree], b"\0")


def answers() -> list[Answer]:
    fields: dict[str, str] = {}
    found = []
    name = ""
    for line in [*FILE.read_text().splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line and fields:
            hexes = [bytes.fromhex(fields[key]) for key in ("msg", "pk", "sm")]
            found.append(Answer(int(fields["degree"]), *hexes))
            fields = {}
        elif "=" in line:
            name, _, value = line.partition(" =")
            fields[name] = value.strip()
        elif line:
            fields[name] += line
    return found


ANSWERS = answers()


def test_both_degrees_have_a_known_answer() -> None:
    assert sorted(answer.degree for answer in ANSWERS) == [512, 1024]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: str(answer.degree))
def test_the_published_signature_verifies(answer: Answer) -> None:
    key = VerifyingKey.from_bytes(answer.public_key)
    assert key.degree == answer.degree
    assert key.to_bytes() == answer.public_key
    assert key.verify(answer.message, answer.padded())


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: str(answer.degree))
def test_a_changed_message_or_signature_does_not_verify(answer: Answer) -> None:
    key = VerifyingKey.from_bytes(answer.public_key)
    signature = answer.padded()
    assert not key.verify(answer.message + b"x", signature)
    for position in (0, 1, NONCE, NONCE + 1, 300, len(signature) - 1):
        changed = bytearray(signature)
        changed[position] ^= 1
        assert not key.verify(answer.message, bytes(changed)), position
