import json
from copy import deepcopy
from typing import Any

import pytest

from agentrft.domain.errors import UserError
from agentrft.domain.job import Method
from agentrft.domain.training import Loss
from agentrft.wire.fine_tuning import Reinforcement
from agentrft.wire.graders import read_shape
from agentrft.wire.job_request import read_job_request
from agentrft.wire.masking import holds_mask
from agentrft.wire.strict import parse

SECRET = "whsec_aHVzaC1odXNoLWh1c2gtaHVzaC1odXNoLWh1c2g="
GRADER = {"type": "string_check", "input": "{{sample.output_text}}", "reference": "{{item.a}}", "operation": "eq"}
TOOL = {"name": "search", "server_url": "https://example.com/search", "headers": {"Authorization": "Bearer hush"}}


def body(**reinforcement: Any) -> dict[str, Any]:
    return {
        "model": "tiny",
        "training_file": "file-1",
        "validation_file": "file-2",
        "method": {"type": "reinforcement", "reinforcement": {"grader": deepcopy(GRADER), **reinforcement}},
    }


def refused(request: object) -> tuple[str | None, str | None, str]:
    with pytest.raises(UserError) as caught:
        read_job_request(request)
    return caught.value.param, caught.value.code, caught.value.message


def test_every_hyperparameter_is_there_with_its_default() -> None:
    spec = read_job_request(body())
    assert spec.method is Method.REINFORCEMENT
    assert spec.settings["reinforcement"]["hyperparameters"] == {
        "batch_size": "auto",
        "n_epochs": "auto",
        "learning_rate_multiplier": "auto",
        "compute_multiplier": "auto",
        "eval_interval": "auto",
        "eval_samples": "auto",
        "reasoning_effort": "default",
    }
    assert spec.settings["reinforcement"]["response_format"] is None


def test_the_notebooks_own_body_is_read() -> None:
    hyperparameters = {"compute_multiplier": 1, "eval_samples": 2, "n_epochs": 1, "batch_size": 16}
    spec = read_job_request(
        body(
            tools=[TOOL, {"name": "cat", "server_url": "http://localhost:1/cat", "headers": {}}],
            max_episode_steps=50,
            response_format=None,
            hyperparameters=hyperparameters,
        )
        | {"seed": 42, "suffix": "finqa_model_text-max_episode_steps_50"}
    )
    assert spec.tools == ("search", "cat")
    assert spec.settings["reinforcement"]["hyperparameters"]["compute_multiplier"] == 1.0
    assert spec.settings["reinforcement"]["max_episode_steps"] == 50
    assert (spec.seed, spec.suffix) == (42, "finqa_model_text-max_episode_steps_50")


def test_our_own_settings_live_under_one_key() -> None:
    penalty = {"weight": 0.05, "reasoning_tokens": 0, "tool_calls": 1, "tool_seconds": 0, "scale_by_pass_rate": False}
    ours = {
        "group_size": 16, "learning_rate": 1e-4, "lora_rank": 8, "loss": "dr_grpo", "penalty": penalty,
        "max_tool_calls": 8, "max_turn_tokens": 256, "max_tool_output_tokens": 256, "max_context_tokens": 2048,
        "max_steps": 20, "max_refills": 0, "faults": {"grader_limit": 0.1, "window": 50, "min_faults": 3},
    }  # fmt: skip
    spec = read_job_request(body(agentrft=ours))
    assert spec.settings["reinforcement"]["agentrft"] == ours
    assert json.loads(json.dumps(spec.settings)) == spec.settings


