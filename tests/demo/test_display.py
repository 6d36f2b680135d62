import io

from rich.console import Console

from agentrft.demo.display import PlainDisplay, TerminalDisplay, clock, display_for, step_cells
from agentrft.demo.follow import StepFigures, Validation

VALIDATION = Validation(
    reward_mean=0.31, reward_stderr=0.04, tool_calls_mean=3.9, output_tokens_mean=128.0, latency_s_mean=2.0, n=100
)


def figures(step: int, validation: Validation | None = None) -> StepFigures:
    return StepFigures(
        step=step,
        total_steps=9,
        loss=None,
        reward=0.5,
        tool_calls=3.25,
        output_tokens=99.6,
        validation=validation,
        seconds=20.2,
    )


def test_a_terminal_gets_bars_and_a_table_and_a_file_gets_lines() -> None:
    assert isinstance(display_for(Console(file=io.StringIO(), force_terminal=True)), TerminalDisplay)
    assert isinstance(display_for(Console(file=io.StringIO())), PlainDisplay)


def test_plain_lines_tell_parts_and_steps_at_once_and_progress_now_and_then() -> None:
    written = io.StringIO()
    moments = iter([0.0, 1.0, 2.0, 20.0, 20.0, 21.0])
    with PlainDisplay(Console(file=written), now=lambda: next(moments)) as display:
        display.phase("cold start")
        display.progress(0.1, "step 1", 60.0)
        display.progress(0.5, "step 5", 61.0)
        display.step(figures(1, VALIDATION))
    assert written.getvalue().splitlines() == [
        "[0:01] cold start",
        "[0:20]   50% step 5, 1:01 left",
        "[0:21]   step 1/9, reward 0.50, tool calls 3.25, output tokens 100, held-out reward 0.31, "
        "held-out calls 3.90, seconds 20",
    ]


def test_the_terminal_shows_each_part_and_each_step() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=140, record=True)
    with TerminalDisplay(console) as display:
        display.phase("cold start")
        display.progress(0.5, "step 5", 61.0)
        display.phase("reinforcement")
        display.step(figures(0, VALIDATION))
        display.step(figures(1))
    shown = console.export_text()
    for text in ("cold start", "reinforcement", "100%", "held-out reward", "0.31", "3.25"):
        assert text in shown


def test_the_baseline_has_no_training_figures() -> None:
    assert step_cells(figures(0, VALIDATION)) == ["0/9", "", "", "", "0.31", "3.90", "20"]


def test_clock_reads_minutes_and_seconds() -> None:
    assert [clock(seconds) for seconds in (-1, 0, 61.4, 3600)] == ["0:00", "0:00", "1:01", "60:00"]
