"""A scripted, careless agent to imitate: it finds answers often enough for reinforcement to have something to build on.

It searches twice, lists folders for nothing, opens wrong reports, chats instead of answering. A model that imitates it
scores somewhat below it; what is left to find is more right answers with fewer calls.
"""

import json
import random
from dataclasses import dataclass, field
from typing import Any

from agentrft.demo.corpus import YEARS, Corpus, Line, Report
from agentrft.demo.questions import Question
from agentrft.demo.toolbox import TOOL_SCHEMAS, ReportTools

MAX_CALLS = 5
# How often it is careless in each way.
LIST_FIRST, SEARCH_AGAIN, LIST_AFTER, WRONG_REPORT, CORRECT_IT, READ_TWICE, MISREAD, WORDY = (
    0.30, 0.35, 0.30, 0.25, 0.50, 0.25, 0.12, 0.25,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One tool call with the reply that it got."""

    name: str
    arguments: dict[str, str]
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """One conversation to learn from."""

    question: Question
    calls: tuple[Call, ...]
    answer: str

    def row(self) -> dict[str, Any]:
        """A line of a supervised data set, in Chat-Completions form."""
        messages = list(self.question.messages)
        for number, call in enumerate(self.calls):
            messages += _exchange(call, f"call_{number}")
        messages.append({"role": "assistant", "content": self.answer})
        return {"messages": messages, "tools": list(TOOL_SCHEMAS)}

    def sample(self) -> dict[str, Any]:
        """What a grader would be given for it."""
        calls = [_call_message(call, f"call_{number}") for number, call in enumerate(self.calls)]
        return {"output_text": self.answer, "output_tools": calls}


@dataclass(slots=True, kw_only=True)
class CarelessAgent:
    """Plays one question at a time; all its choices come from `rng`."""

    corpus: Corpus
    tools: ReportTools
    rng: random.Random
    _calls: list[Call] = field(default_factory=list)

    def play(self, question: Question) -> Demonstration:
        self._calls = []
        found = self._look_around(question)
        opened = self._open(question, found)
        return Demonstration(
            question=question, calls=tuple(self._calls[:MAX_CALLS]), answer=self._answer(question, opened)
        )

    def _look_around(self, question: Question) -> list[str]:
        """Search, perhaps again, with needless lists; the paths that came up."""
        folder, named = question.report.folder, f"{question.report.company} {question.report.year}"
        if self._chance(LIST_FIRST):
            self._call("list", path="/")
        results = self._call("search", query=self._query(question))
        if folder not in results:
            results += "\n" + self._call("search", query=named)
        elif self._chance(SEARCH_AGAIN):
            results += "\n" + self._call("search", query=self._query(question))
        if self._chance(LIST_AFTER):
            self._call("list", path=folder if folder in results else "/")
        return [line for line in results.splitlines() if "/" in line]

    def _open(self, question: Question, found: list[str]) -> Report:
        """Read a report, sometimes the wrong one, sometimes twice; the report that the answer is taken from."""
        right = question.report
        opened = right
        if self._chance(WRONG_REPORT):
            opened = self._wrong_report(right, found)
            self._call("cat", path=opened.path)
            if self._chance(CORRECT_IT) and len(self._calls) < MAX_CALLS:
                opened = right
                self._call("cat", path=opened.path)
        else:
            self._call("cat", path=opened.path)
        if self._chance(READ_TWICE) and len(self._calls) < MAX_CALLS:
            self._call("cat", path=opened.path)
        return opened

    def _wrong_report(self, right: Report, found: list[str]) -> Report:
        other_years = [f"{right.folder}/{year}.txt" for year in YEARS if year != right.year]
        candidates = [path for path in found if path != right.path] or other_years
        return self.corpus.reports[self.rng.choice(candidates)]

    def _answer(self, question: Question, opened: Report) -> str:
        figure = opened.profit if question.line is None else opened.figures[question.line]
        if self._chance(MISREAD):
            figure = opened.figures[self.rng.choice(list(Line))]
        return f"The figure was {figure}." if self._chance(WORDY) else str(figure)

    def _query(self, question: Question) -> str:
        company, year = question.report.company, question.report.year
        line = (question.line or Line.REVENUE).lower()
        queries = (f"{company} {year}", company, f"{company.split()[0]} {line}", f"{company} {line} {year}")
        return self.rng.choices(queries, weights=(0.40, 0.20, 0.15, 0.25))[0]

    def _call(self, name: str, **arguments: str) -> str:
        output: str = getattr(self.tools, name)(**arguments)
        self._calls.append(Call(name=name, arguments=arguments, output=output))
        return output

    def _chance(self, probability: float) -> bool:
        return self.rng.random() < probability


def demonstrate(corpus: Corpus, questions: list[Question], *, seed: int) -> list[Demonstration]:
    """One careless conversation for each question."""
    agent = CarelessAgent(corpus=corpus, tools=ReportTools(corpus), rng=random.Random(f"demonstrations {seed}"))
    return [agent.play(question) for question in questions]


def _exchange(call: Call, call_id: str) -> list[dict[str, Any]]:
    return [
        {"role": "assistant", "content": None, "tool_calls": [_call_message(call, call_id)]},
        {"role": "tool", "tool_call_id": call_id, "content": call.output},
    ]


def _call_message(call: Call, call_id: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
