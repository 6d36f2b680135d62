"""Which client a request gets: few share one, many are spread."""

from contextlib import AsyncExitStack

from agentrft.outbound.lanes import LANE_REQUESTS, MAX_LANES, Lanes


async def test_requests_one_after_the_other_share_a_client_and_its_connection() -> None:
    lanes = Lanes()
    seen = set()
    for _ in range(3 * LANE_REQUESTS):
        async with lanes.client() as client:
            seen.add(client)
    await lanes.close()
    assert len(seen) == 1


async def test_a_burst_is_spread_evenly_and_the_first_lane_that_is_free_again_is_used() -> None:
    lanes = Lanes()
    async with AsyncExitStack() as burst:
        clients = [await burst.enter_async_context(lanes.client()) for _ in range(3 * LANE_REQUESTS)]
        assert {clients.count(client) for client in clients} == {LANE_REQUESTS}
    async with lanes.client() as client:
        assert client is clients[0]
    await lanes.close()
    assert all(client.is_closed for client in clients)


async def test_the_number_of_lanes_is_bounded() -> None:
    lanes = Lanes()
    async with AsyncExitStack() as burst:
        clients = [await burst.enter_async_context(lanes.client()) for _ in range((LANE_REQUESTS + 1) * MAX_LANES)]
        assert {clients.count(client) for client in set(clients)} == {LANE_REQUESTS + 1}
    await lanes.close()
