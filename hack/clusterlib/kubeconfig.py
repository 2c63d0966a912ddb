"""How a client reaches and trusts the API server, and who it is. JSON is YAML, too."""

import base64
import json
from pathlib import Path

from clusterlib import settings
from clusterlib.pki import Pair


def write(target: Path, server: str, authority: Path, user: Pair, context: str) -> None:
    """Writes a kubeconfig with everything inside, readable by its owner alone."""
    text = json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": context,
                    "cluster": {
                        "server": server,
                        "certificate-authority-data": _base64(authority),
                    },
                }
            ],
            "users": [
                {
                    "name": context,
                    "user": {
                        "client-certificate-data": _base64(user.certificate),
                        "client-key-data": _base64(user.key),
                    },
                }
            ],
            "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
            "current-context": context,
        },
        indent=1,
    )
    settings.write(target, text, 0o600)


def _base64(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
