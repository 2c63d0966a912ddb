"""One message with descriptors, from one end of a channel to the other."""

import os
import socket
from pathlib import Path

from stoq.broker import channel
from stoq.broker.protocol import MAX_WORKERS


def test_the_sockets_of_the_most_workers_fit_in_one_message() -> None:
    # Two listeners, the transparent one, two raw ones of each family, and two of each worker.
    count = 2 + 1 + 4 + 2 * MAX_WORKERS
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, Path(os.devnull).open("rb") as passed:
        channel.send(ours, b"all", [passed.fileno()] * count)
        message, descriptors = channel.receive(theirs)
        channel.close(descriptors)
    assert (message, len(descriptors)) == (b"all", count)
