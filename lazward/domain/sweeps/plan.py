"""A sweep's document as what its steps need: space, sampler, objective, policy, limits. Reading it checks it: every fault at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from lazward.contract.errors import ArmError, bad_request
from lazward.domain.durations import parse_duration
from lazward.domain.resource import Doc
from lazward.domain.sweeps.machine import Plan
from lazward.domain.sweeps.objectives import PROPERTY, Objective, read_objectives
from lazward.domain.sweeps.policies import Policy
from lazward.domain.sweeps.read_space import read_space
from lazward.domain.sweeps.sampling import grid_size, not_for_grid
from lazward.domain.sweeps.sobol import DIMENSIONS
from lazward.domain.sweeps.space import Space
from lazward.domain.tracking.names import MAX_KEY, is_key

DEFAULT_TRIALS, MAX_TRIALS = 1000, 10_000
ALGORITHMS = {"random": "Random", "grid": "Grid", "bayesian": "Bayesian"}
POLICIES = {"bandit": "bandit", "medianstopping": "median_stopping", "truncationselection": "truncation_selection"}


@dataclass(frozen=True)
class Sweep:
    """algorithm: "random", "sobol", "grid" or "bayesian". seed: None = the sweep's own name. timeout: seconds, None = none. others:
    objectives beside the first."""

    space: Space
    algorithm: str
    seed: int | None
    metric: str
    maximize: bool
    policy: Policy | None
    plan: Plan
    timeout: float | None
    others: tuple[Objective, ...] = ()

    @property
    def goals(self) -> tuple[bool, ...]:
        """Of each objective, whether it is to be great."""
        return (self.maximize, *(one.maximize for one in self.others))


def read_sweep(properties: Doc) -> tuple[Sweep, list[ArmError]]:
    """The sweep and all that is wrong with it; with faults it is not to be used."""
    reader = _Reader(properties)
    algorithm, seed, base = reader.sampler()
    space, faults = read_space(properties.get("searchSpace"), base)
    reader.faults += faults
    if not faults:
        reader.fits(algorithm, space)
    metric, maximize = reader.objective()
    others = reader.others(metric)
    policy = reader.policy()
    plan, timeout = reader.limits()
    if algorithm == "grid" and not reader.faults:
        plan = Plan(min(plan.total, grid_size(space)), plan.concurrent)
    return Sweep(space, algorithm, seed, metric, maximize, policy, plan, timeout, others), reader.faults


class _Reader:
    def __init__(self, properties: Doc):
        self.properties = properties
        self.faults: list[ArmError] = []

    def fault(self, target: str, message: str) -> None:
        self.faults.append(bad_request(message, f"properties.{target}", "InvalidSweep"))

    def sampler(self) -> tuple[str, int | None, float]:
        given = self.properties.get("samplingAlgorithm") or {}
        kind = str(given.get("samplingAlgorithmType") or "").lower()
        if kind not in ALGORITHMS:
            self.fault("samplingAlgorithm.samplingAlgorithmType", f"The sampling algorithm is one of {', '.join(ALGORITHMS.values())}, not '{kind[:40]}'.")
            return "random", None, math.e
        seed = given.get("seed")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            self.fault("samplingAlgorithm.seed", f"A seed is a whole number, not '{str(seed)[:40]}'.")
            seed = None
        rule = str(given.get("rule") or "random").lower()
        if rule not in ("random", "sobol"):
            self.fault("samplingAlgorithm.rule", f"The rule of random sampling is random or sobol, not '{rule[:40]}'.")
        elif kind == "random":
            kind = rule
        return kind, seed, self._base(given.get("logbase"))

    def _base(self, given: Any) -> float:
        if given is None or given == "e":
            return math.e
        try:
            base = math.nan if isinstance(given, bool) else float(given)
        except (TypeError, ValueError):
            base = math.nan
        if math.isfinite(base) and base > 0 and base != 1:
            return base
        self.fault("samplingAlgorithm.logbase", f"logbase is a positive number other than 1, or 'e', not '{str(given)[:40]}'.")
        return math.e

    def fits(self, algorithm: str, space: Space) -> None:
        if algorithm == "grid":
            for path, kind in not_for_grid(space):
                self.fault(f"searchSpace.{path}", f"Grid sampling goes through lists of values: every parameter is a choice. '{path[:80]}' is {kind}; use random or bayesian sampling for it.")
        count = sum(1 for _ in space.expressions())
        if algorithm == "sobol" and count > DIMENSIONS:
            self.fault("searchSpace", f"The rule sobol takes up to {DIMENSIONS} expressions, this space has {count}; use the rule random.")

    def objective(self) -> tuple[str, bool]:
        given = self.properties.get("objective") or {}
        metric, goal = given.get("primaryMetric"), str(given.get("goal") or "").lower()
        if goal not in ("minimize", "maximize"):
            self.fault("objective.goal", f"The goal is Minimize or Maximize, not '{goal[:40]}'.")
        if not isinstance(metric, str) or not is_key(metric):
            self.fault("objective.primaryMetric", f"A sweep needs the name of the metric its trials log (up to {MAX_KEY} letters, digits, '_', '-', '.', '/', ':' and blanks).")
            metric = ""
        return metric, goal == "maximize"

    def others(self, first: str) -> tuple[Objective, ...]:
        found, wrong = read_objectives((self.properties.get("properties") or {}).get(PROPERTY), first)
        if wrong:
            self.fault(f"properties.{PROPERTY}", f"The further objectives of a sweep: {wrong}")
        return found

    def policy(self) -> Policy | None:
        given = self.properties.get("earlyTermination")
        if not given:
            return None
        kind = POLICIES.get(str(given.get("policyType") or "").replace("_", "").lower())
        if kind is None:
            self.fault("earlyTermination.policyType", f"The policy is one of Bandit, MedianStopping, TruncationSelection, not '{str(given.get('policyType'))[:40]}'.")
            return None
        interval, delay = self._count(given, "evaluationInterval"), self._count(given, "delayEvaluation")
        factor = amount = percentage = 0.0
        if kind == "bandit":
            factor, amount = self._amount(given, "slackFactor"), self._amount(given, "slackAmount")
            if factor and amount:
                self.fault("earlyTermination", "A bandit policy has a slackFactor or a slackAmount, not both.")
        if kind == "truncation_selection":
            percentage = self._amount(given, "truncationPercentage")
            if not 1 <= percentage <= 99:
                self.fault("earlyTermination.truncationPercentage", f"truncationPercentage is between 1 and 99, not {percentage:g}.")
        return Policy(kind, max(interval, 1), delay, factor, amount, percentage)

    def _count(self, given: Doc, name: str) -> int:
        value = given.get(name) or 0
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            self.fault(f"earlyTermination.{name}", f"{name} is a whole number of intervals from 0 on, not '{str(value)[:40]}'.")
            return 0
        return value

    def _amount(self, given: Doc, name: str) -> float:
        value = given.get(name) or 0
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            self.fault(f"earlyTermination.{name}", f"{name} is a number from 0 on, not '{str(value)[:40]}'.")
            return 0.0
        return float(value)

    def limits(self) -> tuple[Plan, float | None]:
        given = self.properties.get("limits") or {}
        counts = {}
        for name in ("maxTotalTrials", "maxConcurrentTrials"):
            value = given.get(name)
            if value is not None and not (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_TRIALS):
                self.fault(f"limits.{name}", f"{name} is a whole number between 1 and {MAX_TRIALS}, not '{str(value)[:40]}'.")
                value = None
            counts[name] = value
        total = counts["maxTotalTrials"] or DEFAULT_TRIALS
        # More at once than there are is what Azure's own examples ask for; it means: all of them.
        plan = Plan(total, min(counts["maxConcurrentTrials"] or total, total))
        seconds = {name: self._seconds(given.get(name), name) for name in ("timeout", "trialTimeout")}
        return plan, seconds["timeout"]

    def _seconds(self, value: Any, name: str) -> float | None:
        if value is None:
            return None
        try:
            seconds = parse_duration(value, f"properties.limits.{name}")
        except ArmError as error:
            self.faults.append(error)
            return None
        if seconds <= 0:
            self.fault(f"limits.{name}", f"{name} is longer than nothing.")
        return seconds
