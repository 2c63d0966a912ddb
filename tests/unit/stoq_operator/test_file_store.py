import asyncio
import os
import textwrap
from contextlib import aclosing

import pytest
from yaml import safe_dump

from stoq.records.documents import DocumentError, parse
from stoq.records.manifest import encode
from stoq.records.meta import Key
from stoq_operator.files import MAX_FILE, FileStore
from stoq_operator.store import Batch, difference, fold
from support.patience import PATIENCE
from support.records import service, workload

WEB, DB = workload("web", "fd00::2"), workload("db", "fd00::3")


def write(path, *records):
    path.write_text("---\n".join(safe_dump(encode(item)) for item in records))


def settle(store):
    """A change is taken up by the second look that finds it the same."""
    store.look()
    store.look()


def records_of(store):
    return list(store._merged().values())


class Following:
    """A store being watched, and what it has said so far."""

    def __init__(self, directory):
        self.store = FileStore(directory, interval=0.01)
        self.records = {}
        self.batches = []
        self.heard = asyncio.Event()

    async def follow(self):
        async with aclosing(self.store.watch()) as batches:
            async for batch in batches:
                self.batches.append(batch)
                self.records = fold(self.records, batch)
                self.heard.set()

    async def until(self, *expected):
        async with asyncio.timeout(PATIENCE):
            while sorted(key.name for key in self.records) != sorted(expected):
                self.heard.clear()
                await self.heard.wait()


@pytest.fixture
async def following(tmp_path):
    follower = Following(tmp_path)
    task = asyncio.create_task(follower.follow())
    yield follower
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_first_batch_is_everything(tmp_path):
    write(tmp_path / "a.yaml", WEB, DB)
    store = FileStore(tmp_path)
    async with aclosing(store.watch()) as batches:
        assert await anext(batches) == Batch(put=(WEB, DB), complete=True)
    assert store.health.synced


async def test_an_empty_directory_is_a_complete_batch_too(following):
    async with asyncio.timeout(PATIENCE):
        await following.heard.wait()
    assert following.batches == [Batch(complete=True)]


async def test_files_that_come_change_and_go_are_followed(tmp_path, following):
    await following.until()
    write(tmp_path / "a.yaml", WEB)
    await following.until("web")
    write(tmp_path / "b.yml", DB)
    await following.until("db", "web")
    write(tmp_path / "a.yaml", workload("api", "fd00::5"))
    await following.until("api", "db")
    (tmp_path / "b.yml").unlink()
    await following.until("api")
    assert not following.batches[-1].complete
    assert following.batches[-1].delete == (Key("Workload", "shop", "db"),)


async def test_a_file_replaced_by_rename_is_followed(tmp_path, following):
    write(tmp_path / "a.yaml", WEB)
    await following.until("web")
    write(tmp_path / "fresh", DB)
    (tmp_path / "fresh").replace(tmp_path / "a.yaml")
    await following.until("db")


async def test_a_directory_that_is_not_there_yet_says_nothing(tmp_path):
    folder = tmp_path / "late"
    store = FileStore(folder, interval=0.01)
    async with aclosing(store.watch()) as batches:
        first = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(0.05)
        assert not first.done()
        assert not store.health.synced
        folder.mkdir()
        assert await asyncio.wait_for(first, PATIENCE) == Batch(complete=True)


def test_a_broken_file_keeps_its_last_good_records_and_says_where(tmp_path, caplog):
    write(tmp_path / "a.yaml", WEB)
    write(tmp_path / "b.yaml", DB)
    store = FileStore(tmp_path)
    settle(store)
    (tmp_path / "a.yaml").write_text(safe_dump(encode(WEB)) + "  broken: [\n")
    settle(store)
    assert records_of(store) == [WEB, DB]
    assert "line" in store.health.problems["a.yaml"]
    assert "a.yaml" in caplog.text
    assert "stays in force" in caplog.text
    write(tmp_path / "a.yaml", workload("web", "fd00::9"))
    settle(store)
    assert store.health.problems == {}
    assert workload("web", "fd00::9") in store._merged().values()


def test_a_broken_file_is_reported_once(tmp_path, caplog):
    (tmp_path / "a.yaml").write_text("a: [")
    store = FileStore(tmp_path)
    for _ in range(5):
        store.look()
    assert caplog.text.count("a.yaml") == 1


