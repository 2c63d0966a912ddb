"""What `trace.bcc.c` has to be told about the kernel that runs. Pure."""

from typing import Final

from stoq import constants
from stoq_node.trace.btf import Btf

MEMBERS: Final = (
    ("sk_buff", ("head", "data", "network_header", "protocol", "dev", "sk")),
    ("net_device", ("ifindex", "nd_net")),
    ("net", ("ns",)),
    ("ns_common", ("inum",)),
    ("sock", ("sk_uid",)),
    (
        "sock_common",
        (
            "skc_family",
            "skc_state",
            "skc_net",
            "skc_num",
            "skc_dport",
            "skc_daddr",
            "skc_rcv_saddr",
            "skc_v6_daddr",
            "skc_v6_rcv_saddr",
        ),
    ),
    ("task_struct", ("nsproxy", "cred")),
    ("nsproxy", ("net_ns",)),
    ("cred", ("fsuid",)),
)
"""The members that the program reads, by structure."""


def flags(btf: bytes, page: int, *, latency: bool) -> list[str]:
    """Flags of the compiler; `page` is the kernel's page in bytes. Raises `LayoutError`."""
    known = Btf(btf, (structure for structure, _ in MEMBERS))
    return [
        *(
            f"-DAT_{structure}_{member}={known.offset(structure, member)}"
            for structure, members in MEMBERS
            for member in members
        ),
        f"-DPAGE_SIZE={page}",
        f"-DSIDECAR={constants.SIDECAR_UID}",
        *(["-DLATENCY"] if latency else []),
    ]
