"""Is the mesh itself installed and well? Pure."""

import base64
import binascii
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from stoq import constants
from stoq.records.mesh import RootsReason
from stoqctl.finding import Finding
from stoqctl.judge import certificates
from stoqctl.judge.facts import Facts, Object, condition, few, name
from stoqctl.output import duration

OLDEST: Final = (1, 30)
"""Kubernetes with native sidecars (1.29) and ValidatingAdmissionPolicy (1.30) switched on."""

KINDS: Final = (
    "accesspolicies",
    "hopgateways",
    "meshconfigs",
    "revocations",
    "servicerecords",
    "transportpolicies",
)
GROUP: Final = "stoq.dev"
CAPABILITIES: Final = "nodecapabilities"
"""A kind of ours that only node agents need."""
VERSION: Final = "v1alpha1"

WEBHOOK: Final = "stoq-injector"
SYSTEM: Final = constants.SYSTEM_NAMESPACE
OPERATOR: Final = constants.OPERATOR_SERVICE_ACCOUNT

CERTIFICATE_WARNING: Final = 7 * 86400
"""Seconds: the operator renews long before; less left means that it does not."""

ROOT_WARNING: Final = 90 * 86400

LEASE_SECONDS: Final = 60
"""A leader renews every few seconds."""

INSTALL: Final = f"helm install stoq charts/stoq -n {SYSTEM} --create-namespace"


def api(facts: Facts) -> Iterator[Finding]:
    """The API server, whether or not the mesh is installed."""
    text = f"{facts.version.get('major', '?')}.{facts.version.get('minor', '?')}"
    digits = re.match(r"(\d+)\.(\d+)", text)
    new_enough = digits is not None and (int(digits[1]), int(digits[2])) >= OLDEST
    oldest = ".".join(map(str, OLDEST))
    yield Finding(
        "Kubernetes version",
        new_enough,
        f"{facts.version.get('gitVersion', text)}, {oldest} or later is needed",
        f"upgrade the cluster to {oldest}: sidecars must be able to start before, and end after, "
        "the application",
    )
    for denied in facts.denied:
        yield Finding(
            "rights", False, denied, "use a context that may read it, or ask for the right"
        )


def nodes(facts: Facts) -> Iterator[Finding]:
    """Machines that pods of the mesh can run on."""
    foreign = [name(node) for node in facts.nodes if _system(node) != "linux"]
    unready = [
        name(node)
        for node in facts.nodes
        if (condition(node, "Ready") or {}).get("status") != "True"
    ]
    yield Finding(
        "nodes",
        not unready,
        f"not ready: {few(unready)}"
        if unready
        else f"{len(facts.nodes)} ready"
        + (f"; not Linux, so never meshed: {few(foreign)}" if foreign else ""),
        "see `kubectl describe node`",
    )


def _system(node: Object) -> str:
    return str(node.get("status", {}).get("nodeInfo", {}).get("operatingSystem", "linux"))


def before(facts: Facts) -> Iterator[Finding]:
    """Nothing stands in the way of an installation."""
    lacking = [right for right, allowed in facts.rights.items() if not allowed]
    yield Finding(
        "rights to install",
        not lacking,
        f"you may not {few(lacking)}" if lacking else "all that the chart needs",
        "install as a cluster administrator",
    )
    foreign = sorted(
        item
        for item in facts.crds
        if item not in {f"{kind}.{GROUP}" for kind in (*KINDS, CAPABILITIES)}
    )
    yield Finding(
        "names",
        not foreign,
        f"{few(foreign)} use our group" if foreign else f"nobody else uses {GROUP}",
        f"remove them: kubectl delete crd {' '.join(foreign)}",
    )
    orphan = facts.webhook is not None and facts.deployment is None
    yield Finding(
        "left over",
        not orphan,
        f"webhook {WEBHOOK} without an operator: new pods of enrolled namespaces are refused"
        if orphan
        else "nothing of an earlier installation is in the way",
        f"kubectl delete mutatingwebhookconfiguration {WEBHOOK}",
    )


def definitions(facts: Facts) -> Finding:
    """The custom resource definitions."""
    wrong = []
    for kind in KINDS:
        crd = facts.crds.get(f"{kind}.{GROUP}")
        if crd is None:
            wrong.append(f"{kind} is missing")
        elif (condition(crd, "Established") or {}).get("status") != "True":
            wrong.append(f"{kind} is not established")
        elif VERSION not in {item["name"] for item in crd["spec"]["versions"] if item["served"]}:
            wrong.append(f"{kind} is not served as {VERSION}")
    return Finding(
        "custom resources",
        not wrong,
        few(wrong) if wrong else f"{len(KINDS)} kinds of {GROUP}/{VERSION}",
        "kubectl apply --server-side -f crds/",
    )


