"""What docs/operations.md tells people to write and to run exists."""

import re
from pathlib import Path

from stoq.records.documents import parse
from stoq_operator.embedded import _parser
from stoq_operator.settings import FLAGS, Settings
from stoqctl.app import app

TEXT = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()


def test_the_manifests_are_accepted_as_they_stand() -> None:
    kinds = [
        item.record.KIND
        for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
        for item in parse(block)
    ]
    first = ["MeshConfig", "Workload", "ServiceRecord", "TransportPolicy"]
    ports = ["TransportPolicy"]
    striped = ["TransportPolicy"]
    mirrored = ["ServiceRecord", "ServiceRecord"]
    behind = ["HopGateway", "ServiceRecord"]
    joined = ["TransportPolicy"]
    assert kinds == first + ports + striped + mirrored + behind + joined


def test_the_table_of_flags_is_the_programs() -> None:
    rows = dict(re.findall(r"^\| `--([a-z-]+)` \| `(STOQ_\w+)` \|", TEXT, re.MULTILINE))
    rows.pop("config")
    flags = {
        flag.replace("_", "-"): f"STOQ_{group}_{name}".upper()
        for flag, (group, name) in FLAGS.items()
    }
    flags.pop("log-level")
    assert rows == flags
    assert {group for group, _ in FLAGS.values()} <= set(Settings.__dataclass_fields__)


def test_the_commands_of_stoq_control_are_parsed() -> None:
    text = TEXT.replace("\\\n", " ")
    commands = re.findall(r"^stoq-control (.*)$", text, re.MULTILINE)
    assert len(commands) >= 3
    for command in commands:
        _parser().parse_args(command.replace("'", "").split())


def test_the_verbs_of_stoqctl_exist() -> None:
    verbs = {command.name for command in app.registered_commands}
    used = set(re.findall(r"^stoqctl (\w+)", TEXT, re.MULTILINE))
    assert used <= verbs
    assert {"check", "revoke", "status"} <= used
