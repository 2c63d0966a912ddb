"""What the agent has in the kernel, and where it is pinned.

When that place is no longer where its path leads, since its file system was unmounted or another
was mounted over it, everything is pinned anew where the path leads now. What was pinned before is
in force until then.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from stoq_node._kernel import KernelError, Pins
from stoq_node.barred import Barred
from stoq_node.capabilities import BPFFS, GUARD
from stoq_node.enforce import Enforcer
from stoq_node.facts import mounted
from stoq_node.pinned import AgentError, Folder
from stoq_node.pods import Pod
from stoq_node.programs import Programs, load
from stoq_node.splicing import Splicer
from stoq_node.uplink import Uplink

log: Final = logging.getLogger("stoq.node")


class Kernel:
    """Strict mode and accounts, if this kernel takes them, the guard, and what joins pods where
    that can be.
    """

    def __init__(
        self,
        folder: Folder,
        enforcer: Enforcer | None,
        uplink: Uplink,
        splicer: Splicer | None = None,
        loaded: Callable[[Pins], Programs] = load,
        filesystem: Callable[[str], str] = mounted,
        barred: Barred | None = None,
    ) -> None:
        """Closes `folder` when it is closed itself. `barred` is what there is instead of an
        enforcer, on a kernel that refuses the programs.
        """
        self._folder = folder
        self._left: list[Folder] = []
        self.enforcer = enforcer
        self.barred = barred
        self.uplink = uplink
        self.splicer = splicer
        self._loaded = loaded
        self._filesystem = filesystem

    @property
    def failed(self) -> Mapping[str, str]:
        """Why, by pod that is not enforced as it should be."""
        one = self.enforcer or self.barred
        return one.failed if one is not None else {}

    def apply(self, pods: tuple[Pod, ...] | None) -> None:
        """Makes the kernel enforce `pods`, if they are known, and guard the uplink.

        Raises `AgentError`, `KernelError` or `OSError` for what is to be tried again; what is in
        force stays so, and strict pods for which nothing is yet are shut.
        """
        try:
            if self._folder.hidden:
                self._move()
        except (AgentError, KernelError, OSError) as error:
            self._refuse(pods, error)
            raise
        stuck = self._enforce(pods)
        self.uplink.apply()
        if stuck is not None:
            raise stuck
        if self.enforcer is not None and pods is not None:
            if self.splicer is not None:
                self.splicer.lead(self.enforcer.fronted)
            self.enforcer.fronted.clear()
        # Where the programs are refused, what was pinned before is all that is in force.
        if self.barred is None and (self.enforcer is None or self.enforcer.settled):
            self._leave()

    def close(self) -> None:
        """Lets go; what is pinned stays in force."""
        for folder in (self._folder, *self._left):
            folder.close()

    def _enforce(self, pods: tuple[Pod, ...] | None) -> KernelError | OSError | None:
        one = self.enforcer or self.barred
        if one is None or pods is None:
            return None
        try:
            one.apply(pods)
        except (KernelError, OSError) as error:
            self._refuse(pods, error)
            return error
        return None

    def _refuse(self, pods: tuple[Pod, ...] | None, why: Exception) -> None:
        if self.enforcer is not None and pods is not None:
            self.enforcer.refuse(pods, str(why))

    def _move(self) -> None:
        path = self._folder.path
        if self._filesystem(path) != BPFFS:
            raise KernelError(
                f"{path} is no longer on a bpffs: what is in force stays so, but not without this "
                "agent. mount -t bpf bpf /sys/fs/bpf"
            )
        fresh = Folder(path)
        try:
            self._load(fresh)
        except (KernelError, OSError):
            fresh.close()
            raise
        log.warning("%s leads elsewhere now: everything is pinned there anew", path)
        self._left.append(self._folder)
        self._folder = fresh

    def _load(self, fresh: Folder) -> None:
        programs = self._loaded(fresh.pins)
        strict, account, splice = programs.strict, programs.account, programs.splice
        # All of them before the first moves: what has moved is not enforced where it was.
        lacks = self.enforcer is not None and (strict is None or account is None)
        if lacks or (self.splicer is not None and splice is None):
            raise KernelError("; ".join(programs.refused.values()))
        if self.enforcer is not None and strict is not None and account is not None:
            self.enforcer.move(fresh.pins, strict, account)
        if self.splicer is not None and splice is not None:
            self.splicer.move(fresh.pins, splice)
        # An interface has one program of XDP; of the others the old ones stay meanwhile.
        self._folder.unpin(GUARD)
        self.uplink.move(fresh)

    def _leave(self) -> None:
        """Takes off what was pinned elsewhere: all of it is in force here."""
        while self._left:
            self._left[0].unpin()
            self._left.pop(0).close()
