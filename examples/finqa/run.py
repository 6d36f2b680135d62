"""A cold start, baseline, a few reinforcement steps and an evaluation on FinQA-format data.

    python examples/finqa/run.py --data FOLDER --steps 2 --items 100 --report report.json

Starts a platform of its own, or uses the one at --url (with its key in AGENTRFT_API_KEY or OPENAI_API_KEY).
"""

import argparse
import inspect
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2
from finqa_agent import grader
from finqa_agent.demonstrations import demonstration
from finqa_agent.pages import HELD_OUT, TRAINING, BadData, read_questions
from finqa_agent.rows import draw
from finqa_agent.tools import TOOL_NAMES
from openai import APIError
from rich.console import Console

from agentrft.demo.conversation import run_tool
from agentrft.demo.display import Display, display_for
from agentrft.demo.follow import JobNotSucceeded, StepFigures
from agentrft.demo.jobs import create_cold_start, create_reinforcement, upload
from agentrft.demo.lock import AlreadyRunning
from agentrft.demo.outcome import Outcome
from agentrft.demo.pace import Plan
from agentrft.demo.platform import Address
from agentrft.demo.processes import ProcessFailed, terminations_interrupt
from agentrft.demo.recipe import Recipe
from agentrft.demo.stage import Stage, ToolProgram, open_stage

EMBEDDING_DEADLINE_S = 3600.0
CONTEXT_TOKENS = 2048


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; the exit status."""
    options = arguments(argv)
    console = Console()
    try:
        with terminations_interrupt():
            run(options, console)
    except KeyboardInterrupt:
        console.print("Stopped.")
        return 130
    except httpx2.HTTPError as error:
        Console(stderr=True).print(f"error: a tool server did not answer: {error}", style="red", markup=False)
        return 1
    except (APIError, BadData, ProcessFailed, JobNotSucceeded, AlreadyRunning) as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    return 0


def run(options: argparse.Namespace, console: Console) -> None:
    training = draw(read_questions(options.data, TRAINING), options.items, seed=options.seed)
    held_out = draw(read_questions(options.data, HELD_OUT), options.items, seed=options.seed)
    data_dir = options.data_dir.expanduser().absolute()
    if not (data_dir / "cache").exists():
        console.print(
            "The first start embeds all pages, which takes minutes; later ones find the vectors in the cache."
        )
    with open_stage(data_dir, _tool_program(options.data, data_dir), console, running=_running(options)) as stage:
        outcome = _train(stage, options, training, held_out, console)
    if options.report:
        outcome.write(options.report)
    console.print()
    console.print(outcome.table())


def method(options: argparse.Namespace, endpoints: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """`method.reinforcement`: pages are long, so what tools show is cut to a budget that leaves room for six turns."""
    return {
        "tools": list(endpoints),
        "grader": {"type": "python", "name": "value", "source": inspect.getsource(grader)},
        "response_format": None,
        "max_episode_steps": 6,
        "hyperparameters": {
            "batch_size": options.batch_size,
            "eval_interval": options.steps,
            "eval_samples": 1,
            "n_epochs": 1 + options.steps * options.batch_size // options.items,
        },
        "agentrft": {
            "group_size": options.group_size,
            "max_steps": options.steps,
            "max_turn_tokens": 96,
            "max_tool_output_tokens": 320,
            "max_context_tokens": CONTEXT_TOKENS,
        },
    }


def _train(
    stage: Stage,
    options: argparse.Namespace,
    training: Sequence[dict[str, Any]],
    held_out: Sequence[dict[str, Any]],
    console: Console,
) -> Outcome:
    with display_for(console) as display:
        model = _cold_start(stage, options, display) if options.demonstrations else options.model
        steps = _reinforce(stage, options, training, held_out, display, model=model)
    return stage.outcome(steps, seed=options.seed)


def _cold_start(stage: Stage, options: argparse.Namespace, display: Display) -> str:
    """Show the model what tools are for; the name of the model that has seen it."""
    stage.phases.begin("cold_start")
    display.phase("cold start")

    def call_tool(name: str, given: Mapping[str, str]) -> str:
        return run_tool(stage.endpoints, name, json.dumps(given), call_id="call_0", trace_id="trace_0")

    shown = draw(read_questions(options.data, TRAINING), options.demonstrations, seed=options.seed + 1)
    rows = [demonstration(row, call_tool) for row in shown]
    recipe = Recipe(base_model=options.model, max_context_tokens=CONTEXT_TOKENS)
    file = upload(stage.client, "finqa_demonstrations.jsonl", rows)
    job = create_cold_start(stage.client, recipe, training_file=file, suffix="finqa-cold-start", seed=options.seed)
    steps = -(-len(rows) // recipe.cold_start_batch_size) * recipe.cold_start_epochs
    plan = Plan(total_steps=steps, step_episodes=recipe.cold_start_batch_size)
    stage.follow(job.id, plan, display, show_steps=False)
    return stage.finished_model(job.id)


def _reinforce(
    stage: Stage,
    options: argparse.Namespace,
    training: Sequence[dict[str, Any]],
    held_out: Sequence[dict[str, Any]],
    display: Display,
    *,
    model: str,
) -> Sequence[StepFigures]:
    stage.phases.begin("baseline")
    display.phase("reinforcement")
    job = create_reinforcement(
        stage.client,
        method(options, stage.endpoints),
        model=model,
        training_file=upload(stage.client, "finqa_train.jsonl", training),
        validation_file=upload(stage.client, "finqa_dev.jsonl", held_out),
        suffix="finqa",
        seed=options.seed,
    )
    plan = Plan(
        total_steps=options.steps,
        step_episodes=options.batch_size * options.group_size,
        eval_episodes=len(held_out),
        eval_interval=options.steps,
    )
    return stage.follow(job.id, plan, display)


def _tool_program(data: Path, data_dir: Path) -> ToolProgram:
    here = str(Path(__file__).parent)
    command = [sys.executable, "-m", "finqa_agent.tool_server", "--data", str(data), "--cache", str(data_dir / "cache")]
    return ToolProgram(
        command=command,
        tool_names=TOOL_NAMES,
        environment={"PYTHONPATH": here, "OMP_WAIT_POLICY": "PASSIVE"},
        deadline_s=EMBEDDING_DEADLINE_S,
    )


def _running(options: argparse.Namespace) -> Address | None:
    """The platform at --url, if one is named."""
    if options.url is None:
        return None
    key = os.environ.get("AGENTRFT_API_KEY") or os.environ.get("OPENAI_API_KEY")
    if not key:
        raise BadData("--url needs the server's key: set AGENTRFT_API_KEY.")
    return Address(url=options.url.rstrip("/").removesuffix("/v1"), api_key=key)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train an agent on FinQA-format data.")
    parser.add_argument("--data", type=Path, required=True, help="folder with corpus.jsonl, train.jsonl and dev.jsonl")
    parser.add_argument("--steps", type=int, default=2, help="reinforcement steps")
    parser.add_argument("--items", type=int, default=100, help="questions of each file, at most")
    parser.add_argument("--demonstrations", type=int, default=120, help="conversations to imitate first; 0 for none")
    parser.add_argument("--batch-size", type=int, default=4, help="questions a step")
    parser.add_argument("--group-size", type=int, default=8, help="attempts at each question")
    parser.add_argument("--model", default="SmolLM2-135M-Instruct", help="model to start from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", type=Path, help="write the figures to this file as JSON")
    parser.add_argument("--url", help="use the platform at this address instead of starting one")
    parser.add_argument("--data-dir", type=Path, default=Path("~/.local/share/agentrft/finqa"))
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
