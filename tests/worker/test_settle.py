from typing import Any

import pytest

from agentrft.domain.errors import UserError
from agentrft.domain.job import FaultLimits, Job, Limits, McpAddress, McpCommand, McpServer, Method, Penalty
from agentrft.domain.training import LoraConfig, Loss
from agentrft.worker.settle import Facts, settle, settled_hyperparameters
from tests.worker.requests import GRADER, a_claim

FACTS = Facts(training_rows=100, validation_rows=30, max_context_tokens=8192)


def reinforcement(facts: Facts = FACTS, **asked: Any) -> Job:
    return settle(a_claim(**asked), facts)


def supervised(facts: Facts = FACTS, **asked: Any) -> Job:
    return settle(a_claim(Method.SUPERVISED, **asked), facts)


def test_what_is_not_said_takes_the_documented_defaults() -> None:
    job = reinforcement()
    rules = job.reinforcement
    assert rules is not None
    assert job.supervised is None
    assert (rules.batch_size, rules.group_size, rules.total_steps) == (4, 16, 25)
    assert (rules.eval_interval, rules.eval_samples, rules.reasoning_effort) == (5, 3, "default")
    assert (rules.loss, rules.limits, rules.penalty) == (Loss.RFT_V1, Limits(), Penalty())
    assert (job.optimizer.learning_rate, job.optimizer.decay_to) == (1e-4, 1.0)
    assert (job.sampling.temperature, job.sampling.top_p) == (1.0, 1.0)
    assert (job.sampling.max_turn_tokens, job.sampling.max_context_tokens) == (256, 4096)
    assert job.lora == LoraConfig()
    assert (job.id, job.seed, job.base_model, job.suffix) == ("ftjob-1", 7, "tiny", "demo")
    assert rules.grader == GRADER


def test_monitors_watch_and_graders_are_checked_unless_told_otherwise() -> None:
    rules = reinforcement(agentrft={"monitor_graders": [GRADER], "check_grader": False}).reinforcement
    assert rules is not None
    assert (rules.monitor_graders, rules.check_grader) == ((GRADER,), False)
    rules = reinforcement().reinforcement
    assert rules is not None
    assert (rules.monitor_graders, rules.check_grader) == ((), True)


def test_every_auto_is_as_if_it_had_not_been_said() -> None:
    names = (
        "batch_size",
        "n_epochs",
        "learning_rate_multiplier",
        "compute_multiplier",
        "eval_interval",
        "eval_samples",
    )
    assert reinforcement(hyperparameters=dict.fromkeys(names, "auto")) == reinforcement()
    three = dict.fromkeys(("batch_size", "n_epochs", "learning_rate_multiplier"), "auto")
    assert supervised(hyperparameters=three) == supervised()


@pytest.mark.parametrize(("rows", "steps"), [(1, 10), (4, 10), (8, 20), (40, 20), (41, 22), (80, 20), (1000, 250)])
def test_auto_epochs_aim_at_twenty_steps(rows: int, steps: int) -> None:
    rules = reinforcement(Facts(training_rows=rows, validation_rows=1, max_context_tokens=99)).reinforcement
    assert rules is not None
    assert rules.total_steps == steps
    assert rules.batch_size == min(4, rows)


@pytest.mark.parametrize(("rows", "samples"), [(1, 4), (16, 4), (17, 4), (30, 3), (32, 2), (64, 1), (1000, 1), (0, 4)])
def test_auto_eval_samples_aim_at_sixty_four_attempts(rows: int, samples: int) -> None:
    rules = reinforcement(Facts(training_rows=9, validation_rows=rows, max_context_tokens=99)).reinforcement
    assert rules is not None
    assert rules.eval_samples == samples


def test_a_ruler_has_at_least_two_attempts_at_each_validation_item_to_compare() -> None:
    many = Facts(training_rows=9, validation_rows=1000, max_context_tokens=99)
    rules = reinforcement(many, grader={"type": "ruler", "name": "r", "model": "tiny"}).reinforcement
    assert rules is not None
    assert rules.eval_samples == 2


@pytest.mark.parametrize(("asked", "sees"), [({}, True), ({"grader_sees_trace": False}, False)])
def test_graders_see_the_whole_attempt_unless_the_job_says_otherwise(asked: dict[str, Any], sees: bool) -> None:
    rules = reinforcement(agentrft=asked).reinforcement
    assert rules is not None
    assert rules.grader_sees_trace is sees


