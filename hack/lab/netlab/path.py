"""A path between two network namespaces: like a veth pair, with trouble on the way.

The schedule says which kind: frames go through a program of ours, which knows every trouble, or
through the kernel's token buckets, which know rates alone and carry many times as much.
"""

from lab.netlab import kernel, userspace
from lab.netlab.route import End, Route
from lab.netlab.schedule import Schedule
from lab.netns import Link
from lab.plan import Plan, Pod
from lab.state import State


def lay(
    state: State, near: End, far: End, schedule: Schedule, *, mtu: int = 1500, hold: bool = False
) -> Route:
    """Makes both interfaces, with this MTU in bytes and up, and the path between them.

    With `hold` the first step lasts until the path is told to begin. Raises CommandError, and
    ProcessError when what carries the frames or follows the schedule does not start.
    """
    if schedule.path == "kernel":
        return kernel.lay(state, near, far, schedule, mtu=mtu, hold=hold)
    return userspace.lay(state, near, far, schedule, mtu=mtu, hold=hold)


def link(state: State, schedule: Schedule) -> Link:
    """A pod's link that is such a path: up is from the pod into the fabric."""

    def make(plan: Plan, pod: Pod) -> None:
        near, far = End(pod.netns, "eth0"), End(plan.fabric, pod.port)
        lay(state, near, far, schedule, mtu=plan.mtu)

    return make
