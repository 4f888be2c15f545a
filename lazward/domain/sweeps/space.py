"""Search spaces: what a sweep varies. Every expression is a map from [0, 1) to values, its inverse distribution function, so a sampler
only ever chooses numbers there: a *point* is {path of an expression: number}, the same for random, Sobol, grid and Bayesian sampling.

The formulas are those of Azure ML's how-to on hyperparameter tuning (parameter_expressions of its SDK); u is the number in [0, 1):

    choice(values)               values[floor(u * n)]
    randint(upper)               floor(u * upper), so upper itself never comes
    uniform(min, max)            min + u * (max - min)
    quniform(min, max, q)        round(uniform(min, max) / q) * q
    loguniform(min, max)         exp(uniform(min, max)): min and max are exponents
    qloguniform(min, max, q)     round(exp(uniform(min, max)) / q) * q
    normal(mu, sigma)            the normal distribution's inverse at u
    qnormal(mu, sigma, q)        round(normal(mu, sigma) / q) * q
    lognormal(mu, sigma)         exp(normal(mu, sigma))
    qlognormal(mu, sigma, q)     round(exp(normal(mu, sigma)) / q) * q

A `logbase` of the random sampler takes the place of e in exp. A choice may be among objects whose members are expressions again
(conditional parameters): only the chosen object's members get values.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from statistics import NormalDist
from typing import Any

Scalar = str | int | float | bool
Point = Mapping[str, float]

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STANDARD = NormalDist()
_EXACT = 2.0**53  # beyond it a float has no room for every whole number
_EDGE = 2.0**-53  # the normal distribution has no values at 0 and 1


@dataclass(frozen=True)
class Expression:
    """kind: "uniform", ... args: its numbers, in the order of the wire. options: what a choice chooses from."""

    kind: str
    args: tuple[float, ...] = ()
    options: tuple[Scalar | Branch, ...] = ()


@dataclass(frozen=True)
class Branch:
    """An object among the options of a choice: fixed values, and expressions that count only when it is chosen."""

    members: tuple[tuple[str, Scalar | Expression], ...]


@dataclass(frozen=True)
class Space:
    """parameters: name -> expression. base: of the logarithmic ones."""

    parameters: Mapping[str, Expression]
    base: float = math.e

    def expressions(self) -> Iterator[tuple[str, Expression]]:
        """(path, expression) of every expression, conditional ones too, in the order of names."""
        for name, expression in self.parameters.items():
            yield from _below(name, expression)

    def values(self, point: Point) -> dict[str, Any]:
        """What each parameter is at a point: a scalar, or {member: value} of the object that was chosen."""
        return {name: self._value(name, expression, point) for name, expression in self.parameters.items()}

    def _value(self, path: str, expression: Expression, point: Point) -> Any:
        if expression.kind != "choice":
            return number(expression, point[path], self.base)
        at = index(point[path], len(expression.options))
        option = expression.options[at]
        if not isinstance(option, Branch):
            return option
        return {
            name: self._value(f"{path}[{at}].{name}", member, point) if isinstance(member, Expression) else member
            for name, member in option.members
        }

    def active(self, point: Point) -> dict[str, float]:
        """The numbers of a point that matter: those of expressions in objects that were not chosen are left out."""
        return {path: point[path] for name, expression in self.parameters.items() for path in self._active(name, expression, point)}

    def _active(self, path: str, expression: Expression, point: Point) -> Iterator[str]:
        yield path
        if expression.kind == "choice":
            at = index(point[path], len(expression.options))
            option = expression.options[at]
            for name, member in option.members if isinstance(option, Branch) else ():
                if isinstance(member, Expression):
                    yield from self._active(f"{path}[{at}].{name}", member, point)


def _below(path: str, expression: Expression) -> Iterator[tuple[str, Expression]]:
    yield path, expression
    for at, option in enumerate(expression.options):
        for name, member in option.members if isinstance(option, Branch) else ():
            if isinstance(member, Expression):
                yield from _below(f"{path}[{at}].{name}", member)


def index(u: float, count: int) -> int:
    """Which of `count` equal stretches of [0, 1) holds u."""
    return min(int(u * count), count - 1)


def number(expression: Expression, u: float, base: float = math.e) -> float | int:
    """The value of a numeric expression at u; see the module's table of formulas."""
    kind, args = expression.kind, expression.args
    if kind == "randint":
        return index(u, int(args[0]))
    if kind.endswith("normal"):
        value = args[0] + args[1] * _STANDARD.inv_cdf(min(max(u, _EDGE), 1 - _EDGE))
    else:
        value = min(max(args[0] * (1 - u) + args[1] * u, args[0]), args[1])
    if "log" in kind:
        value = math.exp(value) if base == math.e else base**value
    return _rounded(value, args[2]) if kind.startswith("q") else value


def _rounded(value: float, q: float) -> float | int:
    """round(value / q) * q without the noise of binary fractions (0.1 * 3 is 0.3), and a whole number where q is one, so that scripts
    may read it as int."""
    steps = round(value / q)
    whole = q == int(q) and abs(steps * q) < _EXACT
    return steps * int(q) if whole else float(Decimal(repr(q)) * steps)


def inputs_of(values: Mapping[str, Any]) -> dict[str, Scalar]:
    """A point's values as literal inputs of a trial. An object that was chosen is given as JSON under its parameter's name; its members
    are given under their own names as well, unless a parameter has that name."""
    out: dict[str, Scalar] = {}
    for value in values.values():
        _spread(value, out)
    for name, value in values.items():
        out[name] = json.dumps(value) if isinstance(value, dict) else value
    return out


def _spread(value: Any, out: dict[str, Scalar]) -> None:
    for name, member in value.items() if isinstance(value, dict) else ():
        _spread(member, out)
        if NAME.fullmatch(name):
            out[name] = json.dumps(member) if isinstance(member, dict) else member


def names(space: Space) -> tuple[set[str], set[str]]:
    """(names that every trial has a value for, names that only some have: members of objects that may not be chosen)."""
    sure, maybe = set(space.parameters), set()
    for expression in space.parameters.values():
        always, ever = _named(expression)
        sure |= always
        maybe |= ever
    return sure, maybe - sure


def _named(expression: Expression) -> tuple[set[str], set[str]]:
    always: set[str] | None = None
    ever: set[str] = set()
    for option in expression.options:
        here: set[str] = set()
        for name, member in option.members if isinstance(option, Branch) else ():
            if NAME.fullmatch(name):
                here.add(name)
                ever.add(name)
            if isinstance(member, Expression):
                inner = _named(member)
                here |= inner[0]
                ever |= inner[1]
        always = here if always is None else always & here
    return always or set(), ever