def operator(facts: Facts, now: float) -> Iterator[Finding]:
    """The operator's replicas and its leader."""
    if facts.deployment is None:
        yield Finding("operator", False, f"no Deployment {SYSTEM}/{OPERATOR}", INSTALL)
        return
    wanted = facts.deployment["spec"].get("replicas", 1)
    ready = (facts.deployment.get("status") or {}).get("readyReplicas", 0)
    yield Finding(
        "operator",
        ready >= wanted,
        f"{ready} of {wanted} replicas ready",
        f"kubectl -n {SYSTEM} get pods; stoqctl logs --operator",
    )
    spec = (facts.lease or {}).get("spec") or {}
    holder, renewed = spec.get("holderIdentity") or "", spec.get("renewTime") or ""
    age = now - datetime.fromisoformat(renewed).timestamp() if renewed else 0.0
    alive = bool(holder) and age < LEASE_SECONDS
    yield Finding(
        "leader",
        alive,
        f"{holder}, renewed {duration(max(age, 0))} ago" if holder else "no replica leads",
        "without one nothing is written to the cluster; stoqctl logs --operator says why",
    )


def webhook(facts: Facts, now: float) -> Iterator[Finding]:
    """Injection: the configuration, whom it trusts, and the certificate."""
    if facts.webhook is None:
        yield Finding(
            "webhook",
            False,
            f"no MutatingWebhookConfiguration {WEBHOOK}: no pod is meshed",
            INSTALL,
        )
        return
    bundles = {
        entry.get("clientConfig", {}).get("caBundle", "") for entry in facts.webhook["webhooks"]
    }
    fix = (
        f"kubectl -n {SYSTEM} delete secret stoq-webhook-tls, and the operator makes a new one; if "
        "that changes nothing, stoqctl logs --operator says why"
    )
    if "" in bundles:
        yield Finding("webhook", False, "it has no caBundle yet", fix)
        return
    try:
        ends = [end for text in bundles for end in certificates.expiries(base64.b64decode(text))]
    except (certificates.NotACertificate, binascii.Error) as error:
        yield Finding("webhook", False, f"its caBundle is no certificate: {error}", fix)
        return
    yield _lasting("webhook", "the authority in its caBundle", min(ends), now, fix)
    if facts.serving_pem:
        try:
            end = min(certificates.expiries(facts.serving_pem))
        except certificates.NotACertificate as error:
            yield Finding("webhook certificate", False, f"it can not be read: {error}", fix)
        else:
            yield _lasting("webhook certificate", "the certificate", end, now, fix)


def _lasting(
    check: str, what: str, end: float, now: float, fix: str, least: float = CERTIFICATE_WARNING
) -> Finding:
    left = end - now
    if left <= 0:
        return Finding(check, False, f"{what} ended {duration(left)} ago", fix)
    return Finding(check, left > least, f"{what} is valid for {duration(left)}", fix)


def mesh(facts: Facts) -> Finding:
    """There is one configuration, and the operator accepts it."""
    names = [name(item) for item in facts.meshes]
    return Finding(
        "mesh configuration",
        names == ["default"],
        f"MeshConfig {', '.join(names) or 'none'}",
        "the first by name holds: delete the others"
        if len(names) > 1
        else "the operator makes MeshConfig default; stoqctl logs --operator says why it did not",
    )


def roots(facts: Facts, now: float) -> Iterator[Finding]:
    """The roots that the operator can not use, and those that the enrolled namespaces trust."""
    for item in facts.meshes:
        ready = condition(item, "Ready") or {}
        if ready.get("status") == "False" and ready.get("reason") in set(RootsReason):
            yield Finding(
                "root secret",
                False,
                str(ready.get("message")),
                f"mend Secret {SYSTEM}/stoq-ca as docs/operations.md says, A root of your own: the "
                "operator takes it up without a restart",
            )
    missing = [name(item) for item in facts.enrolled if name(item) not in facts.bundles]
    if missing:
        yield Finding(
            "trust bundle",
            False,
            f"ConfigMap stoq-trust is missing in {few(missing)}: pods wait for it",
            "the operator writes it; stoqctl logs --operator says why it did not",
        )
    distinct = set(facts.bundles.values())
    if not distinct:
        return
    try:
        end = max(end for bundle in distinct for end in certificates.expiries(bundle))
    except certificates.NotACertificate as error:
        yield Finding("roots", False, f"stoq-trust is no certificate: {error}", "stoqctl rotate")
        return
    if len(distinct) > 1:
        yield Finding(
            "trust bundle",
            False,
            f"{len(distinct)} different ones among the namespaces",
            "wait a minute for the operator; then see stoqctl logs --operator",
        )
    yield _lasting("roots", "the last root", end, now, "stoqctl rotate", ROOT_WARNING)
