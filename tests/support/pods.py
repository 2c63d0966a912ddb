"""Pods and a configuration for the tests of injection, and RFC 6902 by its letter."""

import copy
from collections.abc import Iterable
from typing import Any

from stoq.injection.config import Config

Object = dict[str, Any]

CONFIG = Config(sidecar_image="r.test/sidecar:1", init_image="r.test/init:1")


def pod(**spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web-0", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "r.test/web:1"}], **spec},
    }


def annotated(**annotations: str) -> Object:
    made = pod()
    made["metadata"]["annotations"] = {
        f"stoq.dev/{name.replace('_', '-')}": value for name, value in annotations.items()
    }
    return made


def applied(document: Object, operations: Iterable[Object]) -> Object:
    """`document` after the patch: an independent reading of RFC 6902, `add` and `replace`."""
    result = copy.deepcopy(document)
    for operation in operations:
        *parents, last = [
            part.replace("~1", "/").replace("~0", "~")
            for part in operation["path"].removeprefix("/").split("/")
        ]
        place = result
        for step in parents:
            place = place[step]
        assert (operation["op"] == "replace") == (last in place), operation
        place[last] = copy.deepcopy(operation["value"])
    return result
