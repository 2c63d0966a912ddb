"""docs/stoqctl.md says what `stoqctl --help` says."""

from pathlib import Path

from stoqctl.manual import manual

ROOT = Path(__file__).parents[3]


def test_the_manual_is_that_of_the_program():
    """Renew it with `python -m stoqctl.manual > docs/stoqctl.md`."""
    assert (ROOT / "docs/stoqctl.md").read_text(encoding="utf-8") == manual()


def test_the_manual_has_every_verb_with_an_example():
    sections = manual().split("\n## ")[1:]
    names = [section.split("\n")[0] for section in sections]
    assert {"stoqctl check", "stoqctl policy import", "stoqctl bugreport"} <= set(names)
    for name, section in zip(names, sections, strict=True):
        assert name in section.split("```sh\n")[1]
