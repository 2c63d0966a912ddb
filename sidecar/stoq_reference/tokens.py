"""Tokens (docs/wire-format.md, section 12)."""

import hmac
from dataclasses import dataclass

from stoq_reference import frames
from stoq_reference.errors import Malformed
from stoq_reference.frames import MAX_TOKEN_DATA, PACKET_TAG, PacketToken, Token
from stoq_reference.reader import Short

EXPORTER_LABEL = b"EXPORTER-STOQ-token"
EXPORTER_LENGTH = 64
LABEL = b"STOQ token v1\0"
MESSAGE, INTERVAL, PACKET = 1, 2, 3
WINDOW = 1024
MAX_WITHOUT = 64
"""Packets that a server sends before it has the client's Finished, at most (T6)."""


class BadToken(Exception):
    """The connection is closed with `bad_token`; the text says which token and why."""


@dataclass(frozen=True)
class Keys:
    """The key of each direction."""

    client: bytes
    server: bytes

    @classmethod
    def of(cls, exporter: bytes) -> "Keys":
        """From the connection's exporter value."""
        return cls(exporter[:32], exporter[32:64])


def tag(key: bytes, form: int, stream: int, sequence: int, data: bytes) -> bytes:
    """HMAC over what a token covers; `stream` is 0 in a packet."""
    numbers = b"".join(number.to_bytes(8, "big") for number in (stream, sequence, len(data)))
    return hmac.digest(key, LABEL + bytes([form]) + numbers + data, "sha256")


def of_packet(key: bytes, packet: int, payload: bytes) -> PacketToken:
    """The token of a packet; `payload` is what is before the reserve."""
    return PacketToken(tag(key, PACKET, 0, packet, payload)[:PACKET_TAG])


def write(key: bytes, stream: int, messages: list[bytes], interval: int | None = None) -> bytes:
    """What goes on a stream for these messages, from its first token to its end."""
    writer = StreamWriter(key, stream, interval)
    return b"".join(map(writer.push, messages)) + writer.finish()


class StreamWriter:
    """One direction of a stream with tokens, as its sender has it."""

    def __init__(self, key: bytes, stream: int, interval: int | None = None) -> None:
        """`interval`: bytes that each token covers; None: each covers what was written at once."""
        self._key = key
        self._stream = stream
        self._interval = interval
        self._waiting = b""
        self._sequence = 0

    def push(self, data: bytes) -> bytes:
        """What goes on the stream for `data`; what fills no interval yet waits."""
        if self._interval is None:
            starts = range(0, len(data), MAX_TOKEN_DATA)
            return b"".join(self._covered(MESSAGE, data[at : at + MAX_TOKEN_DATA]) for at in starts)
        self._waiting += data
        out = b""
        while len(self._waiting) >= self._interval:
            full, self._waiting = self._waiting[: self._interval], self._waiting[self._interval :]
            out += self._covered(INTERVAL, full)
        return out

    def finish(self) -> bytes:
        """What is still to go before the end."""
        rest, self._waiting = self._waiting, b""
        return self._covered(INTERVAL, rest) if rest else b""

    def _covered(self, form: int, data: bytes) -> bytes:
        made = tag(self._key, form, self._stream, self._sequence, data)
        token = Token(form, self._sequence, len(data), made)
        self._sequence += 1
        return frames.encode(token) + data


class StreamReader:
    """One direction of a stream with tokens."""

    def __init__(self, key: bytes, stream: int) -> None:
        self._key = key
        self._stream = stream
        self._so_far = b""
        self._due = 0
        self._first: Token | None = None
        self._short = False

    def push(self, data: bytes) -> bytes:
        """What is verified by now. Raises BadToken, and Malformed for `protocol`."""
        self._so_far += data
        verified = b""
        while self._so_far:
            try:
                token, used = frames.decode(self._so_far)
            except Short:
                break
            if not isinstance(token, Token):
                raise Malformed(f"{type(token).__name__} where a token of a stream is due")
            self._check(token)
            end = used + token.length
            if len(self._so_far) < end:
                break
            covered, self._so_far = self._so_far[used:end], self._so_far[end:]
            made = tag(self._key, token.form, self._stream, token.sequence, covered)
            if not hmac.compare_digest(made, token.tag):
                raise BadToken(f"token {token.sequence} is forged")
            self._due += 1
            self._first = self._first or token
            self._short = token.form == INTERVAL and token.length < self._first.length
            verified += covered
        return verified

    def finish(self) -> None:
        """The stream has ended. Raises BadToken inside what a token covers (T4)."""
        if self._so_far:
            raise BadToken(f"the stream ends inside token {self._due}")

    def _check(self, token: Token) -> None:
        if token.sequence != self._due:
            what = "a replay" if token.sequence < self._due else "after a gap"
            raise BadToken(f"token {token.sequence} is {what}: {self._due} is due")
        if self._first is None:
            return
        if token.form != self._first.form:
            raise BadToken(f"token {token.sequence} is of form {token.form}")
        if token.form == INTERVAL and (self._short or token.length > self._first.length):
            raise BadToken(f"token {token.sequence} breaks the interval {self._first.length}")


class PacketReader:
    """The tokens in the packets of a peer (T5 to T7)."""

    def __init__(self, key: bytes, *, from_client: bool) -> None:
        self._key = key
        self._without_allowed = 0 if from_client else MAX_WITHOUT
        self._with: int | None = None
        self._without: list[int] = []
        self._seen: set[int] = set()
        self._top = -1

    def check(self, packet: int, payload: bytes, token: PacketToken | None) -> bool:
        """Whether a packet is new; `payload` is what is before the reserve. Raises BadToken."""
        if packet in self._seen or packet <= self._top - WINDOW:
            return False
        if token is None:
            if len(self._without) == self._without_allowed:
                raise BadToken(f"packet {packet} has no token")
            self._without.append(packet)
        else:
            made = of_packet(self._key, packet, payload)
            if not hmac.compare_digest(made.tag, token.tag):
                raise BadToken(f"the token of packet {packet} is forged")
            self._with = packet if self._with is None else min(self._with, packet)
        if self._with is not None and max(self._without, default=-1) > self._with:
            raise BadToken(f"packet {max(self._without)} has no token, an earlier one had")
        self._top = max(self._top, packet)
        self._seen = {seen for seen in self._seen if seen > self._top - WINDOW} | {packet}
        return True
