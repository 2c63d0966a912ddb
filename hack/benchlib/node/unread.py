"""How much a connection takes whose reader does not read. Its arguments: a port, and the most.

Prints one JSON object: bytes taken until the kernel said that it is enough or it was the most, and
whether they arrive unchanged afterwards, followed by the end of the stream.
"""

import hashlib
import json
import select
import socket
import sys
from typing import Final

CHUNK: Final = 65536

# Seconds without room after which there will be none.
PATIENCE: Final = 0.5


def measure(port: int, most: int) -> dict[str, object]:
    """Over loopback, in this process. Raises OSError."""
    with socket.create_server(("::1", port), family=socket.AF_INET6) as listener:
        writer = socket.create_connection(("::1", port))
        reader, _ = listener.accept()
    with writer, reader:
        written, taken = hashlib.sha256(), 0
        writer.settimeout(0)
        while taken < most and select.select([], [writer], [], PATIENCE)[1]:
            block = taken.to_bytes(8) * (CHUNK // 8)
            sent = writer.send(block)
            written.update(block[:sent])
            taken += sent
        writer.shutdown(socket.SHUT_WR)
        arrived, got = hashlib.sha256(), 0
        reader.settimeout(10)
        while block := reader.recv(1 << 20):
            arrived.update(block)
            got += len(block)
        same = (got, arrived.digest()) == (taken, written.digest())
        return {"bytes": taken, "unchanged": same}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))))
