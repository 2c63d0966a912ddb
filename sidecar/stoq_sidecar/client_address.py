"""Whether this pod can show its application the addresses of meshed clients.

Asked of the kernel once capture is proven, by family, so that a pod where something is missing
works as one without the setting: its application then sees the pod's own address.
"""

import logging
import socket
from typing import Final

from stoq.broker.client import Sockets
from stoq.broker.sockets import IP_TRANSPARENT
from stoq.capture import routes
from stoq.capture.nft import CaptureError
from stoq_sidecar.settings import Capture

log = logging.getLogger("stoq.client_address")

FAMILIES: Final = ("ipv6", "ipv4")


def found(capture: Capture, passed: Sockets | None, *, ipv6: bool) -> dict[str, bool]:
    """For each family whether the client's address is shown; what is missing is logged.

    `passed` came from the broker. Reads the routes of the thread's network namespace.
    """
    families = {"ipv6": ipv6, "ipv4": True}
    if capture.mode == "none" or capture.client_address == "off":
        return dict.fromkeys(families, False)
    why = _no_way_back()
    if why:
        families = dict.fromkeys(families, False)
    elif (passed is None or passed.transparent is None) and not _may_be_transparent():
        why = "for IPv4 a socket takes capture mode 'node', or the capability NET_RAW"
        families["ipv4"] = False
    if why:
        # Only who has asked for it wants to hear of it as of a fault.
        level = logging.WARNING if capture.client_address == "on" else logging.INFO
        log.log(level, "the application does not see every client's address: %s", why)
    return families


def _no_way_back() -> str:
    try:
        return "; ".join(routes.verify())
    except (CaptureError, OSError) as error:
        return str(error)


def _may_be_transparent() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tried:
        try:
            tried.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
        except OSError:
            return False
        return True
