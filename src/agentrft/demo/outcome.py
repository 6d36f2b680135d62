"""What a run came to: the table of before and after, and the same figures as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from agentrft.demo.display import number
from agentrft.demo.follow import Validation


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`seconds` counts from the start of the first process to the end of the last phase."""

    baseline: Validation
    final: Validation
    steps: int
    seconds: float
    peak_rss_bytes: int | None  # of all processes together
    seed: int
    phases: Mapping[str, float]  # seconds

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    def table(self) -> Table:
        table = Table(
            title=f"{self.final.n or '?'} held-out questions", title_justify="left", box=None, header_style="bold"
        )
        table.add_column("")
        for name in ("before", "after", "change"):
            table.add_column(name, justify="right")
        for title, before, after, digits in self._rows():
            table.add_row(title, number(before, digits=digits), number(after, digits=digits), change(before, after))
        return table

    def _rows(self) -> list[tuple[str, float | None, float | None, int]]:
        before, after = self.baseline, self.final
        return [
            ("reward", before.reward_mean, after.reward_mean, 2),
            ("tool calls", before.tool_calls_mean, after.tool_calls_mean, 2),
            ("output tokens", before.output_tokens_mean, after.output_tokens_mean, 1),
            ("seconds each", before.latency_s_mean, after.latency_s_mean, 1),
        ]


def change(before: float | None, after: float | None) -> str:
    """The relative change in percent; empty where there is nothing to compare with."""
    return f"{(after - before) / before:+.0%}" if before and after is not None else ""
