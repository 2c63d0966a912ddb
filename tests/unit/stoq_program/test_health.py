"""The sockets of pages."""

import socket

import pytest

from stoq import health


def test_a_port_that_is_taken_is_named_with_the_setting_that_chooses_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match=f"cannot listen on {address}: .*with STOQ_LISTEN_PAGES"):
            health.listen(address, "STOQ_LISTEN_PAGES")
