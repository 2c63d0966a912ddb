"""What the demonstration makes of a gateway's numbers."""

from lab.demo.scenarios import hop


def counted(routes: float, carried: float) -> dict[str, float]:
    return {hop.ROUTES: routes, hop.BYTES: carried, hop.PACKETS: 10.0, hop.STREAMED: 0.0}


def test_the_server_has_to_be_out_of_the_clients_reach_and_within_the_gateways() -> None:
    assert hop.parted_check(False, True).ok
    assert not hop.parted_check(True, True).ok
    assert not hop.parted_check(False, False).ok
    assert "does not answer the client, and answers" in hop.parted_check(False, True).detail


def test_all_that_was_fetched_has_to_have_gone_over_the_gateway() -> None:
    assert hop.carried_check(counted(1, 1_100_000), 1_000_000).ok
    assert not hop.carried_check(counted(1, 900_000), 1_000_000).ok
    assert not hop.carried_check(counted(0, 0), 1_000_000).ok
    assert "1.1 MB in 10 packets" in hop.carried_check(counted(1, 1_100_000), 1).detail
