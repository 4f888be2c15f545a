"""Bayesian sampling by Optuna's tree-structured Parzen estimator, as a question without memory: given what all trials before it were
and how they ended, which point does trial n get? The study is made anew from the trials for every question, so there is no state of
Optuna's to keep, to lose in a crash or to get out of step with the jobs. Optuna is imported here only, and only when it is asked."""

from __future__ import annotations

import hashlib
import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lazward.domain.sweeps.sampling import middle
from lazward.domain.sweeps.space import Expression, Space, index


@dataclass(frozen=True)
class Past:
    """A trial there is already. active: the numbers of its point that matter. over: whether it has ended. scores: its value of each
    objective, None where it has none. cut: it was stopped early, so its score counts as that of an unfinished trial."""

    number: int
    active: Mapping[str, float]
    over: bool
    scores: tuple[float | None, ...]
    cut: bool = False


def ask(space: Space, seed: str, maximize: Sequence[bool], past: Sequence[Past], number: int) -> dict[str, float]:
    """The point of trial `number`. maximize: of each objective, whether it is to be great. The same arguments give the same point. Takes
    milliseconds to some hundred with a thousand trials."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Optuna calls experimental is what it recommends for conditional and parallel search
        import optuna

        optuna.logging.set_verbosity(logging.ERROR)
        digest = hashlib.sha256(f"{seed}|{number}".encode()).digest()
        sampler = optuna.samplers.TPESampler(multivariate=True, group=True, constant_liar=True, seed=int.from_bytes(digest[:4], "big"))
        study = optuna.create_study(sampler=sampler, directions=["maximize" if up else "minimize" for up in maximize])
        expressions = dict(space.expressions())
        study.add_trials([_told(optuna, expressions, trial) for trial in sorted(past, key=lambda p: p.number)])
        trial = study.ask()
        return _point(space, trial)


def _point(space: Space, trial: Any) -> dict[str, float]:
    """Asks for each number that matters, in the order of names; what is not asked for is 0."""
    point = {path: 0.0 for path, _ in space.expressions()}
    done: set[str] = set()
    while fresh := [path for path in space.active(point) if path not in done]:
        # A choice that has just been made can bring expressions that matter, and only those.
        path = fresh[0]
        expression = dict(space.expressions())[path]
        done.add(path)
        if expression.kind == "choice":
            count = len(expression.options)
            point[path] = middle(trial.suggest_categorical(path, list(range(count))), count)
        else:
            point[path] = trial.suggest_float(path, 0.0, 1.0)
    return point


def _told(optuna: Any, expressions: Mapping[str, Expression], past: Past) -> Any:
    params, distributions = {}, {}
    for path, u in past.active.items():
        expression = expressions[path]
        if expression.kind == "choice":
            count = len(expression.options)
            params[path], distributions[path] = index(u, count), optuna.distributions.CategoricalDistribution(list(range(count)))
        else:
            params[path], distributions[path] = u, optuna.distributions.FloatDistribution(0.0, 1.0)
    states, made = optuna.trial.TrialState, {"params": params, "distributions": distributions}
    known = [score for score in past.scores if score is not None and math.isfinite(score)]
    if not past.over:
        return optuna.trial.create_trial(state=states.RUNNING, **made)
    if len(known) < len(past.scores):
        return optuna.trial.create_trial(state=states.FAIL, **made)
    if past.cut and len(known) == 1:  # with several objectives Optuna knows of no such thing
        return optuna.trial.create_trial(state=states.PRUNED, value=known[0], intermediate_values={1: known[0]}, **made)
    return optuna.trial.create_trial(state=states.COMPLETE, values=known, **made)
