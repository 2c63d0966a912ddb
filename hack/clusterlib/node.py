"""A node: containerd, kubelet and kube-proxy, with their settings. Pure.

A node has its own /run and /var, so everything is where it is on any other node.
"""

import json
from typing import Any

from clusterlib import images
from clusterlib.plan import DOMAIN, Node, Plan
from clusterlib.services import Service, flags

PROGRAMS = "/run/stoq/bin"
"""Where a node sees the programs, whatever /var and /run hide."""

CONTAINERD = "/run/containerd/containerd.sock"
KUBELET = "/var/lib/kubelet"
PROXY = "/var/lib/kube-proxy"
CNI = "/var/lib/cni/net.d"

_CONTAINERD_SETTINGS = f"""\
version = 3
disabled_plugins = ["io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs"]
[plugins."io.containerd.cri.v1.runtime"]
  # Without CAP_SYS_RESOURCE no process may be made less likely to be killed than its parent.
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni", "/opt/cni/bin"]
    conf_dir = "{CNI}"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        SystemdCgroup = false
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{images.PAUSE}"
"""


def services(node: Node) -> tuple[Service, ...]:
    """containerd first: without its socket the kubelet would only end again."""
    addresses = ",".join(map(str, node.addresses))
    settings: dict[str, object] = {
        "config": f"{KUBELET}/config.json",
        "kubeconfig": f"{KUBELET}/kubeconfig",
        "hostname-override": node.name,
        "node-ip": addresses,
    }
    return (
        Service("containerd", (f"{PROGRAMS}/containerd", "--config", "/var/lib/containerd.toml")),
        Service("kubelet", (f"{PROGRAMS}/kubelet", *flags(settings)), needs=CONTAINERD),
        Service("kube-proxy", (f"{PROGRAMS}/kube-proxy", f"--config={PROXY}/config.json")),
    )


def files(plan: Plan, node: Node, cgroup: str) -> dict[str, str]:
    """Path on the node -> content. `cgroup` is the folder that its containers go into."""
    return {
        "/var/lib/containerd.toml": _CONTAINERD_SETTINGS,
        f"{CNI}/10-ptp.conflist": json.dumps(network(plan, node), indent=1),
        f"{KUBELET}/config.json": json.dumps(kubelet(plan, cgroup), indent=1),
        f"{PROXY}/config.json": json.dumps(kube_proxy(plan, node), indent=1),
    }


def network(plan: Plan, node: Node) -> dict[str, Any]:
    """Each pod gets a link of its own to the node and an address of the node's range."""
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": str(range_)}] for range_ in node.pod_ranges],
                    "routes": [
                        {"dst": "::/0" if version == 6 else "0.0.0.0/0"}
                        for version in plan.family.versions
                    ],
                },
            }
        ],
    }


def kubelet(plan: Plan, cgroup: str) -> dict[str, Any]:
    """The kubelet's settings, for cgroup v1 and v2, with or without every privilege of root."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{KUBELET}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{KUBELET}/node.crt",
        "tlsPrivateKeyFile": f"{KUBELET}/node.key",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD}",
        "clusterDNS": [str(address) for address in plan.dns],
        "clusterDomain": DOMAIN,
        # Nodes resolve nothing themselves: names outside the cluster do not exist in it.
        "resolvConf": "",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        # Go on where the user namespace that all of this runs in forbids kernel settings.
        "featureGates": {"KubeletInUserNamespace": True},
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": False,
        # The default lies outside of what a node has for itself.
        "volumePluginDir": f"{KUBELET}/volumeplugins",
        # Images were loaded, and nothing could pull them again: never remove one.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
        },
        "maxPods": 250,
    }


def kube_proxy(plan: Plan, node: Node) -> dict[str, Any]:
    """kube-proxy in nftables mode; connection tracking's limits belong to this machine."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "bindAddress": str(node.addresses[0]),
        "hostnameOverride": node.name,
        "clusterCIDR": ",".join(map(str, plan.pod_ranges)),
        "clientConnection": {"kubeconfig": f"{PROXY}/kubeconfig"},
        "conntrack": {
            "maxPerCore": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }
