"""Virtual addresses that service records carry in their status, where the leader writes them."""

from collections.abc import Mapping

from stoq.records.service import ServiceRecord
from stoq_operator import vip
from stoq_operator.world import World


class RecordVips:
    """See `Vips`. All replicas read the same objects, so all say the same."""

    def of(self, world: World) -> Mapping[str, str]:
        """See `Vips`. An address that was not written yet is not in force."""
        found = written(world)
        return vip.kept(world.mesh.vip_range, found, found)


def written(world: World) -> dict[str, str]:
    """What the records say, by `<namespace>/<name>`, right or not; empty for those without."""
    return {
        f"{record.metadata.namespace}/{record.metadata.name}": record.status.vip
        for record in world.records.values()
        if isinstance(record, ServiceRecord)
    }
