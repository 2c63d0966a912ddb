"""Section 20 of docs/wire-format.md has every code point, as engine and reference have them."""

import re
from enum import IntEnum
from pathlib import Path

from stoq import constants
from stoq_reference import control, frames, head, key_exchange, parameters, tokens
from stoq_reference.carriers import Extension
from stoq_reference.codes import ConnectionCode, StreamCode
from stoq_reference.composite import LABEL, Scheme
from stoq_reference.endpoint import ALPN
from stoq_reference.frames import Type
from support.vectors import vectors

ROOT = Path(__file__).parents[3]
ENGINE = ROOT / "sidecar" / "engine" / "crates"
FORMAT = (ROOT / "docs" / "wire-format.md").read_text(encoding="utf-8")
BEFORE, REGISTRY = FORMAT.split("\n## 20. Code points\n")

Rows = dict[str, str]
"""What is in a table's second column, by its first."""


def tables(text: str) -> list[Rows]:
    """The tables of a part of the document, without their heads."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in block.splitlines()]
        found.append({cells[0]: cells[1] for cells in lines[2:]})
    return found


def under(heading: str) -> list[Rows]:
    """The tables of a part of the registry."""
    _, _, rest = REGISTRY.partition(f"\n### {heading}\n")
    part = tables(rest.split("\n### ")[0])
    assert part, heading
    return part


def rust(file: str) -> str:
    return (ENGINE / file).read_text(encoding="utf-8")


def constant(file: str, name: str) -> str:
    """What a constant of the engine is set to, without the punctuation of Rust."""
    found = re.search(rf"\bconst {name}: [^=]+ =\s*(.+?);", rust(file))
    assert found, (file, name)
    return found[1].removeprefix("*").removeprefix('b"').removesuffix('"').removesuffix("\\0")


def of(enum: type[IntEnum]) -> Rows:
    return {f"{member:#04x}": member.name.lower() for member in enum}


def test_names_are_those_of_both() -> None:
    (names,) = under("Names")
    said = {what: value.strip("`") for what, value in names.items()}
    wire, core = "stoq-wire/src", "stoq-core/src/tls"
    assert said == {
        "ALPN": ALPN,
        "UDP port between workloads": str(constants.STOQ_PORT),
        "UDP port of the control plane": str(constants.CONTROL_PORT),
        "NamedGroup X25519MLKEM768 (of IANA)": f"{key_exchange.GROUP:#x}",
        "label of CertificateVerify": LABEL.rstrip(b"\0").decode(),
        "label of a re-authentication": control.LABEL.rstrip(b"\0").decode(),
        "label of a token": tokens.LABEL.rstrip(b"\0").decode(),
        "label of a signature": frames.SIGNATURE_LABEL.rstrip(b"\0").decode(),
        "exporter of a re-authentication": control.EXPORTER_LABEL.decode(),
        "exporter of tokens": tokens.EXPORTER_LABEL.decode(),
    }
    assert {
        name: constant(file, const)
        for name, (file, const) in {
            "ALPN": (f"{wire}/lib.rs", "ALPN"),
            "label of CertificateVerify": (f"{core}/composite.rs", "DOMAIN_LABEL"),
            "label of a re-authentication": (f"{wire}/control.rs", "SIGNED_LABEL"),
            "label of a token": (f"{wire}/frame/token.rs", "LABEL"),
            "label of a signature": (f"{wire}/frame/signature.rs", "LABEL"),
            "exporter of a re-authentication": (f"{wire}/control.rs", "EXPORTER_LABEL"),
            "exporter of tokens": (f"{wire}/frame/token.rs", "EXPORTER_LABEL"),
        }.items()
    }.items() <= said.items()


def test_the_revision_is_that_of_both() -> None:
    (revisions,) = under("Revisions")
    assert list(revisions) == [str(parameters.Parameters().revision)]
    assert list(revisions) == [constant("stoq-wire/src/parameters.rs", "REVISION")]


def test_signature_schemes_are_those_of_both() -> None:
    (schemes,) = under("Signature schemes")
    names = {
        value: f"{name.split(' and ')[0]}_{name.split(' and ')[1].replace('-', '_')}".upper()
        for value, name in schemes.items()
    }
    assert names == {f"{scheme:#x}": scheme.name for scheme in Scheme}
    for value, name in names.items():
        assert f"({value})" in constant("stoq-core/src/tls/composite.rs", name)


def test_transport_parameters_are_those_of_both() -> None:
    (ids,) = under("Transport parameters")
    ours = range(parameters.REVISION, parameters.PUBLIC_KEY + 1)
    assert list(ids) == [f"{id_:#x}" for id_ in ours]
    section = BEFORE.partition("## 3. Transport parameters")[2]
    assert ids == tables(section)[0]
    source = "stoq-wire/src/parameters.rs"
    assert int(constant(source, "BASE").replace("_", ""), 16) == ours[0]
    names = ("EXTENSIONS", "PACKET_RESERVE", "MAX_SHARD", "KEY_ID", "KEY")
    assert [constant(source, name) for name in names] == [f"BASE + {n}" for n in range(1, 6)]


def test_extensions_are_those_of_both() -> None:
    (bits,) = under("Extensions")
    assert bits == {str(bit.value.bit_length() - 1): bit.name for bit in Extension}
    source = rust("stoq-wire/src/extension.rs")
    found = re.findall(r"^pub const (\w+): u64 = 1(?: << (\d+))?;", source, re.MULTILINE)
    assert bits == {bit or "0": name for name, bit in found}


def test_frames_and_their_forms_are_those_of_both() -> None:
    (types,) = under("Frames")
    assert types == {f"{type_:#x}": type_.name for type_ in Type}
    source = rust("stoq-wire/src/frame.rs")
    assert int(constant("stoq-wire/src/frame.rs", "BASE").replace("_", ""), 16) == min(Type)
    assert list(types.values()) == re.findall(r'Self::\w+ => "([A-Z_]+)"', source)
    forms = {name: re.findall(r"\d+(?= [a-z])", line) for name, line in lines_of("Frames")}
    valid = vectors("frames.json")["valid"]
    seen = {(case["type"], str(case["value"]["form"])) for case in valid}
    assert seen <= {(name, form) for name, numbers in forms.items() for form in numbers}


def lines_of(heading: str) -> list[tuple[str, str]]:
    """The second and third column of a part's table."""
    part = REGISTRY.partition(f"\n### {heading}\n")[2].split("\n### ")[0]
    return re.findall(r"^\| 0x\w+ \| (\w+) \| (.+?) \|", part, re.MULTILINE)


def test_kinds_of_streams_are_those_of_both() -> None:
    (kinds,) = under("Kinds of streams")
    assert {name.split()[0].upper() for name in kinds.values()} == {k.name for k in head.Kind}
    for value, name in kinds.items():
        assert head.Kind[name.split()[0].upper()] == int(value)
    found = re.findall(r"Self::(\w+) => (\d+),", rust("stoq-wire/src/head.rs"))
    assert {name.upper(): int(value) for name, value in found} == {k.name: k for k in head.Kind}


def test_error_codes_are_those_of_both_and_of_section_6() -> None:
    connection, stream = under("Application error codes")
    assert (connection, stream) == (of(ConnectionCode), of(StreamCode))
    section = BEFORE.partition("\n## 6. Error codes\n")[2]
    assert tables(section)[:2] == [connection, stream]
    found = re.findall(r'= (0x\w+), "(\w+)";', rust("stoq-wire/src/code.rs"))
    assert dict(found) == connection | stream
