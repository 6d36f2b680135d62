import json
from dataclasses import replace
from typing import Any

import pytest

from agentrft.domain.episode import GradedEpisode, Message, StopReason, ToolCall, Turn
from agentrft.grading.samples import sample_from_episode
from agentrft.store.record import episode_record
from agentrft.store.replay import read_episode
from agentrft.testing import a_graded_episode, an_episode, broken_grader, broken_tool

WHOLE = an_episode(tool_calls=2, tool_latency_s=1.0, attempt=3)
UNMADE = Turn(
    message=Message(
        role="assistant",
        reasoning="hm",
        tool_calls=(ToolCall(call_id="c9", name="sear", arguments="{", error="no JSON"),),
    ),
    sampled_tokens=7,
    reasoning_tokens=2,
    latency_s=0.25,
    started_at=5.0,
)
CUT = replace(WHOLE, turns=(*WHOLE.turns, UNMADE), stop=StopReason.MAX_TURNS)


def stored(graded: GradedEpisode) -> Any:
    return json.loads(json.dumps(episode_record(graded)))


@pytest.mark.parametrize("episode", [WHOLE, CUT])
def test_an_episode_is_read_back_as_it_was(episode: Any) -> None:
    graded = a_graded_episode(0.5, episode)
    assert read_episode(stored(graded), episode.item) == graded


def test_a_grader_finds_the_same_sample_in_a_stored_episode() -> None:
    back = read_episode(stored(a_graded_episode(0.5, CUT)), CUT.item).episode
    assert sample_from_episode(back, structured=True) == sample_from_episode(CUT, structured=True)


def test_a_fault_is_the_episodes_own_or_its_graders() -> None:
    broken = an_episode(stop=StopReason.FAULT, fault=broken_tool("search"))
    played = read_episode(stored(GradedEpisode(episode=broken, grade=None, fault=broken.fault)), broken.item)
    assert (played.grade, played.episode.fault is not None) == (None, True)
    ungraded = read_episode(stored(GradedEpisode(episode=WHOLE, grade=None, fault=broken_grader())), WHOLE.item)
    assert (ungraded.episode, ungraded.fault is not None) == (WHOLE, True)


def test_records_of_earlier_versions_can_be_read() -> None:
    record = stored(a_graded_episode(0.5, CUT))
    del record["tokens"]["turns"]
    for turn in record["turns"]:
        del turn["reasoning_tokens"]
    back = read_episode(record, CUT.item).episode
    assert (back.answer, back.tokens.ids, set(back.tokens.turns)) == (CUT.answer, CUT.tokens.ids, {0})
    assert back.reasoning_tokens == 0