@pytest.mark.parametrize(("multiplier", "size"), [(0.0001, 2), (0.25, 4), (0.5, 8), (2, 32), (10.0, 160)])
def test_compute_buys_attempts(multiplier: float, size: int) -> None:
    rules = reinforcement(hyperparameters={"compute_multiplier": multiplier}).reinforcement
    assert rules is not None
    assert rules.group_size == size


def test_the_border_to_the_users_endpoints_is_settled() -> None:
    secret = "whsec_" + "A" * 32
    limited = {"name": "search", "server_url": "http://127.0.0.1:9/s", "max_concurrency": 8, "rate_limit": 2.5}
    job = reinforcement(
        tools=[limited, {"name": "cat", "server_url": "http://127.0.0.1:9/c"}],
        agentrft={"signing_secret": secret, "lifecycle": {"url": "http://127.0.0.1:9/e", "headers": {"A": "hush"}}},
    )
    rules = job.reinforcement
    assert rules is not None
    assert [(tool.max_concurrency, tool.rate_limit) for tool in rules.tools] == [(8, 2.5), (None, None)]
    assert rules.signing_secret == secret
    assert rules.lifecycle is not None
    assert (rules.lifecycle.url, rules.lifecycle.headers) == ("http://127.0.0.1:9/e", {"A": "hush"})
    assert secret not in repr(job)
    assert "hush" not in repr(job)


def test_what_is_said_is_kept() -> None:
    job = reinforcement(
        tools=[{"name": "search", "server_url": "http://127.0.0.1:9/s", "headers": {"A": "b"}, "timeout_s": 3.0}],
        max_episode_steps=6,
        response_format={"type": "text"},
        hyperparameters={
            "batch_size": 10, "n_epochs": 2, "learning_rate_multiplier": 3.0, "eval_interval": 7, "eval_samples": 5,
            "reasoning_effort": "high",
        },
        agentrft={
            "group_size": 12, "loss": "gspo", "penalty": {"weight": 0.0}, "max_tool_calls": 4, "max_refills": 0,
            "max_tool_output_tokens": 99, "max_episode_s": 60, "learning_rate": 0.002, "lora_rank": 8,
            "max_context_tokens": 1000,
        },
    )  # fmt: skip
    rules = job.reinforcement
    assert rules is not None
    (tool,) = rules.tools
    assert (tool.name, tool.server_url, tool.headers, tool.timeout_s, tool.deadline_s, tool.send_item) == (
        "search", "http://127.0.0.1:9/s", {"A": "b"}, 3.0, 180.0, True,
    )  # fmt: skip
    assert (rules.batch_size, rules.total_steps, rules.eval_interval, rules.eval_samples) == (10, 20, 7, 5)
    assert (rules.group_size, rules.loss, rules.max_refills, rules.penalty.weight) == (12, Loss.GSPO, 0, 0.0)
    assert rules.limits == Limits(max_turns=6, max_tool_calls=4, max_tool_output_tokens=99, wall_clock_s=60.0)
    assert rules.response_format is not None
    assert rules.response_format["type"] == "text"
    assert job.optimizer.learning_rate == pytest.approx(0.006)
    assert job.lora == LoraConfig(rank=8)
    assert (job.sampling.max_turn_tokens, job.sampling.max_context_tokens) == (1024, 1000)


@pytest.mark.parametrize(("group", "least"), [(2, 2), (3, 3), (4, 4), (6, 4), (8, 4), (9, 5), (16, 8), (64, 32)])
def test_a_group_needs_four_attempts_or_half_of_it(group: int, least: int) -> None:
    rules = reinforcement(agentrft={"group_size": group}).reinforcement
    assert rules is not None
    assert rules.min_group == least


def test_limits_on_faults_have_defaults_and_are_kept() -> None:
    rules = reinforcement().reinforcement
    assert rules is not None
    assert rules.faults == FaultLimits(tool_limit=0.05, grader_limit=0.03, window=100, min_faults=5, max_pause_s=1800)
    rules = reinforcement(
        agentrft={"faults": {"tool_limit": 1, "max_pause_s": 9.5, "truncated_limit": 0}}
    ).reinforcement
    assert rules is not None
    assert rules.faults == FaultLimits(tool_limit=1.0, max_pause_s=9.5, truncated_limit=0.0)


