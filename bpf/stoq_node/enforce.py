"""Keeps strict mode and accounts on the links of pods as a list of pods wants them.

Everything is pinned: what is in force stays so when the agent ends, however it ends, and a
successor takes it over without a gap.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from time import monotonic
from typing import Final

from stoq_node import barred, links
from stoq_node._kernel import Account, KernelError, NoInterface, Permission, Pins, Strict
from stoq_node.permissions import permissions
from stoq_node.plan import changes
from stoq_node.pods import Pod
from stoq_node.shutter import Ajar, How, Shutter
from stoq_node.tally import Tally

log: Final = logging.getLogger("stoq.node")

PROGRAMS: Final = ("strict_to_pod", "strict_from_pod", "account_to_pod", "account_from_pod")

RETRY_SECONDS: Final = 30.0
"""Until a pod that could not be enforced as it should is tried again, if it does not change: what
does not fit takes thousands of calls to find out."""


class Enforcer:
    """The programs, over what is pinned."""

    def __init__(
        self, pins: Pins, strict: Strict, account: Account, shutter: Shutter | None = None
    ) -> None:
        self._pins = pins
        self._shutter = shutter or Shutter()
        self._strict = strict
        self._account = account
        self._in_force: dict[int, Pod] = {}
        self._inherited = barred.Inherited()
        self._swept = False
        self._retry: dict[tuple[int, Pod], float] = {}
        self.tally = Tally()
        self.failed: dict[str, str] = {}
        """Why, by pod."""
        self.waiting: tuple[Pod, ...] = ()
        self.attached: Counter[str] = Counter()
        """Links made, by program: the first of each pod, and repairs."""
        self.fronted: set[int] = set()
        """Links on which a program was put in front of others, until somebody clears it."""

    @property
    def in_force(self) -> int:
        """Pods for which all is as it should be."""
        return len(self._in_force)

    @property
    def pods(self) -> tuple[Pod, ...]:
        """Those pods."""
        return tuple(self._in_force.values())

    @property
    def links(self) -> frozenset[int]:
        """The host's ends of their links."""
        return frozenset(self._in_force)

    @property
    def shut(self) -> Counter[How]:
        """How many links of pods are shut without the programs, by how."""
        return Counter(self._shutter.links.values())

    @property
    def settled(self) -> bool:
        """Whether every link runs this version's programs, on its maps."""
        return self._swept

    def move(self, pins: Pins, strict: Strict, account: Account) -> None:
        """Goes on with programs that are pinned elsewhere. Everything is put in force there by the
        next `apply`.
        """
        self.read()
        self.tally.restarted()
        self._pins, self._strict, self._account = pins, strict, account
        self._in_force, self._retry, self._swept = {}, {}, False

    def apply(self, pods: Iterable[Pod]) -> None:
        """Makes the kernel enforce `pods`, all of them and no other.

        What fails is logged, kept in `failed`, and tried again after a while. A strict pod that
        cannot be enforced is shut: nothing passes its link. Raises `KernelError` or `OSError` when
        something cannot be read or released.
        """
        pods = tuple(pods)
        linkless = {pod.key: pod.obstacle for pod in pods if pod.linkless}
        pods = tuple(pod for pod in pods if not pod.linkless)
        self.read()
        by_program = [frozenset(self._pins.attached(program)) for program in PROGRAMS]
        there = links.names()
        self._shutter.keep(there.values())
        found = changes(
            pods,
            there,
            self._in_force,
            frozenset(self._strict.enrolled()).union(*by_program, self._shutter.find()),
            # What is shut is not in force as it should be, also if that is found out late.
            frozenset.intersection(*by_program) - self._shutter.find(),
        )
        # First, so that there is room for others.
        stuck = self._free(found.release)
        failed: dict[str, str] = {}
        for index, pod in found.enforce.items():
            if self._retry.get((index, pod), 0.0) > monotonic():
                failed[pod.key] = self.failed[pod.key]
                continue
            try:
                self._enforce(index, pod)
                self._in_force[index] = pod
            except NoInterface:
                self._in_force.pop(index, None)
            except (KernelError, Ajar) as error:
                self._in_force.pop(index, None)
                meanwhile = "; its link is shut" if index in self._shutter.links else ""
                failed[pod.key] = f"{error}{meanwhile}"
                self._retry[index, pod] = monotonic() + RETRY_SECONDS
        self._inherited = barred.Inherited()
        self._retry = {
            (index, pod): due
            for (index, pod), due in self._retry.items()
            if pod.key in failed and found.enforce.get(index) == pod
        }
        failed.update((pod.key, pod.obstacle) for pod in found.waiting if pod.obstacle)
        self._told(failed | linkless, found.waiting)
        self.tally.keep(pods, self._in_force)
        if stuck is not None:
            raise stuck
        if not self._swept and not failed and all(pod.interface for pod in found.waiting):
            # Every link runs this version's programs now, on this version's maps.
            self._strict.sweep()
            self._account.sweep()
            self._swept = True

    def refuse(self, pods: Iterable[Pod], why: str) -> None:
        """Nothing can be put in force now. So strict pods are shut for which nothing is yet, or
        less than is wanted.
        """
        pods = tuple(pods)
        before = self._inherited.seen(pods, barred.held(self._pins))
        failed = barred.refuse(self._shutter, pods, why, {**before, **self._in_force})
        self._told(self.failed | failed, self.waiting)

    def read(self) -> None:
        """Books what the kernel has counted since the last call."""
        for index, pod in self._in_force.items():
            self.tally.strict(index, pod, self._strict.counts(index) or ())
        self.tally.accounts(self._in_force, self._account.read())

    def unenrolled(self) -> list[tuple[str, int, int]]:
        """(direction, packets, bytes) dropped on links of pods that could not be enrolled."""
        return self._strict.unenrolled()

    def _enforce(self, index: int, pod: Pod) -> None:
        refused = self._enrol(index, pod)
        enrolled = refused is None
        if enrolled:
            # Before the link: from its first packet on, a pod may say what it may.
            refused = self._permit(index, pod)
        # Where nobody is enrolled it lets nothing through.
        wanted = enrolled or pod.strict
        if wanted:
            self._attach(index, pod)
        if enrolled or not pod.strict:
            self._shutter.open(index)
        # Last: a pod whose traffic nobody adds up is enforced all the same.
        if wanted and self._account.attach(index):
            self._fronted("tc_account", index)
        if refused is not None:
            raise refused
        log.info("%s: in force on %s: %s, %s", pod.key, pod.interface, pod.inbound, pod.outbound)

    def _enrol(self, index: int, pod: Pod) -> KernelError | None:
        try:
            self._strict.enrol(
                index,
                inbound=pod.inbound,
                outbound="strict" if pod.outbound == "meshOnly" else "permissive",
                udp=pod.udp,
                echo=pod.echo,
            )
        except KernelError as error:
            return error
        return None

    def _attach(self, index: int, pod: Pod) -> None:
        """Raises `Ajar` when a strict pod can neither be enforced nor be shut."""
        try:
            if self._strict.attach(index):
                self._fronted("tc_strict", index)
        except NoInterface:
            raise
        except KernelError as error:
            if pod.strict:
                barred.shut(self._shutter, index, pod, str(error))
            else:
                self._shutter.open(index)
            raise

    def _fronted(self, program: str, index: int) -> None:
        self.attached[program] += 1
        self.fronted.add(index)

    def _permit(self, index: int, pod: Pod) -> KernelError | None:
        """Gives the pod its permissions and no other. If they do not fit, none of those that are
        new: they would take the room of other pods.
        """
        wanted = permissions(pod)
        try:
            had = frozenset(self._strict.permissions(index))
            given: list[Permission] = []
            for permission in wanted - had:
                try:
                    self._strict.permit(index, permission)
                except KernelError:
                    for one in given:
                        self._strict.forbid(index, one)
                    raise
                given.append(permission)
            for permission in had - wanted:
                self._strict.forbid(index, permission)
        except KernelError as error:
            return error
        return None

    def _free(self, indexes: Iterable[int]) -> KernelError | Ajar | None:
        """Releases these; what does not go keeps nobody else from being enforced."""
        stuck: KernelError | Ajar | None = None
        for index in indexes:
            try:
                self._release(index)
            except (KernelError, Ajar) as error:
                stuck = stuck or error
        return stuck

    def _release(self, index: int) -> None:
        self._strict.detach(index)
        self._account.detach(index)
        self._strict.withdraw(index)
        self._shutter.open(index)
        pod = self._in_force.pop(index, None)
        log.info("%s: no longer enforced on link %d", pod.key if pod else "a pod", index)

    def _told(self, failed: dict[str, str], waiting: tuple[Pod, ...]) -> None:
        for key, why in failed.items():
            if self.failed.get(key) != why:
                log.error("%s: cannot be enforced as it should: %s", key, why)
        for pod in waiting:
            if pod not in self.waiting:
                log.info("%s: waits for its link %s", pod.key, pod.interface or "to be found")
        self.failed, self.waiting = failed, waiting
