"""The command line of `hack/cluster`."""

import argparse
import os
import sys
from pathlib import Path

from clusterlib import commands
from clusterlib.plan import Family
from clusterlib.progress import ClusterError, say
from clusterlib.record import PROVIDERS
from lab.command import CommandError

EXAMPLES = """\
examples:
  hack/cluster up                             two nodes, IPv6 only
  hack/cluster up --nodes 3 --ip-family dual
  hack/cluster image localhost/redis:1 redis.tar redis-server
  hack/cluster load image.tar                 an image, as `docker save` or buildah writes it
  eval "$(hack/cluster env)"                  kubectl and helm for this cluster
  hack/cluster enter node0 tcpdump -ni any    a command, or a shell, on a node
  hack/cluster stop node1                     as by pulling its plug; `up` boots it again
  hack/cluster stop control/kube-apiserver
  hack/cluster status
  hack/cluster down

Several clusters live beside each other: --name, or STOQ_CLUSTER. docs/cluster.md has the rest.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hack/cluster",
        description="A real Kubernetes on this machine: kind where Docker runs, elsewhere the same "
        "programs built from their Go modules, each node in namespaces of its own.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--name",
        default=os.environ.get("STOQ_CLUSTER", "local"),
        help="which cluster (%(default)s)",
    )
    provider = argparse.ArgumentParser(add_help=False)
    provider.add_argument(
        "--provider", choices=PROVIDERS, help="kind or our own build (kind where Docker runs)"
    )
    up = verbs.add_parser(
        "up", parents=[common, provider], help="make a cluster, or start again what does not run"
    )
    up.add_argument("--nodes", type=int, help="nodes that take pods (2)")
    up.add_argument("--ip-family", type=Family, choices=list(Family), help="IP versions (ipv6)")
    load = verbs.add_parser("load", parents=[common], help="put images on every node")
    load.add_argument("archive", type=Path, nargs="+", metavar="IMAGE.tar")
    image = verbs.add_parser("image", help="make an image of Debian packages, for `load`")
    image.add_argument("tag", help="such as localhost/redis:1")
    image.add_argument("archive", type=Path, metavar="IMAGE.tar")
    image.add_argument("package", nargs="*")
    verbs.add_parser("down", parents=[common], help="remove a cluster and all it made")
    verbs.add_parser("kubeconfig", parents=[common], help="print the path of the kubeconfig")
    verbs.add_parser("env", parents=[common], help="print settings for a shell to evaluate")
    verbs.add_parser("status", parents=[common], help="say what runs; fails unless all does")
    stop = verbs.add_parser("stop", parents=[common], help="kill a node or one of its services")
    stop.add_argument("target", help="node1, node1/kubelet, control/etcd, ...")
    enter = verbs.add_parser("enter", parents=[common], help="run a command, or a shell, on a node")
    enter.add_argument("machine", help="node0, control, ...")
    enter.add_argument("command", nargs=argparse.REMAINDER)
    verbs.add_parser("build", parents=[provider], help="build what `up` needs, and print where")
    return parser


def main(arguments: list[str]) -> int:
    """Returns the exit status: 1 when it failed, with the reason on standard error."""
    asked = _parser().parse_args(arguments)
    try:
        match asked.verb:
            case "up":
                commands.up(asked.name, asked.nodes, asked.ip_family, asked.provider)
            case "load":
                commands.load(asked.name, asked.archive)
            case "image":
                commands.image(asked.tag, asked.archive, asked.package)
            case "down":
                commands.down(asked.name)
            case "kubeconfig":
                commands.kubeconfig(asked.name)
            case "env":
                commands.env(asked.name)
            case "stop":
                commands.stop(asked.name, asked.target)
            case "enter":
                commands.enter(asked.name, asked.machine, asked.command)
            case "build":
                commands.build(asked.provider)
            case _:
                return 0 if commands.status(asked.name) else 1
    except (ClusterError, CommandError, OSError) as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
