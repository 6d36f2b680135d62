"""The little world that the demo's agent works in: yearly reports of companies that do not exist, all from one seed."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

# Each word is one token for common vocabularies, capitalised or not, after a space or not: a model of 135M parameters
# copies such names reliably, and misspells rare ones, which would make the demo measure spelling.
_FIRST_WORDS = (
    "River Ocean Forest Rose Sun Moon Star Sky Rain Snow Winter Summer Spring North South East West Central Prime "
    "Grand Delta Alpha Omega Matrix Vector Lake Stone Rock Iron Bay Hill Peak Field Mill Union Century Modern Urban "
    "Apple Sugar Window Button Gold Red Blue Green White Black Bird Tree Leaf Fire Wind Cloud Earth Port Gate Park "
    "King Eastern Western"
)
_SECOND_WORDS = "Foods Energy Paper Media Bank Water Power Travel Health Music Books Software"
FIRST_WORDS = tuple(_FIRST_WORDS.split())
SECOND_WORDS = tuple(_SECOND_WORDS.split())
PROSE = (
    "Demand was strong after the holidays.",
    "A new plant opened in May.",
    "The board was unchanged.",
    "Prices stayed flat.",
    "One site closed in March.",
    "Exports were weak.",
    "The fleet was renewed.",
    "The weather was mild.",
)
YEARS = (2014, 2015, 2016, 2017)
NAMESAKES = 3  # companies that share a first word, so that half a name finds the wrong report
TRAINING_COMPANIES = 120
HELD_OUT_COMPANIES = 60


class Split(StrEnum):
    """Which questions a company belongs to. Splits share no first word of a name."""

    TRAINING = "training"
    HELD_OUT = "held_out"


class Line(StrEnum):
    """The four figures of a report."""

    REVENUE = "Revenue"
    COSTS = "Costs"
    EMPLOYEES = "Employees"
    DEBT = "Debt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One company's figures of one year, as a short text under a path such as `river_foods/2015.txt`."""

    company: str
    year: int
    figures: Mapping[Line, int]
    text: str

    @property
    def folder(self) -> str:
        return self.company.lower().replace(" ", "_")

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.year}.txt"

    @property
    def profit(self) -> int:
        return self.figures[Line.REVENUE] - self.figures[Line.COSTS]

    @property
    def numbers(self) -> frozenset[int]:
        """Every number that a question about this report can ask for."""
        return frozenset(self.figures.values()) | {self.profit}


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """All reports by path, and the companies of each split."""

    reports: Mapping[str, Report]
    companies: Mapping[Split, tuple[str, ...]]

    def of(self, company: str) -> list[Report]:
        """The reports of one company, oldest first."""
        return [report for report in self.reports.values() if report.company == company]


def build_corpus(seed: int) -> Corpus:
    """The same seed gives the same corpus, on every machine."""
    rng = random.Random(f"corpus {seed}")
    first_words = rng.sample(FIRST_WORDS, (TRAINING_COMPANIES + HELD_OUT_COMPANIES) // NAMESAKES)
    families = [[f"{first} {second}" for second in rng.sample(SECOND_WORDS, NAMESAKES)] for first in first_words]
    reports = {report.path: report for family in families for report in _family_reports(family, rng)}
    names = tuple(name for family in families for name in family)
    return Corpus(
        reports=reports,
        companies={Split.HELD_OUT: names[:HELD_OUT_COMPANIES], Split.TRAINING: names[HELD_OUT_COMPANIES:]},
    )


def _family_reports(family: list[str], rng: random.Random) -> list[Report]:
    """Reports of companies that share a first word.

    None of their numbers repeats, so that a wrong report of theirs cannot give a right answer.
    """
    taken: set[int] = set()
    reports = []
    for company in family:
        for year in YEARS:
            report = _report(company, year, rng)
            while len(report.numbers) < len(Line) + 1 or report.numbers & taken:
                report = _report(company, year, rng)
            taken |= report.numbers
            reports.append(report)
    return reports


def _report(company: str, year: int, rng: random.Random) -> Report:
    costs = rng.randint(110, 690)
    figures = {
        Line.REVENUE: costs + rng.randint(12, 290),
        Line.COSTS: costs,
        Line.EMPLOYEES: rng.randint(21, 98),
        Line.DEBT: rng.randint(101, 899),
    }
    lines = [f"{line}: {figures[line]}" for line in rng.sample(list(Line), len(Line))]
    text = "\n".join([f"{company} {year}", *lines, rng.choice(PROSE)])
    return Report(company=company, year=year, figures=figures, text=text)
