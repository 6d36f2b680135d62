"""Run the demo for several seeds, one after the other, and say what holds over all of them.

    python benchmarks/demo.py --seeds 0 1 2 --out figures.json

Prints a Markdown table with every seed, the mean and the spread, and whether the demo's targets are met. Nothing is
left out: a seed that fails is shown as failed.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Report = dict[str, Any]

COLUMNS = {
    "reward before": lambda r: r["baseline"]["reward_mean"],
    "after": lambda r: r["final"]["reward_mean"],
    "gain": lambda r: r["final"]["reward_mean"] - r["baseline"]["reward_mean"],
    "calls before": lambda r: r["baseline"]["tool_calls_mean"],
    "after ": lambda r: r["final"]["tool_calls_mean"],
    "fewer calls": lambda r: 1 - r["final"]["tool_calls_mean"] / r["baseline"]["tool_calls_mean"],
    "tokens before": lambda r: r["baseline"]["output_tokens_mean"],
    "after  ": lambda r: r["final"]["output_tokens_mean"],
    "fewer tokens": lambda r: 1 - r["final"]["output_tokens_mean"] / r["baseline"]["output_tokens_mean"],
    "steps": lambda r: r["steps"],
    "minutes": lambda r: r["seconds"] / 60,
    "peak GiB": lambda r: r["peak_rss_bytes"] / 2**30,
}

TARGETS = {
    "baseline between 0.20 and 0.60": lambda r: 0.20 <= r["baseline"]["reward_mean"] <= 0.60,
    "reward at least 0.25 higher": lambda r: COLUMNS["gain"](r) >= 0.25,
    "at least 30 % fewer calls": lambda r: COLUMNS["fewer calls"](r) >= 0.30,
    "at least 20 % fewer tokens": lambda r: COLUMNS["fewer tokens"](r) >= 0.20,
    "at most 12 minutes": lambda r: r["seconds"] <= 720,
    "under 6 GiB": lambda r: r["peak_rss_bytes"] < 6 * 2**30,
}


def run_seed(seed: int) -> Report | None:
    """One run of the demo in a data directory of its own; None when it failed."""
    with tempfile.TemporaryDirectory(prefix="agentrft-benchmark-") as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "agentrft.cli", "demo", "--exit", "--seed", str(seed)]
        command += ["--report", str(report), "--data-dir", str(Path(folder) / "data")]
        done = subprocess.run(command, check=False)
        if done.returncode != 0 or not report.is_file():
            return None
        loaded: Report = json.loads(report.read_text())
        return loaded


def table(reports: Sequence[Report]) -> str:
    """A row a seed, then mean and standard deviation."""
    lines = ["| seed | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for report in reports:
        cells = [f"{column(report):.2f}" for column in COLUMNS.values()]
        lines.append(f"| {report['seed']} | " + " | ".join(cells) + " |")
    for name, summary in (("mean", statistics.mean), ("sd", statistics.stdev)):
        if len(reports) > 1:
            cells = [f"{summary([column(report) for report in reports]):.2f}" for column in COLUMNS.values()]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Exit status 1 when a seed failed or missed a target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, help="also write all reports as JSON")
    options = parser.parse_args()
    outcomes = {seed: run_seed(seed) for seed in options.seeds}
    reports = [report for report in outcomes.values() if report is not None]
    if options.out:
        options.out.write_text(json.dumps(reports, indent=2))
    print(table(reports) if reports else "no seed finished")
    failed = [seed for seed, report in outcomes.items() if report is None]
    if failed:
        print(f"failed seeds: {failed}")
    missed = [f"seed {r['seed']}: {name}" for name, met in TARGETS.items() for r in reports if not met(r)]
    print("\n".join(["all targets met"] if reports and not missed else [f"missed: {line}" for line in missed]))
    return 1 if failed or missed else 0


if __name__ == "__main__":
    sys.exit(main())
