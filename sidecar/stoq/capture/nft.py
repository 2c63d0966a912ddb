"""Puts capture rules into the kernel by nft(8), checks them and takes them out again.

All functions work on the network namespace of the calling thread; `netns.run_in` chooses
another. nft's own words are passed on, with what to do about them.
"""

import subprocess
from typing import Final

from stoq.capture import listing
from stoq.capture.plan import Plan
from stoq.capture.rules import FAMILY, TABLE, render, render_undo

TIMEOUT: Final = 10.0
"""Seconds that one nft run may take; a transaction of this size takes milliseconds, but on a
busy node it waits for the kernel's lock."""

NO_TABLE: Final = "No such file or directory"

_FIXES: Final = {
    "Operation not permitted": """programming capture takes CAP_NET_ADMIN in this network \
namespace: run stoq-init as uid 0 with NET_ADMIN, or use capture mode 'node', where the node agent \
does it""",
    "Protocol not supported": """this kernel has no nf_tables: it needs CONFIG_NF_TABLES and \
CONFIG_NF_TABLES_INET""",
    "Operation not supported": """this kernel lacks a part of nf_tables: it needs \
NF_TABLES_INET, NFT_NAT, NFT_REDIR, NFT_CT and NFT_REJECT, and NFT_TPROXY for UDP""",
    NO_TABLE: """a kernel module is missing: load nft_chain_nat, nft_redir, nft_ct, nft_fib_inet, \
nft_tproxy and nft_reject_inet on the node. nft_tproxy is for captured UDP, which may be left out: \
capture.udp=false of the chart, spec.capture.udp of a Workload""",
}


class CaptureError(Exception):
    """Capture could not be programmed, read or removed; the text says why and what to do."""


def apply(plan: Plan) -> bool:
    """Puts `plan` in force in one transaction; returns False when it was already.

    Raises CaptureError. After a failure the kernel holds what it held before.
    """
    if not verify(plan):
        return False
    _nft("-f", "-", script=render(plan))
    problems = verify(plan)
    if problems:
        raise CaptureError(
            "nft accepted the capture rules but the kernel lists something else: "
            + "; ".join(problems)
            + ". Another program rewrites the table 'inet stoq': find it with 'nft monitor'"
        )
    return True


def verify(plan: Plan) -> list[str]:
    """What is not in force as planned, one sentence each; empty when all is.

    Raises CaptureError when the rules cannot be read.
    """
    text = read()
    if text is None:
        return [f"there is no table {FAMILY} {TABLE}"]
    return listing.differences(plan, text)


def undo() -> bool:
    """Removes capture; returns False when there was none. Raises CaptureError."""
    if read() is None:
        return False
    _nft("-f", "-", script=render_undo())
    return True


def load(script: str, seconds: float | None = None) -> None:
    """Changes members of the table's sets (`stoq.capture.splice`), in so many seconds at most
    (None: as any call). Raises CaptureError.
    """
    _nft("-f", "-", script=script, seconds=seconds)


def read() -> str | None:
    """Nft's JSON listing of our table, None when there is no such table."""
    try:
        return _nft("-j", "list", "table", FAMILY, TABLE)
    except CaptureError as error:
        if isinstance(error.__cause__, subprocess.CalledProcessError) and NO_TABLE in str(error):
            return None
        raise


def _nft(*arguments: str, script: str | None = None, seconds: float | None = None) -> str:
    command, most = ["nft", *arguments], seconds or TIMEOUT
    try:
        done = subprocess.run(
            command, input=script, capture_output=True, text=True, timeout=most, check=True
        )
    except FileNotFoundError as error:
        raise CaptureError("nft is not in PATH: install the package 'nftables'") from error
    except subprocess.TimeoutExpired as error:
        raise CaptureError(
            f"'{' '.join(command)}' took more than {most:.0f} s: look for a process that holds "
            "the kernel's nf_tables lock ('nft monitor' shows who changes rules)"
        ) from error
    except subprocess.CalledProcessError as error:
        text = error.stderr.strip() or f"exit status {error.returncode}"
        fix = next((fix for words, fix in _FIXES.items() if words in text), None)
        raise CaptureError(
            f"'{' '.join(command)}' failed: {text}" + (f"\n{fix}" if fix else "")
        ) from error
    return done.stdout
