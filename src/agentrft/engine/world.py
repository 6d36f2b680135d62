"""All that a reinforcement job touches, and who attempts items in it."""

from dataclasses import dataclass

from agentrft.domain.job import Job, Reinforcement
from agentrft.engine.attempts import Examiner
from agentrft.engine.gate import Gate
from agentrft.engine.rollout import Agent
from agentrft.ports import ChatFormat, Grader, GroupGrader, Journal, Lifecycle, Sampler, Tools, Trainer


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    sampler: Sampler
    chat: ChatFormat
    tools: Tools
    grader: Grader | GroupGrader
    trainer: Trainer
    lifecycle: Lifecycle | None = None

    def examiner(self, job: Job, rules: Reinforcement, journal: Journal) -> Examiner:
        """Who attempts the job's items with the job's budgets."""
        agent = Agent(
            sampler=self.sampler,
            chat=self.chat,
            tools=self.tools,
            sampling=job.sampling,
            limits=rules.limits,
            seed=job.seed,
        )
        return Examiner(
            agent=agent,
            grader=self.grader,
            gate=Gate(rules.faults, journal),
            max_attempts=rules.max_attempts,
            lifecycle=self.lifecycle,
        )
