"""What the machine lacks for a trace, and what mends it. Pure."""

from dataclasses import dataclass
from typing import Final

from stoq_node.capabilities import BPF, SYS_ADMIN

SYS_PTRACE: Final = 19
PERFMON: Final = 38
"""Numbers of linux/capability.h."""

TRACEPOINTS: Final = ("net/net_dev_queue", "net/netif_receive_skb", "skb/kfree_skb")
LATENCY: Final = (
    "sock/inet_sock_set_state",
    "sock/sock_send_length",
    "sock/sock_recv_length",
)
"""Those of latencies: the last two are of Linux 6.3."""

BTF: Final = "/sys/kernel/btf/vmlinux"
TRACEFS: Final = "/sys/kernel/tracing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What was found."""

    release: str
    """Of the kernel."""
    capabilities: int
    """Effective ones of this process, a bit each."""
    bcc: str
    """The folder of BCC's package; empty if there is none."""
    tracefs: str
    """Where it is mounted and can be read; empty if nowhere."""
    tracepoints: frozenset[str]
    """Those of `TRACEPOINTS` and `LATENCY` that the kernel has."""
    btf: bool
    """The kernel says where its structures keep what."""


@dataclass(frozen=True, slots=True)
class Missing:
    """`mend` is a command, or what else there is to do."""

    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.what}: {self.mend}"


def missing(machine: Machine) -> tuple[Missing, ...]:
    """All that keeps a trace from working here."""
    found = []
    if lacks := _lacks(machine.capabilities):
        found.append(Missing(f"this process lacks {lacks}", "sudo stoq-node trace"))
    if not machine.bcc:
        found.append(
            Missing(
                "BCC for Python is not installed (kernel headers are not needed)",
                "apt-get install -y --no-install-recommends python3-bpfcc",
            )
        )
    if not machine.tracefs:
        found.append(
            Missing(f"no tracefs to be read at {TRACEFS}", f"mount -t tracefs tracefs {TRACEFS}")
        )
    elif absent := [one for one in TRACEPOINTS if one not in machine.tracepoints]:
        found.append(
            Missing(
                f"kernel {machine.release} has no tracepoint {', '.join(absent)}",
                "boot one built with CONFIG_TRACEPOINTS and CONFIG_NET",
            )
        )
    if not machine.btf:
        found.append(
            Missing(
                f"kernel {machine.release} does not say where its structures keep what ({BTF})",
                "boot one built with CONFIG_DEBUG_INFO_BTF",
            )
        )
    return tuple(found)


def no_latency(machine: Machine) -> str:
    """Why latencies can not be measured; empty if they can."""
    absent = [one for one in LATENCY if one not in machine.tracepoints]
    if not absent:
        return ""
    return (
        f"no latencies: kernel {machine.release} has no tracepoint {', '.join(absent)} (Linux 6.3)"
    )


def _lacks(capabilities: int) -> str:
    def has(number: int) -> bool:
        return bool(capabilities >> number & 1)

    wanted = ((BPF, "CAP_BPF"), (PERFMON, "CAP_PERFMON"))
    lacks = [] if has(SYS_ADMIN) else [name for number, name in wanted if not has(number)]
    lacks += [] if has(SYS_PTRACE) else ["CAP_SYS_PTRACE"]
    return " and ".join(lacks)
