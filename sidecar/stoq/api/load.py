"""How many calls a server has, of whom, and whether it takes one more. Pure."""

from stoq.api.call import ServerLimits
from stoq.api.stream import Peer


class Load:
    """The calls running now."""

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._anonymous = 0
        self._by_peer: dict[tuple[str, str], int] = {}
        self.all = 0
        """All of them; also those that are being refused."""
        self.draining = False
        """No more calls are taken."""

    def add(self, peer: Peer | None, remote: str) -> str | None:
        """A call that has arrived from `peer` at `remote` (address and port); why it is one too
        many, if it is. To be given to `remove` in either case.
        """
        self.all += 1
        limits = self._limits
        if peer is None:
            self._anonymous += 1
            mine = 0
        else:
            key = _key(peer, remote)
            mine = self._by_peer[key] = self._by_peer.get(key, 0) + 1
        if self.draining:
            return "the server is shutting down; call another, or this one when it is back"
        if self.all > limits.calls:
            return f"{limits.calls} calls are running, the limit; try again later"
        if self._anonymous > limits.anonymous_calls and peer is None:
            return (
                f"{limits.anonymous_calls} calls without a certificate are running, "
                "the limit; try again later"
            )
        if peer is not None and mine > limits.peer_calls:
            return (
                f"{limits.peer_calls} calls of {peer.spiffe_id} from its address are running, the "
                "limit for each; wait for their answers before you call again"
            )
        return None

    def remove(self, peer: Peer | None, remote: str) -> None:
        """The call has ended."""
        self.all -= 1
        if peer is None:
            self._anonymous -= 1
            return
        key = _key(peer, remote)
        left = self._by_peer[key] - 1
        if left:
            self._by_peer[key] = left
        else:
            del self._by_peer[key]


def _key(peer: Peer, remote: str) -> tuple[str, str]:
    # One identity may be thousands of pods, and one address has a port for each connection.
    return peer.spiffe_id, remote.rpartition(":")[0]
