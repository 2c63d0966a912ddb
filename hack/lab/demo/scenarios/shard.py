"""An object in shards over several connections, of which one is ended in the middle.

Sender and receiver are programs that use `stoq.api` and are members of the mesh themselves. All
connections have the same addresses and ports at both ends, so one is ended as a faulty middlebox
would do it: what it has for the receiver is dropped from then on, and the others' packets pass.
"""

import json
import shlex
import time
from pathlib import Path
from typing import Any, Final

from lab import installation, netns, process, quic
from lab.demo import files, member, shares
from lab.demo.report import Check, size
from lab.demo.scenario import Scenario
from lab.demo.shares import Cut
from lab.demo.stage import STOQ_PORT, Stage
from lab.mesh import Mesh, MeshSettings
from lab.plan import Pod
from lab.process import Process, ProcessError

OBJECT: Final = 6 << 20
"""Bytes."""

SHARDS: Final = OBJECT // member.SHARD_SIZE

MIDDLE: Final = OBJECT // 3
"""Bytes that have crossed when a connection is ended."""

PATIENCE: Final = 30.0
"""Seconds for an object that takes six."""

_RULES: Final = """\
table inet cut {{
  chain input {{
    type filter hook input priority -300
    meta l4proto udp @th,72,64 {id:#x} counter drop
  }}
}}
"""
"""The connection id follows the UDP header and the first byte of a short header: 72 bits."""


def play(stage: Stage) -> None:
    """Everything, in the order in which it happens."""
    sender, receiver = stage.pod("sender"), stage.pod("receiver")
    stage.build()
    mesh = stage.start_control([sender, receiver], MeshSettings())
    sample = files.numbered(stage.state.folder, "object", OBJECT, stage.marker.encode())
    stage.progress(f"sending {OBJECT >> 20} MiB over {member.LANES} connections")
    taking = _take(stage, mesh, receiver)
    sending = _send(stage, mesh, sender, receiver)
    lost, moment = _cut(stage, sending, receiver)
    sent = _said(sending, _sent(stage))
    if sent["why"]:
        raise ProcessError(f"the object was not sent: {sent['why']}")
    taken = _said(taking, _received(stage))
    stage.search()

    cut = Cut(moment, lost.to_listener, _dropped(receiver))
    seen = quic.connections(stage.packets(), STOQ_PORT)
    stage.check(_whole_check(sample, sent, taken, mesh.spiffe_id(sender)))
    stage.check(shares.ended_check(seen, cut, OBJECT, member.LANES))
    stage.check(shares.replaced_check(seen, cut, OBJECT))
    stage.tables.append(shares.table(seen, cut, SHARDS, sent["began"]))
    stage.count()
    told = {"sender": sent["connections"], "receiver": taken["connections"]}
    stage.evidence(mesh, [sender, receiver], told)


def _take(stage: Stage, mesh: Mesh, receiver: Pod) -> Process:
    words = ["take", f"[{receiver.ipv6}]:{STOQ_PORT}", str(_received(stage))]
    taking = process.start(
        stage.state,
        "take",
        installation.as_root("lab.demo.member", words),
        netns=receiver.netns,
        environment=mesh.environment(receiver),
    )
    taking.wait_until("ready", lambda: "ready" in taking.tail())
    return taking


def _send(stage: Stage, mesh: Mesh, sender: Pod, receiver: Pod) -> Process:
    words = ["send", f"[{receiver.ipv6}]:{STOQ_PORT}", mesh.spiffe_id(receiver)]
    argv = installation.as_root("lab.demo.member", [*words, str(_sent(stage))])
    variables = mesh.environment(sender)
    script = stage.state.folder / "send"
    settings = [f"{name}={value}" for name, value in variables.items()]
    again = shlex.join(["ip", "netns", "exec", sender.netns, "env", *settings, *argv])
    script.write_text(f'#!/bin/sh\nexec {again} "$@"\n')
    script.chmod(0o755)
    file = str(stage.state.folder / "object")
    stage.hints.append(f"{script} {file}; cat {_received(stage)}")
    return process.start(
        stage.state, "send", [*argv, file], netns=sender.netns, environment=variables
    )


def _cut(stage: Stage, sending: Process, receiver: Pod) -> tuple[quic.Connection, float]:
    """Ends the connection that has brought most, once all are busy; returns it and when."""
    seen: list[quic.Connection] = []

    def halfway() -> bool:
        seen[:] = quic.connections(stage.packets(), STOQ_PORT)
        moved = shares.brought(seen)
        return sum(moved) > MIDDLE and sum(count > 0 for count in moved) == member.LANES

    sending.wait_until("halfway", halfway, PATIENCE)
    moved = shares.brought(seen)
    lost = seen[moved.index(max(moved))]
    _drop(receiver, lost.to_listener)
    moment = time.time()
    stage.progress(f"ended the connection {lost.to_listener.hex()}")
    return lost, moment


def _drop(pod: Pod, connection_id: bytes) -> None:
    rules = _RULES.format(id=int.from_bytes(connection_id))
    netns.run_in(pod.netns, ["nft", "-f", "-"], stdin=rules)


def _dropped(pod: Pod) -> int:
    listed = json.loads(netns.run_in(pod.netns, ["nft", "-j", "list", "table", "inet", "cut"]))
    words = [word for each in listed["nftables"] for word in each.get("rule", {}).get("expr", ())]
    return sum(int(word["counter"]["packets"]) for word in words if "counter" in word)


def _whole_check(
    sample: files.Sample, sent: dict[str, Any], taken: dict[str, Any], sender: str
) -> Check:
    seconds = sent["ended"] - sent["began"]
    detail = (
        f"{size(taken['bytes'])} in {SHARDS} shards from {taken['sender']}, {seconds:.1f} s, "
        f"{'checksum equal' if taken['digest'] == sample.digest else 'another checksum'}; "
        # The manifest counts as one of them.
        f"{taken['shards'] - 1} taken once, {taken['repeated']} repeated"
    )
    ok = (taken["digest"], taken["sender"]) == (sample.digest, sender)
    return Check("object", ok and taken["shards"] == SHARDS + 1, detail)


def _sent(stage: Stage) -> Path:
    return stage.state.folder / "sent.json"


def _received(stage: Stage) -> Path:
    return stage.state.folder / "received.json"


def _said(program: Process, file: Path) -> dict[str, Any]:
    """What the program writes when it is done. Raises ProcessError when it does not."""
    program.wait_until("done", file.exists, PATIENCE)
    said: dict[str, Any] = json.loads(file.read_text())
    return said


SCENARIO: Final = Scenario(
    summary="an object in shards over several connections, one of which is ended in the middle",
    pods=("sender", "receiver", "control"),
    play=play,
)
