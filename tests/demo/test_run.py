import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from agentrft.demo.recipe import Recipe
from agentrft.demo.run import Options, run_demo

SMALL = Recipe(
    demonstrations=8,
    training_questions=8,
    held_out_questions=4,
    batch_size=2,
    group_size=2,
    total_steps=2,
    eval_interval=2,
    max_refills=0,
)


@pytest.mark.slow
def test_the_demo_runs_to_its_end_with_the_real_platform_and_the_real_model(tmp_path: Path) -> None:
    written = io.StringIO()
    options = Options(data_dir=tmp_path / "data", leave_up=False, report=tmp_path / "report.json", recipe=SMALL)
    run_demo(options, Console(file=written, width=120))
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["steps"] == 2
    assert report["baseline"]["n"] == report["final"]["n"] == 4
    assert report["final"]["tool_calls_mean"] is not None
    assert report["peak_rss_bytes"] < 6 * 2**30
    assert set(report["phases"]) == {"start", "cold_start", "baseline", "reinforcement", "example"}
    for text in ("4 held-out questions", "The trained model at work", "ft:SmolLM2-135M-Instruct"):
        assert text in written.getvalue()
