"""The end of 1-RTT packets: reserve and tokens (docs/wire-format.md, E3 and T5 to T8)."""

from collections.abc import Callable

from aioquic.quic.crypto import CryptoPair

from stoq_reference import carriers
from stoq_reference.carriers import Agreed
from stoq_reference.codes import ConnectionCode
from stoq_reference.errors import Malformed
from stoq_reference.tokens import BadToken, Keys, PacketReader, of_packet

PING = b"\1"
"""QUIC's frame that says nothing: what takes the place of a payload that cannot be used."""


class Fault(Exception):
    """Why the connection is to be closed, and with which code."""

    def __init__(self, code: ConnectionCode, why: str) -> None:
        super().__init__(why)
        self.code = code


class ReservedPair(CryptoPair):
    """aioquic's 1-RTT keys; each payload has the reserve behind it before it is sealed."""

    def __init__(self, pair: CryptoPair, keys: Callable[[], Keys], *, is_client: bool) -> None:
        """In the place of `pair`; `keys`: of tokens, asked for once packets can be opened."""
        super().__init__()
        self.recv, self.send = pair.recv, pair.send
        self._make_keys = keys
        self._is_client = is_client
        self._agreed = Agreed()
        self._keys: Keys | None = None
        self._reader: PacketReader | None = None
        self.fault: Fault | None = None
        self.finish: Callable[[int, bytes], bytes] = self.finished
        """Puts the reserve behind a payload; tests of wrong packets put something else there."""

    def agree(self, agreed: Agreed) -> None:
        """What the connection may use, known before the first of these packets."""
        self._agreed = agreed
        self.aead_tag_size += agreed.reserve

    @property
    def reserve(self) -> int:
        """Bytes at the end of each payload."""
        return self._agreed.reserve

    def finished(self, number: int, payload: bytes) -> bytes:
        """The payload of packet `number`, and the reserve."""
        token = None
        if (keys := self._token_keys()) is not None:
            own = keys.client if self._is_client else keys.server
            token = of_packet(own, number, payload)
        return carriers.packed(payload, token, self._agreed)

    def encrypt_packet(
        self, plain_header: bytes, plain_payload: bytes, packet_number: int
    ) -> bytes:
        """Seals a packet."""
        if self._agreed.reserve:
            plain_payload = self.finish(packet_number, plain_payload)
        return super().encrypt_packet(plain_header, plain_payload, packet_number)

    def decrypt_packet(
        self, packet: bytes, encrypted_offset: int, expected_packet_number: int
    ) -> tuple[bytes, bytes, int]:
        """Opens a packet; what is wrong with its end is kept in `fault` (T8)."""
        header, payload, number = super().decrypt_packet(
            packet, encrypted_offset, expected_packet_number
        )
        if not self._agreed.reserve:
            return header, payload, number
        try:
            payload = self._checked(number, payload)
        except BadToken as error:
            self._keep(Fault(ConnectionCode.BAD_TOKEN, str(error)))
            payload = PING
        except Malformed as error:
            self._keep(Fault(ConnectionCode.PROTOCOL, str(error)))
            payload = PING
        return header, payload, number

    def _checked(self, number: int, plain: bytes) -> bytes:
        payload, token = carriers.packet(plain, self._agreed)
        if (keys := self._token_keys()) is not None:
            if self._reader is None:
                theirs = keys.server if self._is_client else keys.client
                self._reader = PacketReader(theirs, from_client=not self._is_client)
            self._reader.check(number, payload, token)
        return payload

    def _keep(self, fault: Fault) -> None:
        self.fault = self.fault or fault

    def _token_keys(self) -> Keys | None:
        """None where packets have no tokens: a server has none before the client's Finished."""
        if not self._agreed.packet_tokens or not self.recv.is_valid():
            return None
        if self._keys is None:
            self._keys = self._make_keys()
        return self._keys
