"""Gathers what `capabilities` decides on."""

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from stoq_node.capabilities import Facts, Uplink

# linux/sockios.h and linux/ethtool.h: struct ethtool_drvinfo.
_SIOCETHTOOL: Final = 0x8946
_ETHTOOL_GDRVINFO: Final = 3
_DRVINFO: Final = struct.Struct("=I32s32s32s32s32s12sIIIII")

_NOT_FOUND: Final = 0xFFFFFFFF
"""Metric beyond that of any route."""


def gather(
    pins: str,
    interface: str,
    refused: Mapping[str, str],
    capture: Mapping[str, str] | None = None,
    af_xdp: str | None = None,
    measured: str = "",
) -> Facts:
    """The facts of this node; `interface` is the uplink, if it is not to be found by its route,
    `refused` says which programs the kernel does not take, and why, `capture` the same of the parts
    of capture and `af_xdp` of that, and `measured` what was measured of it.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return Facts(
        release=os.uname().release,
        capabilities=effective(status),
        pins=pins,
        filesystem=mounted(pins),
        refused=refused,
        uplink=_uplink(interface or default_interface(*_routes())),
        capture=capture,
        af_xdp=af_xdp,
        measured=measured,
    )


def effective(status: str) -> int:
    """Effective capabilities of the text of /proc/self/status."""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return int(value, 16)
    return 0


def mounted(path: str) -> str:
    """Type of the file system that holds `path`, or will, as this process sees it."""
    return filesystem(Path("/proc/self/mountinfo").read_text(encoding="utf-8"), path)


def filesystem(mountinfo: str, path: str) -> str:
    """Type of the file system that holds `path`, or will, of the text of /proc/self/mountinfo."""
    longest, found = "", ""
    for line in mountinfo.splitlines():
        before, dash, after = line.partition(" - ")
        words = before.split()
        if not dash or len(words) < 5:
            continue
        # Spaces and the like are written in octal (proc(5)); no bpffs is mounted at such a place.
        place = words[4]
        inside = path == place or path.startswith(place.rstrip("/") + "/")
        # A later mount hides an earlier one at the same place.
        if inside and len(place) >= len(longest):
            longest, found = place, after.split()[0]
    return found


def default_interface(ipv6: str, ipv4: str) -> str:
    """The interface of the best default route of the texts of /proc/net/ipv6_route and route, IPv6
    first; empty if there is none.
    """
    best = (_NOT_FOUND, "")
    for line in ipv6.splitlines():
        words = line.split()
        if len(words) == 10 and words[:2] == ["0" * 32, "00"] and words[9] != "lo":
            best = min(best, (int(words[5], 16), words[9]))
    if best[1]:
        return best[1]
    for line in ipv4.splitlines()[1:]:
        words = line.split()
        if len(words) > 7 and words[1] == words[7] == "0" * 8:
            best = min(best, (int(words[6]), words[0]))
    return best[1]


def _routes() -> tuple[str, str]:
    def text(name: str) -> str:
        path = Path("/proc/net") / name
        return path.read_text(encoding="ascii") if path.exists() else ""

    return text("ipv6_route"), text("route")


def _uplink(name: str) -> Uplink | None:
    return described(name) if name else None


def described(name: str) -> Uplink:
    """What ethtool says of an interface of the calling thread's network namespace."""
    answer = bytearray(_DRVINFO.pack(_ETHTOOL_GDRVINFO, *[b""] * 6, 0, 0, 0, 0, 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        # struct ifreq: a name, and where the answer goes.
        buffer = (ctypes.c_char * len(answer)).from_buffer(answer)
        request = struct.pack("16sP16x", name.encode()[:15], ctypes.addressof(buffer))
        try:
            fcntl.ioctl(asking, _SIOCETHTOOL, request)
        except OSError:
            return Uplink(name, "", "")
    fields = _DRVINFO.unpack(answer)
    driver, bus = (fields[place].split(b"\0")[0].decode(errors="replace") for place in (1, 4))
    return Uplink(name, driver, "" if bus.lower() in {"", "n/a", "tap"} else bus)
