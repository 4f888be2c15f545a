"""Which point a trial gets, by random, Sobol and grid sampling: each is a function of the seed and the trial's number alone, so there is
no state that a crash could lose, and the same seed gives the same list whoever computes it and in whatever order."""

from __future__ import annotations

import hashlib
import math

from lazward.domain.sweeps.sobol import BITS, sobol
from lazward.domain.sweeps.space import Branch, Expression, Space, index


def random_point(space: Space, seed: str, trial: int) -> dict[str, float]:
    """Independent uniform numbers; one parameter's do not depend on which others there are."""
    return {path: _unit(f"{seed}|{trial}|{path}") for path, _ in space.expressions()}


def sobol_point(space: Space, seed: str, trial: int) -> dict[str, float]:
    """Point number `trial` of the Sobol sequence, each dimension shifted (bit by bit) by a number that the seed gives."""
    point = {}
    for dimension, (path, _) in enumerate(space.expressions()):
        shift = int(_unit(f"{seed}|{path}") * 2**BITS)
        point[path] = ((sobol(trial, dimension) ^ shift) + 0.5) / 2**BITS
    return point


def grid_size(space: Space) -> int:
    """How many points the grid of a space of choices has."""
    return math.prod(_count(expression) for expression in space.parameters.values())


def grid_point(space: Space, trial: int) -> dict[str, float]:
    """Point number `trial` of the grid, the last parameter changing fastest. Values that a choice holds twice count once."""
    point = {path: 0.0 for path, _ in space.expressions()}
    for name, expression in reversed(list(space.parameters.items())):
        trial, at = divmod(trial, _count(expression))
        _place(name, expression, at, point)
    return point


def not_for_grid(space: Space) -> list[tuple[str, str]]:
    """(path, kind) of the expressions that have no list of values."""
    return [(path, expression.kind) for path, expression in space.expressions() if expression.kind != "choice"]


def _count(expression: Expression) -> int:
    return sum(_size(expression.options[at]) for at in _distinct(expression))


def _size(option: object) -> int:
    members = option.members if isinstance(option, Branch) else ()
    return math.prod(_count(member) for _, member in members if isinstance(member, Expression))


def _distinct(expression: Expression) -> list[int]:
    first: dict[str, int] = {}
    for at, option in enumerate(expression.options):
        first.setdefault(repr(option), at)
    return list(first.values())


def _place(path: str, expression: Expression, number: int, point: dict[str, float]) -> None:
    """Writes the choices that lead to value `number` of an expression."""
    for at in _distinct(expression):
        size = _size(expression.options[at])
        if number >= size:
            number -= size
            continue
        point[path] = middle(at, len(expression.options))
        option = expression.options[at]
        members = [(n, m) for n, m in option.members if isinstance(m, Expression)] if isinstance(option, Branch) else []
        for name, member in reversed(members):
            number, inner = divmod(number, _count(member))
            _place(f"{path}[{at}].{name}", member, inner, point)
        return


def middle(at: int, count: int) -> float:
    """The number in [0, 1) that stands for option `at` of `count`."""
    u = (at + 0.5) / count
    assert index(u, count) == at
    return u


def _unit(text: str) -> float:
    """A number in [0, 1) that follows from a text and from nothing else."""
    return (int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 11) / 2.0**53
