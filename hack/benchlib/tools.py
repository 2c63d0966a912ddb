"""The programs a benchmark runs: our load tools, the peers, Debian's iperf3."""

import importlib.util
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchlib import machine
from benchlib.errors import BenchError
from lab import command

REPOSITORY = Path(__file__).resolve().parents[2]
PEERS = REPOSITORY / "hack" / "peers"
WIREGUARD = REPOSITORY / ".stoq" / "peers" / "wireguard-go"  # built by hack/setup --bench

_SYSTEM = {
    "ip": "iproute2",
    "ss": "iproute2",
    "iperf3": "iperf3",
    "openssl": "openssl",
    "setpriv": "util-linux",
    "sysctl": "procps",
}


@dataclass(frozen=True, slots=True)
class Tools:
    """Where they are. Folders are readable by the relays' user."""

    binaries: Path  # of hack/peers
    envoy: Path | None
    wireguard: Path | None = None

    def peer(self, name: str) -> str:
        """The path of one of our own programs."""
        return str(self.binaries / name)

    def need_envoy(self) -> str:
        """Envoy's path; raises BenchError with the way to get it."""
        if self.envoy is None:
            raise BenchError("Envoy is missing: run hack/setup --bench")
        return str(self.envoy)

    def need_wireguard(self) -> str:
        """wireguard-go's path; raises BenchError with the way to get it."""
        if self.wireguard is None:
            raise BenchError("wireguard-go is missing: run hack/setup --bench")
        return str(self.wireguard)

    def versions(self) -> dict[str, str]:
        """What was measured, for the record."""
        versions = {
            "iperf3": command.run(["iperf3", "--version"], timeout=5).stdout.split("\n")[0],
            "quinn": _locked_version("quinn"),
            "stoq": machine.revision(REPOSITORY),
        }
        if self.wireguard is not None:
            module = (PEERS / "wireguard-go" / "go.mod").read_text()
            versions["wireguard-go"] = required_version(module, "golang.zx2c4.com/wireguard")
        if self.envoy is not None:
            said = command.run([str(self.envoy), "--version"], timeout=10).stdout
            match = re.search(r"/(\d+\.\d+\.\d+)/", said)
            versions["envoy"] = match.group(1) if match else said.strip()
        return versions


def find(*, peers: bool = True, smoke: bool = False) -> Tools:
    """Builds our own programs where needed, unless no `peers` are, and finds the others; for a
    `smoke` run in less time, and slower ones. Raises BenchError.
    """
    missing = sorted({package for tool, package in _SYSTEM.items() if shutil.which(tool) is None})
    if missing:
        raise BenchError(f"missing programs: apt-get install {' '.join(missing)}")
    profile = "smoke" if smoke else "release"
    wireguard = WIREGUARD if WIREGUARD.exists() else None
    return Tools(_build_peers(profile) if peers else PEERS, _find_envoy(), wireguard)


def _build_peers(profile: str) -> Path:
    if shutil.which("cargo") is None:
        raise BenchError("cargo is missing: run hack/setup")
    build = ["cargo", "build", "--locked", f"--profile={profile}"]
    build += ["--message-format=json-render-diagnostics"]
    done = subprocess.run(build, cwd=PEERS, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(
            f"hack/peers does not build: {' '.join(build)} in {PEERS}. If cargo says that the lock "
            "file needs an update, a crate of the engine has changed what it depends on: run "
            "'cargo metadata --offline' there and commit Cargo.lock"
        )
    for line in done.stdout.splitlines():
        if executable := json.loads(line).get("executable"):
            return Path(executable).parent
    raise BenchError("cargo built hack/peers and named no program")


def _find_envoy() -> Path | None:
    spec = importlib.util.find_spec("envoy")
    if spec is None or spec.origin is None:
        return None
    binary = Path(spec.origin).parent / "_bin" / "envoy"
    return binary if binary.exists() else None


def required_version(module: str, package: str) -> str:
    """The version of `package` that a go.mod asks for."""
    match = re.search(rf"^\s*(?:require )?{re.escape(package)} v(\S+)", module, re.MULTILINE)
    return match.group(1) if match else "unknown"


def _locked_version(package: str) -> str:
    lock = (PEERS / "Cargo.lock").read_text()
    match = re.search(rf'name = "{package}"\nversion = "([^"]+)"', lock)
    return match.group(1) if match else "unknown"
