from __future__ import annotations

import subprocess
import sys

from lazward.domain.sweeps.read_space import read_space
from lazward.domain.sweeps.sampling import random_point
from lazward.orchestration.bayesian import Past, ask

SPACE, _ = read_space({
    "x": ["uniform", [-5, 5]], "model": ["choice", [[{"lr": ["loguniform", [-9, 0]]}, {"depth": ["randint", [9]]}, "none"]]],
})


def score(values: dict) -> float:
    """Least at x = 2 with the first model."""
    model = values["model"]
    return (values["x"] - 2) ** 2 + (0 if isinstance(model, dict) and "lr" in model else 5)


def search(count: int, seed: str, point) -> list[float]:
    past: list[Past] = []
    for number in range(count):
        at = point(seed, past, number)
        past.append(Past(number, SPACE.active(at), True, (score(SPACE.values(at)),)))
    return [p.scores[0] for p in past]


def bayesian(seed, past, number):
    return ask(SPACE, seed, (False,), past, number)


def test_finds_what_is_best_sooner_than_chance():
    """Of the last 15 of 45 points of three searches each: those near the optimum, where one in 15 lies by chance."""
    late = [s for seed in "abc" for s in search(45, seed, bayesian)[30:]]
    chance = [s for seed in "abc" for s in search(45, seed, lambda s, past, n: random_point(SPACE, s, n))[30:]]
    assert sum(s < 1 for s in late) >= 12 > 8 > sum(s < 1 for s in chance)


def test_the_same_history_gives_the_same_point_in_whatever_order_it_comes():
    past = []
    for n in range(12):
        at = random_point(SPACE, "p", n)
        past.append(Past(n, SPACE.active(at), True, (score(SPACE.values(at)),)))
    assert ask(SPACE, "s", (False,), past, 12) == ask(SPACE, "s", (False,), past[::-1], 12)
    assert ask(SPACE, "s", (False,), past, 12) != ask(SPACE, "t", (False,), past, 12)


def test_trials_that_run_failed_or_were_stopped_are_told():
    points = [SPACE.active(random_point(SPACE, "p", n)) for n in range(4)]
    past = [Past(0, points[0], False, (None,)), Past(1, points[1], True, (None,)), Past(2, points[2], True, (1.0,), cut=True), Past(3, points[3], True, (float("nan"),))]
    found = ask(SPACE, "s", (True,), past, 4)
    assert all(0 <= u <= 1 for u in found.values()) and set(found) == {path for path, _ in SPACE.expressions()}


def test_optuna_is_not_loaded_before_it_is_asked():
    code = "import sys, lazward.apps.worker; sys.exit('optuna' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_with_two_objectives_the_points_come_near_the_front():
    """(lr - 0.2)^2 against (lr - 0.8)^2: all of the front lies between."""
    space, faults = read_space({"lr": ["uniform", [0, 1]]})
    assert not faults
    past: list[Past] = []
    for number in range(40):
        point = ask(space, "s", (False, True), past, number)
        lr = space.values(point)["lr"]
        scores = ((lr - 0.4) ** 2, -((lr - 0.6) ** 2))
        past.append(Past(number, space.active(point), number != 5, scores if number != 3 else (None, None), cut=number == 4))
    later = [space.values(dict(one.active))["lr"] for one in past[20:]]
    assert sum(0.3 <= lr <= 0.7 for lr in later) > len(later) / 2
    assert ask(space, "s", (False, True), past, 40) == ask(space, "s", (False, True), past[::-1], 40)