@pytest.mark.parametrize(
    ("reinforcement", "param", "code"),
    [
        ({"foo": 1}, "method.reinforcement.foo", "unknown_parameter"),
        ({"agentrft": {"foo": 1}}, "method.reinforcement.agentrft.foo", "unknown_parameter"),
        ({"agentrft": {"penalty": {"x": 1}}}, "method.reinforcement.agentrft.penalty.x", "unknown_parameter"),
        ({"agentrft": {"faults": {"rate": 1}}}, "method.reinforcement.agentrft.faults.rate", "unknown_parameter"),
        ({"agentrft": {"faults": {"window": 4}}}, "method.reinforcement.agentrft.faults", "invalid_value"),
        ({"agentrft": {"faults": {"min_faults": 101}}}, "method.reinforcement.agentrft.faults", "invalid_value"),
        (
            {"agentrft": {"faults": {"tool_limit": 5}}},
            "method.reinforcement.agentrft.faults.tool_limit",
            "invalid_value",
        ),
        ({"agentrft": {"group_size": 1}}, "method.reinforcement.agentrft.group_size", "invalid_value"),
        ({"agentrft": {"loss": "ppo"}}, "method.reinforcement.agentrft.loss", "invalid_value"),
        ({"agentrft": {"lora_rank": 8, "full_weights": True}}, "method.reinforcement.agentrft", "invalid_value"),
        ({"hyperparameters": {"batch_size": 257}}, "method.reinforcement.hyperparameters.batch_size", "invalid_value"),
        (
            {"hyperparameters": {"batch_size": "many"}},
            "method.reinforcement.hyperparameters.batch_size",
            "invalid_type",
        ),
        ({"hyperparameters": {"batch_size": 1.5}}, "method.reinforcement.hyperparameters.batch_size", "invalid_type"),
        ({"hyperparameters": {"n_epochs": 0}}, "method.reinforcement.hyperparameters.n_epochs", "invalid_value"),
        (
            {"hyperparameters": {"compute_multiplier": 11}},
            "method.reinforcement.hyperparameters.compute_multiplier",
            "invalid_value",
        ),
        ({"hyperparameters": {"beta": 1}}, "method.reinforcement.hyperparameters.beta", "unknown_parameter"),
        ({"hyperparameters": 3}, "method.reinforcement.hyperparameters", "invalid_type"),
        ({"max_episode_steps": 0}, "method.reinforcement.max_episode_steps", "invalid_value"),
        ({"max_episode_steps": True}, "method.reinforcement.max_episode_steps", "invalid_type"),
        ({"tools": [TOOL, {"name": "x"}]}, "method.reinforcement.tools[1].server_url", "missing_required_parameter"),
        ({"tools": [TOOL | {"server_url": "ftp://x"}]}, "method.reinforcement.tools[0].server_url", "invalid_value"),
        ({"tools": [TOOL | {"rate": 1}]}, "method.reinforcement.tools[0].rate", "unknown_parameter"),
        ({"tools": [TOOL | {"rate_limit": 0}]}, "method.reinforcement.tools[0].rate_limit", "invalid_value"),
        ({"tools": [TOOL | {"rate_limit": "5"}]}, "method.reinforcement.tools[0].rate_limit", "invalid_type"),
        ({"tools": [TOOL | {"max_concurrency": 0}]}, "method.reinforcement.tools[0].max_concurrency", "invalid_value"),
        ({"tools": [TOOL | {"max_concurrency": 1.5}]}, "method.reinforcement.tools[0].max_concurrency", "invalid_type"),
        ({"agentrft": {"signing_secret": "hush"}}, "method.reinforcement.agentrft.signing_secret", "invalid_value"),
        (
            {"agentrft": {"signing_secret": SECRET[:9]}},
            "method.reinforcement.agentrft.signing_secret",
            "invalid_value",
        ),
        ({"agentrft": {"signing_secret": 5}}, "method.reinforcement.agentrft.signing_secret", "invalid_type"),
        (
            {"agentrft": {"lifecycle": {}}},
            "method.reinforcement.agentrft.lifecycle.url",
            "missing_required_parameter",
        ),
        (
            {"agentrft": {"lifecycle": {"url": "ws://x"}}},
            "method.reinforcement.agentrft.lifecycle.url",
            "invalid_value",
        ),
        (
            {"agentrft": {"lifecycle": {"url": "http://x", "on": 1}}},
            "method.reinforcement.agentrft.lifecycle.on",
            "unknown_parameter",
        ),
        ({"tools": [TOOL, TOOL]}, "method.reinforcement.tools", "invalid_value"),
        ({"tools": [TOOL | {"headers": {"A": 1}}]}, "method.reinforcement.tools[0].headers.A", "invalid_type"),
        ({"tools": [TOOL | {"headers": {"A": "a\nb"}}]}, "method.reinforcement.tools[0].headers", "invalid_value"),
        ({"response_format": {"type": "xml"}}, "method.reinforcement.response_format.type", "invalid_value"),
        ({"grader": None}, "method.reinforcement.grader", "invalid_type"),
    ],
)
def test_a_mistake_is_named_by_its_dotted_path(reinforcement: dict[str, Any], param: str, code: str) -> None:
    found_param, found_code, message = refused(body(**reinforcement))
    assert (found_param, found_code) == (param, code)
    assert param in message
    assert "hush" not in message


