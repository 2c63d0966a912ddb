"""inotify instances: the kernel counts them for the whole machine, and kubelets need many."""

from pathlib import Path

from clusterlib.progress import say

INSTANCES = 8192
"""Every kubelet, containerd and watched file takes some; with the usual 128 a third or fourth node
fails with `inotify_init: too many open files`, and so does anything else root runs here."""

_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")


def make_room() -> None:
    """Raises the machine's limit where it is lower. It stays: other clusters count on it too."""
    before = int(_LIMIT.read_text())
    if before < INSTANCES:
        _LIMIT.write_text(str(INSTANCES))
        say(f"fs.inotify.max_user_instances: {before} -> {INSTANCES}, until this machine restarts")
