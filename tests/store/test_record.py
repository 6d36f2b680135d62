import json

from agentrft.domain.episode import GradedEpisode
from agentrft.store.record import episode_record
from agentrft.testing import a_graded_episode, an_episode


def test_an_episode_is_recorded_with_its_text_and_its_tokens() -> None:
    graded = a_graded_episode(0.5, an_episode(tool_calls=2, tool_latency_s=1.0, attempt=3))
    record = json.loads(json.dumps(episode_record(graded), allow_nan=False))
    assert (record["attempt"], record["reward"], record["stop"], record["fault"]) == (3, 0.5, "answer", None)
    assert (record["answer"], record["output_tokens"]) == ("3", 4)
    assert record["messages"] == [{"role": "user", "content": "how many ?"}]
    (turn,) = record["turns"]
    assert [call["call_id"] for call in turn["tool_calls"]] == [result["call_id"] for result in turn["results"]]
    assert turn["results"][0]["latency_s"] == 0.5
    tokens = record["tokens"]
    assert {len(column) for column in tokens.values()} == {len(graded.episode.tokens)}
    assert tokens["versions"][-1] == 1


def test_an_episode_with_a_fault_says_whose_it_is_and_has_no_reward() -> None:
    record = episode_record(a_graded_episode(None))
    assert (record["reward"], record["grade"]) == (None, None)
    assert (record["fault"]["owner"], record["fault"]["kind"], record["fault"]["where"]) == (
        "tool_endpoint", "http_5xx", "search",
    )  # fmt: skip


def test_a_fault_inside_the_episode_is_recorded_too() -> None:
    fault = a_graded_episode(None).fault
    graded = GradedEpisode(episode=an_episode(fault=fault), grade=None)
    assert episode_record(graded)["fault"]["where"] == "search"
