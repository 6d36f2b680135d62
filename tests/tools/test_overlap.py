"""Episodes wait for slow tools together, not one after the other: counted at the server, not measured by a clock."""

from agentrft.domain.episode import StopReason
from agentrft.domain.job import Limits, Sampling, ToolEndpoint
from agentrft.engine.fanout import all_of
from agentrft.engine.rollout import Agent, run_episode
from agentrft.testing import FakeSampler, WordChat, an_item
from agentrft.tools import HttpTools
from tests.tools.scripted_endpoint import Answer, Gather, ScriptedEndpoint

EPISODES = 64


async def test_sixty_four_episodes_wait_once_for_a_slow_tool() -> None:
    """The server answers nobody before all 64 wait: were any two calls made in turn, it would never answer."""
    chat = WordChat()
    async with (
        ScriptedEndpoint(Gather(count=EPISODES, answer=Answer(body={"output": "three"}))) as server,
        HttpTools([ToolEndpoint(name="search", server_url=server.url)]) as tools,
    ):
        agent = Agent(
            sampler=FakeSampler(chat, [["search({})"], ["it is 3"]]),
            chat=chat,
            tools=tools,
            sampling=Sampling(max_turn_tokens=16, max_context_tokens=256),
            limits=Limits(wall_clock_s=30.0),
            seed=1,
        )
        episodes = await all_of(run_episode(agent, an_item(), step=1, attempt=n) for n in range(EPISODES))
    assert [episode.stop for episode in episodes] == [StopReason.ANSWER] * EPISODES
    assert (len(server.requests), server.peak) == (EPISODES, EPISODES)
    assert len({request.body["trace_id"] for request in server.requests}) == EPISODES
