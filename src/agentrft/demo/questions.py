"""Questions with one number for an answer, which one report alone gives, and their rows for a reinforcement job."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentrft.demo.corpus import YEARS, Corpus, Line, Report, Split
from agentrft.demo.toolbox import SYSTEM_PROMPT, TOOL_SCHEMAS

DIFFERENCE_SHARE = 0.1
LOOKUP_PHRASES = (
    "What was the {line} figure of {company} in {year}?",
    "{year} {line} of {company}?",
    "How much {line} did {company} report for {year}?",
    "Find the {line} of {company} in {year}.",
)
DIFFERENCE_PHRASES = (
    "How much higher was the revenue of {company} than its costs in {year}?",
    "What was revenue minus costs at {company} in {year}?",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the agent is asked; only `text` is shown to it. `line` is None for a difference of revenue and costs."""

    text: str
    report: Report
    line: Line | None

    @property
    def answer(self) -> int:
        return self.report.profit if self.line is None else self.report.figures[self.line]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The opening of the conversation, as both kinds of data set hold it."""
        return [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": self.text}]

    def row(self) -> dict[str, Any]:
        """A line of a reinforcement data set; the grader reads `reference_answer` and `report`."""
        return {
            "messages": self.messages,
            "tools": list(TOOL_SCHEMAS),
            "reference_answer": str(self.answer),
            "report": self.report.path,
        }


def draw_questions(corpus: Corpus, split: Split, *, count: int, seed: int) -> list[Question]:
    """`count` distinct questions, a tenth of them differences, in random order."""
    rng = random.Random(f"questions {split} {seed}")
    differences = round(count * DIFFERENCE_SHARE)
    drawn: dict[str, Question] = {}
    while len(drawn) < count:
        question = _draw(corpus, split, rng, difference=len(drawn) < differences)
        drawn.setdefault(question.text, question)
    questions = list(drawn.values())
    rng.shuffle(questions)
    return questions


def _draw(corpus: Corpus, split: Split, rng: random.Random, *, difference: bool) -> Question:
    company, year = rng.choice(corpus.companies[split]), rng.choice(YEARS)
    report = next(report for report in corpus.of(company) if report.year == year)
    line = None if difference else rng.choice(list(Line))
    phrase = rng.choice(DIFFERENCE_PHRASES if line is None else LOOKUP_PHRASES)
    fields: Mapping[str, object] = {"company": company, "year": year, "line": (line or "").lower()}
    return Question(text=phrase.format_map(fields), report=report, line=line)
