"""A layer that import-linter cannot see, since a compiled module has no source for it to read."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]

COMPILED = "stoq._engine"
KERNEL = "stoq_node._kernel"


def modules() -> Iterator[tuple[str, Path]]:
    for root in (ROOT / "sidecar", ROOT / "operator", ROOT / "bpf"):
        for path in root.glob("stoq*/**/*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            yield ".".join(part for part in parts if part != "__init__"), path


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def test_only_the_facade_and_the_falcon_module_reach_the_compiled_engine() -> None:
    users = {name for name, path in modules() if COMPILED in imported(path)}
    allowed = {name for name in users if name == "stoq.falcon" or name.startswith("stoq.engine")}
    assert "stoq.engine.facade" in users
    assert users == allowed


def test_only_the_node_agent_loads_kernel_programs() -> None:
    users = {name for name, path in modules() if KERNEL in imported(path)}
    assert users
    assert {name.partition(".")[0] for name in users} == {"stoq_node"}


def test_only_modules_named_after_kubernetes_import_its_clients() -> None:
    users = {
        name
        for name, path in modules()
        if {whole.partition(".")[0] for whole in imported(path)} & {"kubernetes", "kopf"}
    }
    assert {name.rpartition(".")[2] for name in users} <= {"kube"}
