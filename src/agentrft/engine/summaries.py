"""Numbers of many numbers, under a name; nothing where there are none."""

from collections.abc import Sequence
from math import ceil, fsum

Metrics = dict[str, float]
QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


def ratio(name: str, total: float, count: int) -> Metrics:
    return {name: total / count} if count else {}


def spread(name: str, values: Sequence[float], *, of: str = "") -> Metrics:
    """Mean and quantiles of `values`, named `<name>_mean`, `<name>_p50` and so on, then `_<of>` where that is given.

    A quantile is by nearest rank: the smallest value that at least that share of the values do not exceed. It is a
    value that was measured, however few there are: of 10 values the 95th percentile is the largest.
    """
    if not values:
        return {}
    ordered, end = sorted(values), f"_{of}" if of else ""
    found = {f"{name}_{label}{end}": ordered[ceil(share * len(ordered)) - 1] for label, share in QUANTILES.items()}
    return {f"{name}_mean{end}": fsum(values) / len(values), **found}
