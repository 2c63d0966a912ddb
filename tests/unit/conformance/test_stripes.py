"""Striped flows. The reference has none, and engines have them between applications that are
captured: what those come to is shown in Rust.
"""

import pytest

from stoq.engine import CertificateAuthority
from stoq_reference.codes import StreamCode
from stoq_reference.head import Address, Kind
from stoq_reference.stream import StreamFailed
from support.ends import Pair, telling
from support.interop import OWN_ADDRESS
from unit.conformance.pairs import REFERENCES, TO_ENGINE, TO_REFERENCE, pairs

CALLER = Address.of("fd00::1", 40000)
SERVICE = Address.of(OWN_ADDRESS, 80)


@pairs(TO_REFERENCE, TO_ENGINE, REFERENCES)
async def test_a_lane_is_denied_where_striped_flows_are_not_in_use(
    pair: Pair, ca: CertificateAuthority
) -> None:
    async with pair.ends(ca) as (client, server):
        peer = await telling(client, server)
        with pytest.raises(StreamFailed) as failed:
            await peer.open(Kind.LANE, CALLER, SERVICE).recv()
        assert failed.value.code == StreamCode.DENIED
