"""Image archives."""

import json
import tarfile
from pathlib import Path
from typing import Any

from clusterlib import images

IMAGE = images.Image(
    "localhost/x:1",
    {"/bin/tool": b"program"},
    links={"/bin/other": "tool"},
    texts={"/etc/deep/file": "text"},
    command=["tool"],
    user="1000",
)


def written(folder: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    images.write(folder / "image.tar", IMAGE)
    with tarfile.open(folder / "image.tar") as archive:
        files = {member.name: archive.extractfile(member) for member in archive}
        contents = {name: file.read() for name, file in files.items() if file}
    return contents, json.loads(contents["manifest.json"])[0]


def test_the_manifest_names_the_image_and_what_is_in_the_archive(tmp_path: Path) -> None:
    contents, manifest = written(tmp_path)
    assert manifest["RepoTags"] == ["localhost/x:1"]
    assert manifest["Config"] in contents
    assert set(manifest["Layers"]) <= set(contents)


def test_a_layer_has_folders_before_what_is_in_them(tmp_path: Path) -> None:
    contents, manifest = written(tmp_path)
    layer = tmp_path / "layer.tar"
    layer.write_bytes(contents[manifest["Layers"][0]])
    with tarfile.open(layer) as archive:
        members = {member.name: member for member in archive}
    names = list(members)
    assert names.index("etc") < names.index("etc/deep") < names.index("etc/deep/file")
    assert members["bin/tool"].mode == 0o755
    assert members["etc/deep/file"].mode == 0o644
    assert members["bin/other"].linkname == "tool"
    assert members["tmp"].mode == 0o1777


def test_files_come_on_top_of_finished_layers(tmp_path: Path) -> None:
    images.write(tmp_path / "x.tar", images.Image("localhost/x:1", {"/a": b"a"}, base=[b"tar"]))
    with tarfile.open(tmp_path / "x.tar") as archive:
        manifest = json.loads(archive.extractfile("manifest.json").read())[0]
        assert len(manifest["Layers"]) == 2
        assert archive.extractfile(manifest["Layers"][0]).read() == b"tar"
        config = json.loads(archive.extractfile(manifest["Config"]).read())
    assert len(config["rootfs"]["diff_ids"]) == len(config["history"]) == 2


def test_the_same_content_is_the_same_archive(tmp_path: Path) -> None:
    images.write(tmp_path / "a.tar", IMAGE)
    images.write(tmp_path / "b.tar", IMAGE)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
