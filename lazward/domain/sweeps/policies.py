"""Early termination: which running trials are not worth going on with, judged by the metric values they have logged so far.

As Azure ML's how-to on hyperparameter tuning defines them: each time a script logs the primary metric is one *interval*; a policy
judges a trial at every multiple of evaluation_interval that is at least delay_evaluation. A trial is compared with all trials that
have come as far, ended ones too, and with those that are completed with fewer values: theirs are all there will ever be. `best` below
is the greatest or, where the goal is to minimize, the least value up to that interval.

bandit               stopped when its best is not within the slack of the best of all trials: below best / (1 + slack_factor) or
                     best - slack_amount (maximize), above best * (1 + slack_factor) or best + slack_amount (minimize).
median_stopping      stopped when its best is worse than the median of all trials' averages over intervals 1 .. k.
truncation_selection stopped when its value at interval k is among the worst truncation_percentage of all trials' values there.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """kind: "bandit", "median_stopping" or "truncation_selection". interval and delay count values of the metric."""

    kind: str
    interval: int = 1
    delay: int = 0
    slack_factor: float = 0.0
    slack_amount: float = 0.0
    percentage: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """A trial to stop, the interval it was judged at, and why, in words."""

    trial: str
    interval: int
    reason: str


def due(policy: Policy, reported: int) -> int:
    """The last interval at which a trial with so many values is to be judged; 0 = none yet."""
    at = reported // policy.interval * policy.interval
    return at if at >= max(policy.delay, 1) else 0


def verdicts(policy: Policy, maximize: bool, histories: Mapping[str, Sequence[float]], judged: Iterable[str], completed: Set[str] = frozenset()) -> list[Verdict]:
    """Those of the trials `judged` that are to be stopped. histories: the values of each trial, ended ones too, in the order logged; a
    value that is no number counts as the worst there is. completed: trials that ended well."""
    better = {name: [_up(v, maximize) for v in values] for name, values in histories.items()}
    out = []
    for name in judged:
        at = due(policy, len(better.get(name, ())))
        if not at:
            continue
        peers = {other: values[:at] for other, values in better.items() if len(values) >= at or (values and other in completed)}
        reason = _JUDGES[policy.kind](policy, maximize, name, peers, at)
        if reason:
            out.append(Verdict(name, at, reason))
    return out


def _up(value: float, maximize: bool) -> float:
    """The value on a scale where more is better."""
    if math.isnan(value):
        return -math.inf
    return value if maximize else -value


def _bandit(policy: Policy, maximize: bool, name: str, peers: Mapping[str, Sequence[float]], at: int) -> str:
    mine, best = max(peers[name]), max(max(values) for values in peers.values())
    if policy.slack_factor:
        # With values below 0 (on the scale where more is better) the allowed ones lie farther away from 0, not nearer.
        bound = best / (1 + policy.slack_factor) if best > 0 else best * (1 + policy.slack_factor)
        slack = f"slack_factor {policy.slack_factor:g}"
    else:
        bound, slack = best - policy.slack_amount, f"slack_amount {policy.slack_amount:g}"
    if mine >= bound:
        return ""
    return f"bandit policy: at interval {at} its best value {_down(mine, maximize)} is not within {slack} of the best of all trials, {_down(best, maximize)}"


def _median(policy: Policy, maximize: bool, name: str, peers: Mapping[str, Sequence[float]], at: int) -> str:
    median = statistics.median(math.fsum(values) / len(values) if all(map(math.isfinite, values)) else min(values) for values in peers.values())
    mine = max(peers[name])
    if not mine < median:  # the median of infinities may be no number
        return ""
    return f"median stopping policy: at interval {at} its best value {_down(mine, maximize)} is worse than the median of all trials' averages, {_down(median, maximize)}"


def _truncation(policy: Policy, maximize: bool, name: str, peers: Mapping[str, Sequence[float]], at: int) -> str:
    mine = peers[name][-1]
    worse = sum(1 for values in peers.values() if values[-1] < mine)
    cut = int(len(peers) * policy.percentage / 100)
    # Equal values stand or fall together: they fall where all of them are within the cut.
    equal = sum(1 for values in peers.values() if values[-1] == mine)
    if worse + equal > cut:
        return ""
    return f"truncation selection policy: at interval {at} its value {_down(mine, maximize)} is among the lowest {policy.percentage:g} % of {len(peers)} trials"


_JUDGES = {"bandit": _bandit, "median_stopping": _median, "truncation_selection": _truncation}


def _down(value: float, maximize: bool) -> str:
    return f"{value if maximize else -value:.6g}"