def test_a_worker_reads_the_stored_settings_with_the_same_types() -> None:
    format = {"type": "json_schema", "name": "a", "schema": {"type": "object"}}
    asked = body(tools=[TOOL], response_format=format, agentrft={"loss": "dapo"}, max_episode_steps=3)
    stored = json.loads(json.dumps(read_job_request(asked).settings["reinforcement"]))
    read = parse(Reinforcement, stored)
    assert read.agentrft is not None
    assert (read.agentrft.loss, read.max_episode_steps, read.hyperparameters.batch_size) == (Loss.DAPO, 3, "auto")
    assert (read.tools or [])[0].server_url == TOOL["server_url"]


def test_unknown_parameters_are_refused_in_openais_words() -> None:
    assert refused(body() | {"foo": 1}) == ("foo", "unknown_parameter", "Unknown parameter: 'foo'.")
    inside = refused(body(foo=1))[2]
    assert inside == "Unknown parameter: 'method.reinforcement.foo'."
    wrong = body()
    wrong["method"]["extra"] = 1
    assert refused(wrong)[0] == "method.extra"


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"model": None}, "model"),
        ({"suffix": "x" * 65}, "suffix"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**31}, "seed"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"metadata": {str(i): "" for i in range(17)}}, "metadata"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "integrations"),
        ({"method": {"type": "dpo", "dpo": {}}}, "method.type"),
        ({"method": {"type": "reinforcement"}}, "method.reinforcement"),
        ({"method": {}}, "method.type"),
        ({"method": "reinforcement"}, "method"),
        ({"hyperparameters": {"n_epochs": 1}}, "hyperparameters"),
    ],
)
def test_the_outer_part_is_checked_too(changes: dict[str, Any], param: str) -> None:
    assert refused(body() | changes)[0] == param


def test_a_body_that_is_no_object_is_refused() -> None:
    assert refused([1])[1] == "invalid_type"


def test_the_parts_of_other_methods_are_not_read() -> None:
    spec = read_job_request(
        body() | {"method": {"type": "supervised", "supervised": {}, "dpo": {"x": 1}, "reinforcement": {"y": 2}}}
    )
    assert spec.method is Method.SUPERVISED
    assert spec.settings == {
        "type": "supervised",
        "supervised": {
            "hyperparameters": {"batch_size": "auto", "n_epochs": "auto", "learning_rate_multiplier": "auto"}
        },
    }


def test_supervised_hyperparameters_may_stand_at_the_top_once() -> None:
    plain = {"model": "tiny", "training_file": "file-1"}
    spec = read_job_request(plain | {"hyperparameters": {"n_epochs": 3}})
    assert spec.settings["supervised"]["hyperparameters"]["n_epochs"] == 3
    both = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}}
    assert refused(plain | {"method": both, "hyperparameters": {"n_epochs": 3}})[0] == "hyperparameters"
    ours = {"type": "supervised", "supervised": {"agentrft": {"lora_rank": 8, "max_steps": 4, "group_size": 2}}}
    assert refused(plain | {"method": ours})[0] == "method.supervised.agentrft.group_size"


def test_both_spellings_of_a_response_format_become_one() -> None:
    schema = {"type": "object", "properties": {"headers": {"type": ["string", "null"], "default": None}}}
    flat = {"type": "json_schema", "name": "answer", "schema": schema, "strict": True}
    nested = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    for given in (flat, nested):
        spec = read_job_request(body(response_format=given))
        assert spec.settings["reinforcement"]["response_format"] == nested
        assert spec.masked_settings["reinforcement"]["response_format"] == nested


def test_secrets_are_masked_in_what_may_be_shown() -> None:
    grader = {
        "type": "endpoint",
        "url": "http://localhost:1/g",
        "headers": {"X-Key": "hush"},
        "name": "g",
    }
    ours = {"signing_secret": SECRET, "lifecycle": {"url": "http://localhost:1/e", "headers": {"X-Key": "hush"}}}
    spec = read_job_request(body(tools=[TOOL], grader=grader, agentrft=ours))
    shown = spec.masked_settings["reinforcement"]
    assert shown["tools"][0]["headers"] == {"Authorization": "**********"}
    assert shown["grader"]["headers"] == {"X-Key": "**********"}
    assert shown["agentrft"]["signing_secret"] == "**********"
    assert shown["agentrft"]["lifecycle"] == {"url": "http://localhost:1/e", "headers": {"X-Key": "**********"}}
    assert spec.settings["reinforcement"]["agentrft"] == ours
    assert spec.settings["reinforcement"]["tools"][0]["headers"] == {"Authorization": "Bearer hush"}
    assert "hush" not in repr(spec)
    assert SECRET not in repr(spec) + json.dumps(shown)
    assert SECRET not in repr(parse(Reinforcement, spec.settings["reinforcement"]))


