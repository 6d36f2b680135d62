"""What went wrong beside the policy, in numbers: attempts lost, and how often each endpoint failed."""

from collections import Counter
from collections.abc import Iterable, Sequence

from agentrft.domain.episode import GradedEpisode
from agentrft.domain.faults import FaultOwner
from agentrft.engine.episode_metrics import tool_names, tool_results
from agentrft.engine.summaries import Metrics, ratio


def fault_metrics(episodes: Sequence[GradedEpisode]) -> Metrics:
    """Of all attempts, those included that met a fault."""
    return _rollouts(episodes) | _faults(episodes) | _rates(episodes)


def _rollouts(episodes: Sequence[GradedEpisode]) -> Metrics:
    graded = sum(each.valid for each in episodes)
    return {
        "rollouts_total": float(len(episodes)),
        "rollouts_graded": float(graded),
        "rollouts_discarded": float(len(episodes) - graded),
        "sampled_tokens": float(sum(each.episode.sampled_tokens for each in episodes)),
        "tokens": float(sum(len(each.episode.tokens) for each in episodes)),
    }


def _faults(episodes: Iterable[GradedEpisode]) -> Metrics:
    faults = [graded.fault for graded in episodes if graded.fault is not None]
    owners, kinds = Counter(fault.owner for fault in faults), Counter(fault.kind for fault in faults)
    places = Counter(fault.where for fault in faults)
    gradings = Counter((fault.kind, fault.where) for fault in faults if fault.owner is FaultOwner.GRADER_ENDPOINT)
    return {
        **{f"faults_{owner}": float(owners[owner]) for owner in FaultOwner},
        **{f"faults_kind_{kind}": float(count) for kind, count in kinds.items()},
        **{f"faults_at_{name}": float(count) for name, count in places.items()},
        **{f"grading_faults_{kind}_at_{name}": float(count) for (kind, name), count in gradings.items()},
    }


def _rates(episodes: Sequence[GradedEpisode]) -> Metrics:
    """Faults per call of each endpoint."""
    at = Counter((graded.fault.owner, graded.fault.where) for graded in episodes if graded.fault is not None)
    replies = Counter(result.name for result in tool_results(episodes) if result.sent)
    failed_gradings = sum(count for (owner, _), count in at.items() if owner is FaultOwner.GRADER_ENDPOINT)
    gradings = failed_gradings + sum(graded.valid for graded in episodes)
    found = ratio("grading_fault_share", failed_gradings, gradings)
    for name in tool_names(episodes):
        failed = at[FaultOwner.TOOL_ENDPOINT, name]
        found[f"replies_of_{name}"] = float(replies[name])
        found |= ratio(f"error_count_{name}", failed, failed + replies[name])
    return found
