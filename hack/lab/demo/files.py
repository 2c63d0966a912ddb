"""Files whose content and checksum are known before they are fetched."""

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Sample:
    """One file to fetch."""

    name: str
    size: int
    digest: str
    """SHA-256, hexadecimal."""


def marked(folder: Path, name: str, size: int, marker: bytes) -> Sample:
    """A file of `size` bytes in which `marker` stands over and over, so that every packet that
    carries a piece of it in the clear can be recognised.
    """
    content = (marker * (size // len(marker) + 1))[:size]
    (folder / name).write_bytes(content)
    return Sample(name, size, hashlib.sha256(content).hexdigest())


def numbered(folder: Path, name: str, size: int, marker: bytes) -> Sample:
    """The same with a number behind each marker, so that no two pieces of it are alike."""
    lines = (b"%s%012d\n" % (marker, number) for number in range(size // (len(marker) + 13) + 1))
    content = b"".join(lines)[:size]
    (folder / name).write_bytes(content)
    return Sample(name, size, hashlib.sha256(content).hexdigest())


def random(folder: Path, name: str, size: int) -> Sample:
    """A file of `size` bytes, no two mebibytes of it alike, so that a piece that is lost, doubled
    or out of place changes the checksum.
    """
    block = bytearray(secrets.token_bytes(BLOCK))
    digest = hashlib.sha256()
    with (folder / name).open("wb", buffering=0) as file:
        for number in range(-(-size // BLOCK)):
            block[:8] = number.to_bytes(8)
            piece = memoryview(block)[: min(BLOCK, size - number * BLOCK)]
            digest.update(piece)
            file.write(piece)
    return Sample(name, size, digest.hexdigest())