def test_the_grader_is_taken_as_it_is_and_replaced_by_its_normal_form() -> None:
    spec = read_job_request(body(grader=GRADER, max_episode_steps=3))
    assert spec.grader == GRADER
    named = spec.with_grader(GRADER | {"name": "g"})
    assert named.grader == GRADER | {"name": "g"}
    assert named.settings["reinforcement"]["max_episode_steps"] == 3
    assert spec.grader == GRADER


@pytest.mark.parametrize("name", ["source", "headers", "response_format", "graders"])
def test_a_part_of_a_grader_keeps_its_secrets_whatever_it_is_called(name: str) -> None:
    part = {"type": "endpoint", "url": "http://localhost:1/g", "headers": {"X-Key": "hush"}}
    spec = read_job_request(body(grader={"type": "multi", "graders": {name: part}, "calculate_output": name}))
    shown = spec.masked_settings["reinforcement"]["grader"]["graders"][name]
    assert shown == {**part, "headers": {"X-Key": "**********"}}


def test_monitor_graders_are_masked_as_the_grader_is() -> None:
    endpoint = {"type": "endpoint", "url": "http://localhost:1/g", "headers": {"X-Key": "hush"}, "name": "judge"}
    spec = read_job_request(body(agentrft={"monitor_graders": [GRADER], "check_grader": False}))
    assert spec.monitor_graders == (GRADER,)
    spec = spec.with_monitors([endpoint, GRADER])
    assert spec.monitor_graders == (endpoint, GRADER)
    shown = spec.masked_settings["reinforcement"]["agentrft"]
    assert [grader.get("headers") for grader in shown["monitor_graders"]] == [{"X-Key": "**********"}, None]
    assert shown["check_grader"] is False
    assert "hush" not in repr(spec)
    assert read_job_request(body()).monitor_graders == ()


def test_monitor_graders_are_a_list_of_at_most_eight() -> None:
    at = "method.reinforcement.agentrft.monitor_graders"
    assert refused(body(agentrft={"monitor_graders": [GRADER] * 9}))[0] == at
    assert refused(body(agentrft={"monitor_graders": {}}))[0] == at


def test_asterisks_in_a_header_are_known_for_a_mask_and_those_elsewhere_are_not() -> None:
    masked = {"type": "endpoint", "headers": {"X-Key": "**********"}}
    assert holds_mask(masked)
    assert holds_mask({"type": "multi", "graders": {"a": masked}})
    assert holds_mask({"graders": [masked]})
    assert not holds_mask({"type": "python", "source": "**********", "headers": {"X-Key": "hush"}})


MASKED = "**********"
ENDPOINT = {"type": "endpoint", "url": "http://localhost:1/g", "headers": {"A": "b", "X-Key": MASKED}}


@pytest.mark.parametrize(
    ("reinforcement", "path"),
    [
        ({"tools": [TOOL, TOOL | {"headers": {"Authorization": MASKED}}]}, "tools[1].headers.Authorization"),
        ({"grader": ENDPOINT}, "grader.headers.X-Key"),
        ({"grader": {"type": "multi", "graders": {"env": ENDPOINT}}}, "grader.graders.env.headers.X-Key"),
        ({"grader": {"type": "multi", "graders": ENDPOINT | {"name": "g"}}}, "grader.graders.headers.X-Key"),
        ({"agentrft": {"signing_secret": MASKED}}, "agentrft.signing_secret"),
        ({"agentrft": {"lifecycle": {"headers": {"X-Key": MASKED}}}}, "agentrft.lifecycle.headers.X-Key"),
        ({"agentrft": {"mcp_servers": [{"env": {"KEY": MASKED}}]}}, "agentrft.mcp_servers[0].env.KEY"),
        ({"agentrft": {"monitor_graders": [GRADER, ENDPOINT]}}, "agentrft.monitor_graders[1].headers.X-Key"),
    ],
)
def test_asterisks_sent_back_in_place_of_a_secret_are_refused(reinforcement: dict[str, Any], path: str) -> None:
    param, code, message = refused(body(**reinforcement))
    assert (param, code) == (f"method.reinforcement.{path}", "invalid_value")
    assert "Give its real value." in message


def test_asterisks_that_are_no_secret_are_the_users_own() -> None:
    schema = {"type": "object", "properties": {"headers": {"X-Key": MASKED}}}
    shape = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    read_job_request(body(response_format=shape, grader={**GRADER, "reference": MASKED}))


def test_a_grader_to_be_run_or_checked_is_not_taken_with_asterisks() -> None:
    with pytest.raises(UserError) as caught:
        read_shape(ENDPOINT, at="grader")
    assert caught.value.param == "grader.headers.X-Key"
