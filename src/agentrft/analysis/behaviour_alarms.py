"""Alarms of a policy that changes how it works. Thresholds without another source: rl-engine reference, section 4.

Validation is looked at, because its items are the same each time: a change is then one of the policy.
"""

from agentrft.analysis.alert import Alarm, Alert, Severity, traces
from agentrft.analysis.history import History
from agentrft.analysis.signs import answered, is_unaided, normal_answer, top_answer
from agentrft.domain.episode import GradedEpisode, StopReason

MIN_GRADED = 16
REWARD, GRADED = "valid_reward_mean", "valid_rollouts_graded"
ANSWER, CALLS, TOP, UNAIDED = (
    f"valid_{name}" for name in ("answer_tokens_mean", "tool_calls_mean", "top_answer_share", "unaided_success_share")
)
OUTPUT, TURNS = "valid_output_tokens_mean", "valid_turns_mean"
CUT_OFF = (StopReason.MAX_TOKENS, StopReason.CONTEXT)


def answers_grow(history: History) -> Alert | None:
    """Answers of twice the tokens they had at first (length drift, section 4), and at least 16 more."""
    first, now = history.series(ANSWER)[0], history.value(ANSWER)
    if history.value(GRADED) < MIN_GRADED or now < 2 * first or now - first < 16:
        return None
    return Alert(
        message=f"Answers have grown from {first:.0f} to {now:.0f} tokens. If they say no more than before, the grader "
        "pays for length: have it look at what was asked for alone, or charge for length.",
        numbers={"answer_tokens_before": first, "answer_tokens": now},
        trace_ids=traces(sorted(_answered(history), key=_answer_tokens, reverse=True)),
    )


def answers_collapse(history: History) -> Alert | None:
    """Half of the tokens a turn that there were at first (length drift, section 4), from at least 8.

    Per turn, because an agent that needs fewer calls writes less in all, as it should; of all turns, because an answer
    may shrink from a sentence to the number that was asked for, as it should too.
    """
    first, now = (
        each.metrics[OUTPUT] / max(each.metrics[TURNS], 1.0)
        for each in (history.having(TURNS)[0], history.now)
    )  # fmt: skip
    if history.value(GRADED) < MIN_GRADED or first < 8 or now > 0.5 * first:
        return None
    return Alert(
        message=f"The model writes {now:.0f} tokens a turn, where it wrote {first:.0f}. If its answers say too little, "
        "the grader pays for an empty or a fixed answer: `agentrft graders check` shows what it pays for.",
        numbers={"tokens_per_turn_before": first, "tokens_per_turn": now},
        trace_ids=traces(sorted(history.now.valid, key=lambda graded: graded.episode.sampled_tokens)),
    )


def tool_use_collapses(history: History) -> Alert | None:
    """A quarter of the calls that there were at first, or less (calls -> 0 in section 4); serious if reward holds."""
    first, now = history.series(CALLS)[0], history.value(CALLS)
    if history.value(GRADED) < MIN_GRADED or first < 0.5 or now > 0.25 * first:
        return None
    reward_before, reward = history.series(REWARD)[0], history.value(REWARD)
    return Alert(
        message=f"The model calls tools {now:.1f} times an episode, where it called them {first:.1f} times, and its "
        f"reward went from {reward_before:.2f} to {reward:.2f}. If the answers cannot be known without the tools, it "
        "has found something else that the grader pays for.",
        numbers={"calls_before": first, "calls": now, "reward_before": reward_before, "reward": reward},
        trace_ids=traces(_best([graded for graded in history.now.valid if graded.episode.tool_calls == 0])),
        severity=Severity.SERIOUS if reward >= reward_before else Severity.WARN,
    )


def answer_repeats(history: History) -> Alert | None:
    """One answer to more than 60 % of the items (section 4), and 30 points above what the untrained policy did.

    Above that, because the answers to some tasks are few, and then one of them is common from the beginning.
    """
    first, now = history.series(TOP)[0], history.value(TOP)
    if now <= max(0.6, first + 0.3):
        return None
    answer, _ = top_answer(history.now.valid)
    same = [graded for graded in _answered(history) if normal_answer(graded.episode) == answer]
    return Alert(
        message=f"{now:.0%} of the validation items are answered with {answer[:80]!r}. The grader pays for it on items "
        "to which it is no answer, or the policy has stopped reading the question.",
        numbers={"share_before": first, "share": now},
        trace_ids=traces(_best(same)),
        severity=Severity.SERIOUS,
    )


def unaided_success(history: History) -> Alert | None:
    """More than half of the successes without any tool reply (section 4), and 20 points more than at first.

    The share at first counts as what the task allows: some items can be answered without a tool. At first is where
    there were successes enough for a share; one that was never measured is not zero.
    """
    first, now = history.series(UNAIDED)[0], history.value(UNAIDED)
    if now <= max(0.5, first + 0.2):
        return None
    unaided = [graded for graded in history.now.valid if is_unaided(graded.episode)]
    return Alert(
        message=f"{now:.0%} of the successes came without a single useful reply of a tool. If the answers cannot "
        "be known without the tools, the grader pays for guesses or for something in the question.",
        numbers={"share_before": first, "share": now},
        trace_ids=traces(_best(unaided)),
        severity=Severity.SERIOUS,
    )


def truncation(history: History) -> Alert | None:
    """More than 25 % of a step's episodes cut off by a token budget (section 4). Training where there is any."""
    split = "train" if "train_rollouts_graded" in history.now.metrics else "valid"
    metrics = history.now.metrics
    share = sum(metrics.get(f"{split}_stop_share_{reason}", 0.0) for reason in CUT_OFF)
    if metrics.get(f"{split}_rollouts_graded", 0.0) < MIN_GRADED or share <= 0.25:
        return None
    episodes = history.now.train if split == "train" else history.now.valid
    return Alert(
        message=f"{share:.0%} of the episodes were cut off by a token budget and graded on what they had. Raise "
        "agentrft.max_turn_tokens or max_context_tokens, or have the grader charge for length.",
        numbers={"share": share},
        trace_ids=traces([graded for graded in episodes if graded.episode.stop in CUT_OFF]),
    )


BEHAVIOUR_ALARMS = (
    Alarm(name="answers_grow", check=answers_grow, needs=(GRADED, ANSWER)),
    Alarm(name="answers_collapse", check=answers_collapse, needs=(GRADED, OUTPUT, TURNS)),
    Alarm(name="tool_use_collapses", check=tool_use_collapses, needs=(GRADED, REWARD, CALLS)),
    Alarm(name="answer_repeats", check=answer_repeats, needs=(TOP,)),
    Alarm(name="unaided_success", check=unaided_success, needs=(UNAIDED,)),
    Alarm(name="truncation", check=truncation),
)


def _answered(history: History) -> list[GradedEpisode]:
    return [graded for graded in history.now.valid if answered(graded.episode)]


def _answer_tokens(graded: GradedEpisode) -> int:
    return graded.episode.turns[-1].sampled_tokens


def _best(graded: list[GradedEpisode]) -> list[GradedEpisode]:
    return sorted(graded, key=lambda each: each.reward, reverse=True)
