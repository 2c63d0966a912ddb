import asyncio
import os
import signal
import subprocess
import sys

import pytest
from yaml import safe_load

from stoq.engine import parse_certificate
from stoq.records.meta import Key
from stoq.settings.options import SettingsError
from stoq.signing import token_hash
from stoq_operator import join
from stoq_operator.embedded import FAILED, REFUSED, main
from stoq_operator.filestate import FileRoots
from stoq_operator.settings import read
from stoq_operator.state import StateDirectory
from support.control import control as make_control
from support.patience import PATIENCE


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith("STOQ_"):
            monkeypatch.delenv(name)


@pytest.fixture
def store(tmp_path):
    found = tmp_path / "store"
    found.mkdir()
    return found


def manifest(store, name="workload-shop-web.yaml"):
    return safe_load((store / name).read_text())


def test_a_join_token_for_a_new_workload_writes_its_manifest(store, capsys):
    arguments = ["join-token", "shop/web", "--store", str(store), "--address", "FD00::2"]
    assert main([*arguments, "--service-account", "front", "--netns", "/run/netns/web"]) == 0
    token = capsys.readouterr().out.strip()
    assert manifest(store) == {
        "apiVersion": "stoq.dev/v1alpha1",
        "kind": "Workload",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "addresses": ["fd00::2"],
            "serviceAccount": "front",
            "joinTokenHash": token_hash(token),
            "netns": "/run/netns/web",
        },
    }


def test_a_token_goes_to_a_file_that_only_its_owner_reads(store, tmp_path, capsys):
    output = tmp_path / "token"
    arguments = ["join-token", "shop/web", "--store", str(store), "--address", "fd00::2"]
    assert main([*arguments, "--output", str(output)]) == 0
    assert capsys.readouterr().out == ""
    assert output.stat().st_mode & 0o777 == 0o600
    assert token_hash(output.read_text().strip()) == manifest(store)["spec"]["joinTokenHash"]


def test_a_new_token_for_a_known_workload_changes_nothing_but_the_hash(store, capsys):
    main(["join-token", "shop/web", "--store", str(store), "--address", "fd00::2"])
    path = store / "workload-shop-web.yaml"
    path.write_text("# kept\n" + path.read_text())
    before = path.read_text()
    capsys.readouterr()
    assert main(["join-token", "shop/web", "--store", str(store)]) == 0
    token = capsys.readouterr().out.strip()
    old = safe_load(before)["spec"]["joinTokenHash"]
    assert path.read_text() == before.replace(old, token_hash(token))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["web"], "write <namespace>/<name>"),
        (["shop/web"], "give its --address"),
        (["shop/web", "--address", "nonsense"], "spec.addresses[0] is 'nonsense'"),
        (["shop/Web", "--address", "fd00::2"], "metadata.name is 'Web'"),
    ],
)
def test_a_join_token_that_can_not_be_is_refused_with_the_reason(store, capsys, arguments, says):
    assert main(["join-token", *arguments, "--store", str(store)]) == REFUSED
    assert says in capsys.readouterr().err
    assert list(store.iterdir()) == []


def test_a_join_token_needs_a_store_that_can_be_read(store, tmp_path, capsys):
    assert main(["join-token", "shop/web", "--store", str(tmp_path / "none")]) == REFUSED
    (store / "a.yaml").write_text("a: [")
    assert main(["join-token", "shop/web", "--store", str(store)]) == REFUSED
    assert "mend it first" in capsys.readouterr().err


def test_a_manifest_without_a_line_for_the_hash_is_left_to_its_author(store):
    with pytest.raises(join.JoinError, match="set it by hand"):
        join.with_token("spec: {}\n", Key("Workload", "shop", "web"), "t")


def test_a_rotation_is_asked_for_in_the_state_directory(tmp_path, capsys):
    assert main(["rotate-root", "--state", str(tmp_path / "state")]) == 0
    assert (tmp_path / "state" / "ca" / "rotate").exists()


