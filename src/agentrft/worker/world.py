"""The world of a reinforcement job: every port that the engine touches, opened together and closed together."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from agentrft.datasets import load_items
from agentrft.domain.episode import Item
from agentrft.domain.job import JudgeEndpoint, Reinforcement
from agentrft.engine.world import World
from agentrft.grading import JudgeTurns, Ranker, SpecGrader, find_judges, make_grader, make_ranker
from agentrft.grading.sandbox import find_isolation_problem
from agentrft.outbound.signature import Signer
from agentrft.ports import Journal
from agentrft.tools import HttpLifecycle, HttpTools
from agentrft.worker.guard import open_guard
from agentrft.worker.journal import StoreJournal
from agentrft.worker.toolbox import open_toolbox
from agentrft.worker.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The world, what is asked in it, and who writes down what happens: the guard, before the store's journal."""

    world: World
    training: Sequence[Item]
    validation: Sequence[Item]
    journal: Journal


@asynccontextmanager
async def open_scene(work: Work, rules: Reinforcement) -> AsyncIterator[Scene]:
    """Connect to everything that the job names.

    Raises:
        UserError, JobFailed: a file, tool, MCP server or judge is not as the job says.
    """
    claim, journal = work.claim, work.journal
    if claim.validation_path is None:
        raise ValueError(f"job {work.job.id} is no reinforcement job")
    training = await asyncio.to_thread(load_items, claim.training_path)
    validation = await asyncio.to_thread(load_items, claim.validation_path, param="validation_file")
    await warn_of_isolation(journal, rules)
    graders = _Graders(work, rules)
    lifecycle = HttpLifecycle(rules.lifecycle, job_id=work.job.id, signer=graders.signer) if rules.lifecycle else None
    async with (
        _warnings(journal) as warn,
        HttpTools(rules.tools, on_misconfigured=warn, signer=graders.signer) as http_tools,
        open_toolbox(
            rules,
            http_tools,
            training=training,
            validation=validation,
            allow_mcp_stdio=work.store.settings.allow_mcp_stdio,
        ) as box,
        await graders.of_the_job() as grader,
        lifecycle or nullcontext(),
        work.engine.sampler as sampler,
        open_guard(journal, rules, graders.make, rows=work.point.rows if work.point else ()) as guard,
    ):
        journal.name_tools(box.names)
        world = World(
            sampler=sampler,
            chat=work.loaded.chat,
            tools=box.tools,
            grader=grader,
            trainer=work.engine.trainer,
            lifecycle=lifecycle,
        )
        yield Scene(world=world, training=box.training, validation=box.validation, journal=guard)


async def warn_of_isolation(journal: Journal, rules: Reinforcement) -> None:
    """Once, whichever of the graders it is that runs python."""
    for grader in (rules.grader, *rules.monitor_graders):
        if problem := await find_isolation_problem(grader):
            await journal.warn(problem)
            return


class _Graders:
    """Makes the job's grader and its monitors, all with the same means."""

    def __init__(self, work: Work, rules: Reinforcement) -> None:
        self._work = work
        self._rules = rules
        self._turns = JudgeTurns()
        self.signer = Signer(rules.signing_secret) if rules.signing_secret else None

    async def of_the_job(self) -> SpecGrader | Ranker:
        """Raises UserError where a judge that was there when the job was created is gone."""
        spec = self._rules.grader
        if spec["type"] == "ruler":
            return make_ranker(spec, judges=await self._judges(spec), turns=self._turns)
        return await self.make(spec)

    async def make(self, spec: Mapping[str, Any]) -> SpecGrader:
        """A grader of single attempts."""
        return make_grader(
            spec,
            judges=await self._judges(spec),
            turns=self._turns,
            response_format=self._rules.response_format,
            sees_trace=self._rules.grader_sees_trace,
            signer=self.signer,
        )

    async def _judges(self, spec: Mapping[str, Any]) -> Mapping[str, JudgeEndpoint]:
        async def find(name: str) -> JudgeEndpoint | None:
            return await self._work.store.judges.find(self._work.claim.job.project_id, name)

        return await find_judges(spec, find)


@asynccontextmanager
async def _warnings(journal: StoreJournal) -> AsyncIterator[Callable[[str, int], None]]:
    """What to call when a tool's replies look like a mistake of its owner's; all is written by the end."""
    tasks: set[asyncio.Task[None]] = set()

    def warn(tool: str, status: int) -> None:
        message = (
            f"The tool {tool!r} answers with HTTP status {status}. The model is shown that as the tool's reply, but it "
            "looks like a mistake in the job's headers or in the tool server. Check both."
        )
        task = asyncio.get_running_loop().create_task(journal.warn(message))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    try:
        yield warn
    finally:
        await asyncio.gather(*tasks)
