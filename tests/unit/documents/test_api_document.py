"""docs/api.md shows the examples' own code, and the examples run."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from stoq.api import errors
from stoq.api.call import ServerLimits

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples" / "api"
TEXT = (ROOT / "docs" / "api.md").read_text()
SAID = """3 of apple
not found: there is no 'plum'; List names what there is
stored 2
pear: 5
plum: 7
fig? 1
pear? 5
by JSON: Item(name='fig', count=1)
"""


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
def test_each_block_is_a_part_of_an_example(block: str) -> None:
    sources = [path.read_text() for path in EXAMPLES.glob("*.py")]
    assert any(block in source for source in sources), block


def test_the_table_of_limits_is_the_servers() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| \d", TEXT, re.MULTILINE)
    assert rows == list(ServerLimits.__dataclass_fields__)


def test_the_table_of_errors_is_complete() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", TEXT, re.MULTILINE)
    known = {name: cls for name, cls in vars(errors).items() if isinstance(cls, type)}
    found = {name: status for name, status in rows if name in known}
    wanted = {error.__name__: str(error.status) for error in errors.ApiError.__subclasses__()}
    assert found.items() <= wanted.items()
    assert len(found) == 5


async def test_the_client_of_the_example_understands_its_server(tmp_path: Path) -> None:
    await program("identities.py", str(tmp_path))
    server = await asyncio.create_subprocess_exec(
        sys.executable, EXAMPLES / "server.py", tmp_path, "[::1]:0", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        port = (await asyncio.wait_for(server.stdout.readline(), 30)).split()[1].decode()
        assert await program("client.py", str(tmp_path), f"[::1]:{port}") == SAID
        server.terminate()
        assert await asyncio.wait_for(server.wait(), 30) == 0
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()


async def test_the_example_of_objects_takes_what_it_sends(tmp_path: Path) -> None:
    await program("identities.py", str(tmp_path))
    data = tmp_path / "data"
    data.write_bytes(bytes(200_000))
    async with serving(tmp_path, "take") as taker, serving(tmp_path, "shadow") as shadow:
        said = await program("objects.py", str(tmp_path), "send", str(data), taker.address)
        assert said == "200000 bytes sent\n"
        assert await taker.said() == "200000 bytes from spiffe://example.org/ns/shop/sa/web\n"
        both = (taker.address, shadow.address)
        assert await program("objects.py", str(tmp_path), "send", str(data), *both) == said
        copy_of = "spiffe://example.org/ns/shop/sa/inventory"
        assert await shadow.said() == f"200000 bytes, a copy of what is for {copy_of}\n"


@dataclass
class Serving:
    """An example that takes objects."""

    address: str
    output: asyncio.StreamReader

    async def said(self) -> str:
        return (await asyncio.wait_for(self.output.readline(), 30)).decode()


@asynccontextmanager
async def serving(folder: Path, what: str) -> AsyncIterator[Serving]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        EXAMPLES / "objects.py",
        *(folder, what, "[::1]:0"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        made = Serving("", process.stdout)
        made.address = f"[::1]:{(await made.said()).split()[1]}"
        yield made
    finally:
        process.terminate()
        await process.wait()


async def program(name: str, *arguments: str) -> str:
    """Runs one of the example's programs and returns what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, EXAMPLES / name, *arguments, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    return said.decode()
