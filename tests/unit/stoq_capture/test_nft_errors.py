"""What is said when nft(8) cannot do its work. The programs here are real, small ones."""

from pathlib import Path

import pytest

from stoq.capture import nft
from stoq.capture.plan import Plan


def fake_nft(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "nft"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")


def test_a_missing_nft_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(nft.CaptureError, match="install the package 'nftables'"):
        nft.apply(Plan())


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        ("Operation not permitted", "CAP_NET_ADMIN"),
        ("Protocol not supported", "CONFIG_NF_TABLES"),
        ("Operation not supported", "NFT_REDIR"),
    ],
)
def test_nfts_own_words_are_passed_on_with_a_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, fix: str
) -> None:
    fake_nft(tmp_path, f"echo 'Error: {words}' >&2; exit 1", monkeypatch)
    with pytest.raises(nft.CaptureError, match=f"{words}(.|\n)*{fix}"):
        nft.apply(Plan())


def test_a_missing_module_is_told_from_a_missing_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_nft(tmp_path, "echo 'Error: No such file or directory' >&2; exit 1", monkeypatch)
    assert nft.verify(Plan()) == ["there is no table inet stoq"]
    with pytest.raises(nft.CaptureError, match=r"load nft_chain_nat(.|\n)*capture\.udp=false"):
        nft.apply(Plan())


def test_a_hanging_nft_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nft, "TIMEOUT", 0.1)
    fake_nft(tmp_path, "exec sleep 5", monkeypatch)
    with pytest.raises(nft.CaptureError, match="nft monitor"):
        nft.read()


def test_rules_that_do_not_stay_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_nft(tmp_path, "cat >/dev/null; echo '{\"nftables\": []}'", monkeypatch)
    with pytest.raises(nft.CaptureError, match="Another program rewrites"):
        nft.apply(Plan())
