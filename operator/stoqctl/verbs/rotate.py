"""`stoqctl rotate`: asks the operator for a new root."""

import time
from datetime import UTC, datetime
from typing import Any, Final

from stoq import constants
from stoqctl.connect import cluster
from stoqctl.gather import SYSTEM
from stoqctl.options import Context, Json, Kubeconfig
from stoqctl.output import print_json

EXAMPLES: Final = "Examples:\n\nstoqctl rotate\n\nstoqctl rotate --context production --json"

CA_SECRET: Final = f"{SYSTEM}/secrets/stoq-ca"


def run(kubeconfig: Kubeconfig = "", context: Context = "", as_json: Json = False) -> None:
    """Have the operator make a new root for the whole mesh.

    It is trusted everywhere at once and signs a day later, so that every sidecar knows it by then;
    the old root leaves the bundle one SVID life after that. No pod restarts and no connection is
    closed. In the embedded mode this is `stoq-control rotate-root`.
    """
    moment = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
    cluster(kubeconfig, context).patch(CA_SECRET, request(moment))
    if as_json:
        print_json({"requested": moment})
    else:
        print(f"asked for a new root at {moment}; `stoqctl check` shows the roots' life")


def request(moment: str) -> dict[str, Any]:
    """The patch of the Secret that asks for a rotation; the operator takes it away when done."""
    return {"metadata": {"annotations": {constants.ROTATE_ANNOTATION: moment}}}
