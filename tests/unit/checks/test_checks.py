"""The checks of the tree notice what they are for."""

from pathlib import Path

import pytest

from checks import crds, documents, sizes, tree


def _write(root: Path, files: dict[str, str]) -> list[str]:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return list(files)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("operator/__init__.py", "", "shadows Python's own operator"),
        ("tests/operator/test_a.py", "", "shadows Python's module"),
        ("sidecar/a.so", "", "built things"),
        ("requirements.lock", "# from https://somewhere", "names an address"),
        ("sidecar/a.py", "x = 1  # TO" + "DO later", "unfinished"),
        ("tests/a.py", "@pytest.mark." + "skip", "looks green"),
    ],
)
def test_what_may_not_be_in_the_tree_is_named(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (problem,) = tree.problems(tmp_path, _write(tmp_path, {name: text}))

    assert name in problem
    assert said in problem


def test_a_module_past_the_limit_is_named_and_its_tests_do_not_count(tmp_path: Path) -> None:
    code = "fn f() {}\n"
    names = _write(
        tmp_path,
        {
            "a.rs": code * 401,
            "b.rs": code * 300 + "#[cfg(test)]\nmod tests {\n" + code * 300 + "}\n",
            "tests/c.py": "x = 1\n" * 900,
        },
    )

    assert [line.split(":")[0] for line in sizes.problems(tmp_path, names)] == ["a.rs"]
    assert "median" in sizes.report(tmp_path, names)


def test_dead_links_and_unknown_commands_are_named(tmp_path: Path) -> None:
    text = """# One heading
[good](other.md) [anchor](#one-heading) [far](https://example.org) [dead](gone.md)
[no such heading](#two)
Run `hack/good`, not `hack/gone`.
```sh
./hack/good --option
stoq-known --help
stoq-unknown
```
"""
    names = _write(
        tmp_path,
        {
            "README.md": text,
            "other.md": "",
            "hack/good": "",
            "pyproject.toml": "[project.scripts]\nstoq-known = 'a:b'\n",
        },
    )
    found = documents.problems(tmp_path, names)

    assert len(found) == 4
    for part in ("gone.md", "#two", "hack/gone", "stoq-unknown"):
        assert any(part in line for line in found), part


def test_a_definition_that_the_chart_has_otherwise_is_named(tmp_path: Path) -> None:
    for place, text in {
        "crds/a.yaml": "a",
        "charts/stoq/files/crds/a.yaml": "a",
        "crds/b.yaml": "b",
        "charts/stoq/files/crds/b.yaml": "other",
        "crds/c.yaml": "c",
    }.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    names = [str(path.relative_to(tmp_path)) for path in tmp_path.glob("**/*.yaml")]

    found = crds.problems(tmp_path, names)

    assert [line.partition(":")[0] for line in found] == [
        "charts/stoq/files/crds/b.yaml",
        "charts/stoq/files/crds/c.yaml",
    ]
