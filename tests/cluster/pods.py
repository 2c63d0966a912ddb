"""Pods for tests, as the API server takes them: one busybox, which is on every node."""

from typing import Any

IMAGE = "localhost/busybox:local"

Object = dict[str, Any]

# A process 1 that has no handler ignores SIGTERM, and every deletion would take 30 seconds.
WAIT = ["sh", "-c", "trap exit TERM; while :; do sleep 0.1; done"]


def serve(text: str, port: int = 8080) -> list[str]:
    """A command that answers HTTP requests on a port, of either IP version, with `text`."""
    server = f"mkdir /tmp/www; echo {text} > /tmp/www/index.html; httpd -f -p {port} -h /tmp/www"
    return ["sh", "-c", f"trap 'exit 0' TERM; {server} & wait"]


def container(name: str, command: list[str], **more: Any) -> Object:
    return {
        "name": name,
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": command,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **more,
    }


def pod(name: str, command: list[str], node: str = "", **spec: Any) -> Object:
    """A pod with one container, `main`; on `node` when named."""
    placed = {"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container("main", command)], **placed, **spec},
    }


def serving(name: str, *ports: int, **spec: Any) -> Object:
    """A pod that answers with its name on several ports."""
    listen = " ".join(f"httpd -f -p {port} -h /tmp/www &" for port in ports)
    say = f"mkdir /tmp/www; echo {name} > /tmp/www/index.html; trap 'exit 0' TERM"
    return pod(name, ["sh", "-c", f"{say}; {listen} wait"], **spec)


def service(name: str, **spec: Any) -> Object:
    """A Service on port 80 for the pod of the same name."""
    ports = [{"port": 80, "targetPort": 8080}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": ports, **spec},
    }
