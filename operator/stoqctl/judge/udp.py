"""Is the applications' UDP captured? Pure."""

from typing import Final

from stoq.injection import names
from stoqctl.finding import Finding
from stoqctl.judge.facts import Facts, Object, few, name
from stoqctl.judge.workloads import lives, meshed, sidecar

VARIABLE: Final = "STOQ_CAPTURE_UDP"
UNWANTED: Final = f"{names.PREFIX}capture-udp"


def findings(facts: Facts) -> Finding:
    """All meshed pods do the same, but for those that do not want it: between one that captures UDP
    and one that does not there is none.
    """
    pods = [pod for pod in facts.pods if lives(pod) and meshed(pod)]
    other = [name(pod) for pod in pods if captures(pod) != facts.capture_udp and not _unwanted(pod)]
    unwanted = [name(pod) for pod in pods if _unwanted(pod)]
    if other:
        does = "is not captured" if facts.capture_udp else "is captured"
        detail = (
            f"that of {few(other)} {does}, as when they were made; that of new pods "
            f"{'is' if facts.capture_udp else 'is not'}, and no UDP passes between the two"
        )
    elif not facts.capture_udp:
        detail = f"not captured ({why_not(facts)}): it passes as it is, in plaintext"
    else:
        detail = f"captured in {len(pods) - len(unwanted)} of {len(pods)} pods"
        detail += f"; not in {few(unwanted)}, which do not want it" if unwanted else ""
    places = sorted({item.partition("/")[0] for item in other})
    return Finding(
        "applications' UDP",
        not other,
        detail,
        " && ".join(f"kubectl -n {place} rollout restart deploy,sts,ds" for place in places),
    )


def why_not(facts: Facts) -> str:
    """The value of the chart that says so."""
    return "capture.mode=init" if facts.capture == "init" else "capture.udp=false"


def captures(pod: Object) -> bool:
    """Whether the pod was made so that its UDP is captured."""
    variables = (sidecar(pod["spec"]) or {}).get("env") or ()
    return any((item["name"], item.get("value")) == (VARIABLE, "on") for item in variables)


def _unwanted(pod: Object) -> bool:
    said = (pod["metadata"].get("annotations") or {}).get(UNWANTED) or ""
    return str(said).strip() == "off"