def test_a_file_is_not_read_while_it_is_being_written(tmp_path):
    write(tmp_path / "a.yaml", WEB)
    store = FileStore(tmp_path)
    store._synced = True
    store.look()
    write(tmp_path / "a.yaml", WEB, DB)
    store.look()
    assert store._merged() == {}
    store.look()
    assert records_of(store) == [WEB, DB]


def test_a_directory_that_disappears_takes_nothing_away(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    write(folder / "a.yaml", WEB)
    store = FileStore(folder)
    settle(store)
    folder.rename(tmp_path / "elsewhere")
    settle(store)
    assert records_of(store) == [WEB]
    assert "No such file" in store.health.problems[str(folder)]
    (tmp_path / "elsewhere").rename(folder)
    settle(store)
    assert store.health.problems == {}


def test_a_record_in_two_files_is_taken_from_the_first_and_reported(tmp_path):
    write(tmp_path / "a.yaml", WEB)
    write(tmp_path / "b.yaml", service("x", "fd00::2"), workload("web", "fd00::7"))
    store = FileStore(tmp_path)
    settle(store)
    assert WEB in store._merged().values()
    (place,) = store.health.problems
    assert place.startswith("b.yaml:")
    assert "already in a.yaml" in store.health.problems[place]
    (tmp_path / "a.yaml").unlink()
    settle(store)
    assert workload("web", "fd00::7") in store._merged().values()
    assert store.health.problems == {}


def test_hidden_files_and_other_kinds_are_left_alone(tmp_path):
    for name in (".a.yaml", "b.json", "c.yaml.new"):
        write(tmp_path / name, WEB)
    store = FileStore(tmp_path)
    settle(store)
    assert store._merged() == {}


def test_a_file_that_can_not_be_read_is_reported(tmp_path):
    (tmp_path / "a.yaml").mkdir()
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\xff")
    (tmp_path / "c.yaml").symlink_to(tmp_path / "nowhere")
    with (tmp_path / "d.yaml").open("wb") as huge:
        os.truncate(huge.fileno(), MAX_FILE + 1)
    store = FileStore(tmp_path)
    settle(store)
    assert "can not be read" in store.health.problems["a.yaml"]
    assert "can not be read" in store.health.problems["b.yaml"]
    assert "split it" in store.health.problems["d.yaml"]


def refused(text):
    with pytest.raises(DocumentError) as raised:
        parse(textwrap.dedent(text))
    return raised.value


HEAD = """\
apiVersion: stoq.dev/v1alpha1
kind: Workload
metadata:
  name: web
  namespace: shop
"""


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a: [", 1, "expected"),
        ("a:\n  - b\n c: d\n", 3, "expected"),
        ("a: \x00", 1, "not YAML"),
        ("- 1\n", 1, "write a mapping"),
        (HEAD + "spec:\n  addresses: [fd00::2, nonsense]\n", 7, "spec.addresses[1] is 'nonsense'"),
        (HEAD + "spec:\n  addresses:\n  - fd00::2\n  - ::1\n", 9, "no peer can reach it"),
        (HEAD + "spec:\n  serviceAccount: web\n", 6, "spec.addresses is missing"),
        (HEAD + "spec:\n  addresses: [fd00::2]\n  x: 1\n", 8, "no such field"),
        (HEAD + "spec:\n  addresses: [fd00::2]\nkind: Workload\n", 8, "kind is already on line 2"),
        (HEAD + "spec:\n  capture: [{a: 1, a: 2}]\n", 7, "a is already on line 7"),
        ("!!python/object:os.system {}", 1, "could not determine a constructor"),
    ],
)
def test_a_mistake_is_found_on_its_line(text, line, reason):
    error = refused(text)
    assert reason in error.reason
    assert error.line == line


def test_a_record_twice_in_one_file_is_a_mistake():
    text = HEAD + "spec: {addresses: [fd00::2]}\n"
    assert "already on line 1" in refused(text + "---\n" + text).reason


def test_empty_documents_are_skipped():
    assert parse("") == parse("---\n---\n# nothing\n") == ()


def test_folding_differences_leads_from_one_state_to_the_other():
    before = fold({}, Batch(put=(WEB,), complete=True))
    after = fold(before, Batch(put=(DB,), delete=(WEB.key, Key("Workload", "x", "y"))))
    assert list(after.values()) == [DB]
    assert fold(before, difference(before, after)) == after
    assert difference(after, after).empty
