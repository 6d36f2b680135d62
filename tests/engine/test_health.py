"""When an endpoint fails too often."""

import pytest

from agentrft.domain.episode import GradedEpisode
from agentrft.domain.faults import Fault, FaultOwner
from agentrft.domain.job import FaultLimits
from agentrft.engine.health import Health
from agentrft.ports import CallContext
from agentrft.testing import a_graded_episode, an_episode, an_item, broken_grader, broken_tool

AT = CallContext(trace_id="trace", item=an_item(), step=3, attempt=0, turn=0)
LIMITS = FaultLimits(tool_limit=0.2, grader_limit=0.1, window=20, min_faults=3)


def lost(fault: Fault) -> GradedEpisode:
    own = fault if fault.owner is FaultOwner.TOOL_ENDPOINT else None
    return GradedEpisode(episode=an_episode(fault=own), grade=None, fault=fault)


def fine(calls: int, tool: str = "search") -> GradedEpisode:
    return a_graded_episode(1.0, an_episode(an_item(tools=(tool,)), tool_calls=calls))


def seen(*episodes: GradedEpisode, limits: FaultLimits = LIMITS) -> Health:
    health = Health(limits)
    for episode in episodes:
        health.record(episode, at=AT)
    return health


def test_a_few_faults_are_not_enough_however_high_their_rate() -> None:
    assert seen(*[lost(broken_tool("search"))] * 2).trouble() is None


@pytest.mark.parametrize(("calls", "troubled"), [(11, True), (12, False)])
def test_the_rate_must_pass_the_limit(calls: int, troubled: bool) -> None:
    """3 of 14 calls are more than a fifth, 3 of 15 are not."""
    health = seen(fine(calls), *[lost(broken_tool("search"))] * 3)
    assert (health.trouble() is not None) is troubled


def test_trouble_names_the_endpoint_the_rate_and_the_last_reason() -> None:
    trouble = seen(fine(2), *[lost(broken_tool("search"))] * 3).trouble()
    assert trouble is not None
    assert trouble.told == "the tool search failed 3 of the last 5 calls: the endpoint of search answered 500"
    assert trouble.last.at == AT


def test_a_tool_that_is_seldom_called_does_not_hide_behind_the_others() -> None:
    trouble = seen(*[lost(broken_tool("rare"))] * 3, *[fine(5)] * 20).trouble()
    assert trouble is not None
    assert trouble.name == "the tool rare"


def test_old_calls_leave_the_window() -> None:
    assert seen(*[lost(broken_tool("search"))] * 3, fine(17)).trouble() is None
    assert seen(*[lost(broken_tool("search"))] * 5, fine(17)).trouble() is None
    assert seen(fine(40), *[lost(broken_tool("search"))] * 5).trouble() is not None


def test_the_grader_has_a_limit_of_its_own_and_grades_speak_for_it() -> None:
    assert seen(*[lost(broken_grader())] * 3, *[fine(0)] * 17).trouble() is not None
    lenient = FaultLimits(tool_limit=0.0, grader_limit=0.5, window=20, min_faults=1)
    assert seen(lost(broken_grader()), fine(0), limits=lenient).trouble() is None


def test_what_is_forgotten_counts_no_more() -> None:
    health = seen(*[lost(broken_tool("search"))] * 3)
    trouble = health.trouble()
    assert trouble is not None
    health.forget(trouble)
    health.record(lost(broken_tool("search")), at=AT)
    assert health.trouble() is None


def test_a_lifecycle_has_a_window_of_its_own_in_which_beginnings_count() -> None:
    health = Health(LIMITS)
    not_begun = lost(broken_tool("lifecycle"))
    for number in range(20):
        begun = number % 10 > 0
        health.record(fine(1, "lifecycle") if begun else not_begun, at=AT, begun=begun)
    assert health.trouble() is None
    for _ in range(5):
        health.record(not_begun, at=AT, begun=False)
    trouble = health.trouble()
    assert trouble is not None
    assert (trouble.name, trouble.param) == ("the lifecycle's URL", "method.reinforcement.agentrft.lifecycle")


def test_what_could_not_be_compared_says_nothing_of_the_tool_that_failed_its_peers() -> None:
    alone = GradedEpisode(episode=an_episode(), grade=None, fault=broken_tool("search"))
    assert seen(*[alone] * 20).trouble() is None


def test_a_ruling_over_a_group_counts_once() -> None:
    health = Health(FaultLimits(grader_limit=0.2, window=20, min_faults=2))
    for judged in (True, *[False] * 7):
        health.record(lost(broken_grader()), at=AT, judged=judged)
    assert health.trouble() is None
    health.record(lost(broken_grader()), at=AT)
    assert health.trouble() is not None


def test_the_last_that_went_well_at_a_border_is_remembered() -> None:
    good = fine(2)
    health = seen(fine(1), good, *[lost(broken_tool("search"))] * 3)
    remembered = health.good((FaultOwner.TOOL_ENDPOINT, "search"))
    assert remembered is not None
    assert remembered.episode is good.episode
    assert health.good((FaultOwner.TOOL_ENDPOINT, "cat")) is None
