import io
import json
from pathlib import Path

from rich.console import Console

from agentrft.demo.follow import Validation
from agentrft.demo.outcome import Outcome, change

BASELINE = Validation(
    reward_mean=0.3, reward_stderr=0.04, tool_calls_mean=4.0, output_tokens_mean=130.0, latency_s_mean=None, n=100
)
FINAL = Validation(
    reward_mean=0.9, reward_stderr=0.03, tool_calls_mean=2.0, output_tokens_mean=65.0, latency_s_mean=None, n=100
)
OUTCOME = Outcome(
    baseline=BASELINE, final=FINAL, steps=10, seconds=600.0, peak_rss_bytes=1, seed=7, phases={"start": 1.0}
)


def test_the_report_has_the_promised_keys(tmp_path: Path) -> None:
    OUTCOME.write(tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(report) == {"baseline", "final", "steps", "seconds", "peak_rss_bytes", "seed", "phases"}
    for part in ("baseline", "final"):
        assert set(report[part]) == {
            "reward_mean",
            "reward_stderr",
            "tool_calls_mean",
            "output_tokens_mean",
            "latency_s_mean",
            "n",
        }
    assert report["final"]["reward_mean"] == 0.9


def test_the_table_shows_before_after_and_change() -> None:
    console = Console(file=io.StringIO(), width=80, record=True)
    console.print(OUTCOME.table())
    shown = console.export_text()
    assert "100 held-out questions" in shown
    assert "+200%" in shown
    assert "-50%" in shown


def test_there_is_no_change_from_nothing() -> None:
    assert change(None, 1.0) == change(0.0, 1.0) == change(1.0, None) == ""
