"""Files that programs of a cluster read, and watch while they run."""

from pathlib import Path


def write(target: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Makes `target` hold `content`; one that does already is left alone.

    kube-proxy ends itself, to be started anew, when its file is written to, whatever is written. So
    running `up` again must not touch it, and nobody may ever see half a file.
    """
    wanted = content.encode() if isinstance(content, str) else content
    if target.is_file() and target.read_bytes() == wanted:
        return
    fresh = target.with_name(f".{target.name}.fresh")
    fresh.touch(mode=mode)
    fresh.write_bytes(wanted)
    fresh.replace(target)