@pytest.mark.parametrize(("asked", "given"), [(3, 3), (1000, 25), (None, 25)])
def test_max_steps_ends_a_job_early_and_never_prolongs_it(asked: int | None, given: int) -> None:
    rules = reinforcement(agentrft={"max_steps": asked}).reinforcement
    assert rules is not None
    assert rules.total_steps == given
    assert rules.eval_interval == min(5, given)


def test_the_context_is_never_longer_than_the_models() -> None:
    small = Facts(training_rows=4, validation_rows=4, max_context_tokens=512)
    assert reinforcement(small).sampling.max_context_tokens == 512
    assert reinforcement(small, agentrft={"max_context_tokens": 9999}).sampling.max_context_tokens == 512


def test_full_weights_learn_at_a_tenth_of_the_rate() -> None:
    job = reinforcement(agentrft={"full_weights": True})
    assert job.lora is None
    assert job.optimizer.learning_rate == pytest.approx(1e-5)
    own = reinforcement(agentrft={"full_weights": True, "learning_rate": 0.5})
    assert own.optimizer.learning_rate == 0.5


@pytest.mark.parametrize(("rows", "epochs", "batch", "steps"), [(5, 3, 5, 3), (100, 3, 8, 39), (200, 1, 8, 25)])
def test_supervised_jobs_have_defaults_of_their_own(rows: int, epochs: int, batch: int, steps: int) -> None:
    job = supervised(Facts(training_rows=rows, validation_rows=0, max_context_tokens=8192))
    assert job.reinforcement is None
    assert job.supervised is not None
    assert (job.supervised.n_epochs, job.supervised.batch_size, job.supervised.total_steps) == (epochs, batch, steps)
    assert (job.optimizer.learning_rate, job.optimizer.decay_to) == (5e-4, 0.1)


def test_supervised_settings_are_kept() -> None:
    job = supervised(hyperparameters={"batch_size": 3, "n_epochs": 2}, agentrft={"max_steps": 5})
    assert job.supervised is not None
    assert (job.supervised.batch_size, job.supervised.n_epochs, job.supervised.total_steps) == (3, 2, 5)


def test_mcp_servers_are_settled() -> None:
    web = {"name": "web", "url": "http://x/mcp", "headers": {"A": "b"}, "allowed_tools": ["cat"], "timeout_s": 5.0}
    web |= {"max_concurrency": 4, "rate_limit": 2.0}
    local = {"name": "local", "command": "uvx", "args": ["server"], "env": {"KEY": "x"}}
    rules = reinforcement(agentrft={"mcp_servers": [web, local]}).reinforcement
    assert rules is not None
    assert rules.mcp_servers == (
        McpServer(
            name="web",
            at=McpAddress(url="http://x/mcp", headers={"A": "b"}),
            allowed_tools=("cat",),
            timeout_s=5.0,
            max_concurrency=4,
            rate_limit=2.0,
        ),
        McpServer(name="local", at=McpCommand(argv=("uvx", "server"), env={"KEY": "x"})),
    )


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(UserError, match="no_such_key"):
        reinforcement(agentrft={"no_such_key": 1})


def test_the_job_shows_what_became_of_every_auto() -> None:
    asked = {"n_epochs": "auto", "batch_size": "auto"}
    job = reinforcement(hyperparameters=asked)
    shown = settled_hyperparameters(job, asked, FACTS)
    assert shown == {
        "learning_rate_multiplier": 1.0, "batch_size": 4, "n_epochs": 1, "eval_interval": 5, "eval_samples": 3,
        "compute_multiplier": 1.0, "reasoning_effort": "default",
    }  # fmt: skip
    assert "auto" not in settled_hyperparameters(supervised(), {}, FACTS).values()
    explicit = {"learning_rate_multiplier": 2.0, "n_epochs": 3, "compute_multiplier": 0.5}
    shown = settled_hyperparameters(reinforcement(hyperparameters=explicit), explicit, FACTS)
    assert {name: shown[name] for name in explicit} == explicit


def test_the_epochs_shown_are_those_that_are_run() -> None:
    """40 rows make 10 steps an epoch, and auto aims at 20."""
    facts = Facts(training_rows=40, validation_rows=4, max_context_tokens=99)
    job = reinforcement(facts)
    assert job.reinforcement is not None
    assert job.reinforcement.total_steps == 20
    assert settled_hyperparameters(job, {}, facts)["n_epochs"] == 2
