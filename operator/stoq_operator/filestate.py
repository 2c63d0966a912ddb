"""What the embedded control process keeps in its state directory: roots and virtual addresses."""

import logging
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stoq.records.service import ServiceRecord
from stoq_operator import vip
from stoq_operator.kept import KeptRoot, StateError
from stoq_operator.problem import Problem
from stoq_operator.rootfiles import LIST, pack, unpack
from stoq_operator.state import StateDirectory
from stoq_operator.world import World

log: Final = logging.getLogger(__name__)

ROTATE_FILE: Final = "ca/rotate"
"""Its existence asks for a new root."""


class FileRoots:
    """A `RootStore` on `ca/` of the state directory. One process has it, so that one leads."""

    leads: Final = True
    problem: Final = None

    def __init__(self, state: StateDirectory) -> None:
        """Loads the roots. Raises `StateError`."""
        self._state = state
        files = {
            path.name: content
            for path in (state.path / "ca").iterdir()
            if path.suffix in {".key", ".crt", ".json"}
            and (content := state.read(f"ca/{path.name}")) is not None
        }
        self._roots = unpack(files, f"{state.path}/ca")
        self._told: tuple[Problem, ...] = ()

    @property
    def roots(self) -> tuple[KeptRoot, ...]:
        """See `RootStore`."""
        return self._roots

    @property
    def rotation_wanted(self) -> bool:
        """See `RootStore`."""
        return self._state.read(ROTATE_FILE) is not None

    async def keep(self, roots: tuple[KeptRoot, ...]) -> None:
        """See `RootStore`."""
        files = pack(roots)
        # Everything that the list names is there before the list, and until after it.
        for name, content in files.items():
            if name != LIST:
                self._state.write(f"ca/{name}", content)
        self._state.write(f"ca/{LIST}", files[LIST])
        for name in pack(self._roots):
            if name not in files:
                self._state.remove(f"ca/{name}")
        self._state.remove(ROTATE_FILE)
        self._roots = roots

    def judged(self, refused: Problem | None, notices: Sequence[Problem] = ()) -> None:
        """See `RootStore`. The files are read once."""
        if refused is not None:
            raise StateError(f"{self._state.path}/ca: {refused.text}")
        for notice in notices:
            if notice not in self._told:
                log.warning("%s/ca: %s", self._state.path, notice.text)
        self._told = tuple(notices)


class FileVips:
    """Gives addresses, and remembers them in `vips.json`."""

    def __init__(self, state: StateDirectory) -> None:
        """Loads the addresses given before. Raises `StateError`."""
        self._state = state
        self._given = _load(state)

    def of(self, world: World) -> Mapping[str, str]:
        """See `Vips`. Addresses that can not be saved are in force all the same."""
        wanted = [
            f"{record.metadata.namespace}/{record.metadata.name}"
            for record in world.records.values()
            if isinstance(record, ServiceRecord)
        ]
        self._given = vip.allocate(world.mesh.vip_range, self._given, wanted)
        content = msgspec.json.encode(dict(sorted(self._given.items())))
        try:
            if self._state.read("vips.json") != content:
                self._state.write("vips.json", content)
        except StateError as error:
            log.error("virtual addresses are not saved: %s", error)
        return self._given


def _load(state: StateDirectory) -> dict[str, str]:
    found = state.read("vips.json")
    try:
        return msgspec.json.decode(found, type=dict[str, str]) if found else {}
    except msgspec.DecodeError as error:
        raise StateError(
            f"{state.path}/vips.json: {error}; delete it and addresses are given anew"
        ) from error