def test_a_root_is_made_without_a_mesh_and_never_in_the_place_of_another(tmp_path, capsys):
    state = tmp_path / "root"
    asked = ["make-root", "--state", str(state), "--trust-domain", "example.org"]
    assert main(asked) == 0
    (found,) = FileRoots(StateDirectory(state)).roots
    assert parse_certificate(found.certificate).spiffe_id == "spiffe://example.org"
    assert "root of example.org, hybrid-1024" in capsys.readouterr().out
    files = {path.name for path in (state / "ca").iterdir()}
    assert files == {f"{found.root.name}.key", f"{found.root.name}.crt", "roots.json"}
    assert main(asked) == FAILED
    assert "has a root already; choose another" in capsys.readouterr().err
    assert FileRoots(StateDirectory(state)).roots == (found,)


def test_every_setting_is_listed_with_its_reason(capsys):
    assert main(["settings"]) == 0
    assert "STOQ_LISTEN_ADDRESS (default [::]:14012)" in capsys.readouterr().out


def test_the_help_has_examples(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "stoq-control join-token" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("environment", "flags", "says"),
    [
        ({"STOQ_STORE_DIRECTROY": "x"}, {}, "STOQ_STORE_DIRECTROY is unknown"),
        ({"STOQ_MESH_TRUST_DOMAIN": "A B"}, {}, "STOQ_MESH_TRUST_DOMAIN: 'A B' is no trust domain"),
        ({}, {"listen": "fd00::1"}, "STOQ_LISTEN_ADDRESS is 'fd00::1'"),
        ({"STOQ_CONFIG_FILE": "/nowhere"}, {}, "STOQ_CONFIG_FILE is '/nowhere'"),
    ],
)
def test_settings_that_can_not_be_are_refused(environment, flags, says):
    with pytest.raises(SettingsError, match=says.replace("[", r"\[")):
        read("", environment, flags)


def test_a_flag_wins_over_variable_and_file(tmp_path):
    config = tmp_path / "control.toml"
    config.write_text('[store]\ndirectory = "/file"\n[state]\ndirectory = "/file"\n')
    environment = {"STOQ_STORE_DIRECTORY": "/variable", "STOQ_STATE_DIRECTORY": "/variable"}
    found = read(str(config), environment, {"store": "/flag", "state": None})
    assert (found.store.directory, found.state.directory) == ("/flag", "/variable")
    assert read(str(config), {}, {}).store.directory == "/file"


def test_a_bad_config_flag_is_an_error_of_the_user(capsys):
    assert main(["--config", "/nowhere"]) == REFUSED
    assert "--config" in capsys.readouterr().err


def test_a_process_that_can_not_start_says_why(tmp_path, capsys):
    stopped = make_control(tmp_path)
    (tmp_path / "state").mkdir(mode=0o755)
    flags = [f"--{name}={value}" for name, value in stopped.flags.items()]
    assert main(flags) == FAILED
    assert "chmod 700" in capsys.readouterr().err


def test_a_store_that_is_not_there_is_named(tmp_path, capsys):
    arguments = ["--store", str(tmp_path / "none"), "--state", str(tmp_path / "state")]
    assert main(arguments) == FAILED
    assert "name it with --store" in capsys.readouterr().err


def test_a_metrics_port_that_is_taken_is_named(tmp_path, capsys):
    import socket

    stopped = make_control(tmp_path)
    with socket.create_server(("::1", stopped.metrics), family=socket.AF_INET6):
        assert main([f"--{name}={value}" for name, value in stopped.flags.items()]) == FAILED
    assert f"[::1]:{stopped.metrics}" in capsys.readouterr().err


async def test_the_program_prints_its_settings_serves_and_stops_at_sigterm(tmp_path):
    stopped = make_control(tmp_path)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "stoq_operator.embedded",
        *(f"--{name}={value}" for name, value in stopped.flags.items()),
        stderr=subprocess.PIPE,
    )
    lines = []
    async with asyncio.timeout(PATIENCE):
        while not any("registry and CA on UDP" in line for line in lines):
            lines.append((await process.stderr.readline()).decode())
        assert (await stopped.get("/healthz"))[0] == 200
        process.send_signal(signal.SIGTERM)
        _, rest = await process.communicate()
    assert process.returncode == 0
    assert any("setting listen.address = [::1]:" in line for line in lines)
    assert "stopping" in rest.decode()
