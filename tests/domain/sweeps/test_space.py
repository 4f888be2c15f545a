from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.domain.sweeps.read_space import ARGUMENTS, read_space
from lazward.domain.sweeps.space import inputs_of, names, number

UNIT = st.floats(0, 1, exclude_max=True)
SMALL = st.floats(-20, 20, allow_subnormal=False)


def space_of(raw: dict, base: float = math.e):
    space, faults = read_space(raw, base)
    assert faults == [], [(f.target, f.message) for f in faults]
    return space


def one(kind: str, *args, u: float, base: float = math.e):
    return space_of({"x": [kind, list(args)]}, base).values({"x": u})["x"]


class TestFormulas:
    """Each against the formula of the documentation, worked out by hand."""

    @pytest.mark.parametrize(("kind", "args", "u", "value"), [
        ("uniform", (2, 4), 0.25, 2.5),
        ("quniform", (0, 10, 3), 0.5, 6),  # round(5 / 3) * 3
        ("quniform", (0, 1, 0.1), 0.34, 0.3),  # and not 0.30000000000000004
        ("loguniform", (-2, 0), 0.5, math.exp(-1)),
        ("qloguniform", (0, 4, 5), 0.75, 20),  # round(exp(3) / 5) * 5
        ("normal", (10, 2), 0.5, 10),
        ("qnormal", (10, 2, 4), 0.5, 8),  # round(2.5) is 2
        ("lognormal", (1, 2), 0.5, math.e),
        ("qlognormal", (3, 1, 2), 0.5, 20),  # round(20.08 / 2) * 2
        ("randint", (10,), 0.999999, 9),
        ("randint", (10,), 0.0, 0),
        ("choice", (["a", "b", "c", "d"],), 0.74, "c"),
    ])
    def test_value(self, kind, args, u, value):
        assert one(kind, *args, u=u) == pytest.approx(value)

    def test_the_normal_ones_have_their_spread(self):
        assert one("normal", 0, 3, u=0.8413447460685429) == pytest.approx(3)

    def test_a_logbase_takes_the_place_of_e(self):
        assert one("loguniform", -4, -2, u=0.5, base=10.0) == pytest.approx(1e-3)
        assert one("lognormal", 3, 1, u=0.5, base=2.0) == pytest.approx(8)
        assert one("uniform", -4, -2, u=0.5, base=10.0) == -3

    def test_whole_steps_are_whole_numbers(self):
        assert isinstance(one("quniform", 1, 100, 1, u=0.3), int)
        assert isinstance(one("quniform", 1, 100, 0.5, u=0.3), float)


def numeric():
    pair = st.tuples(SMALL, SMALL).map(sorted)
    q = st.sampled_from([1, 2, 0.5, 0.1, 0.25, 7])
    sigma = st.floats(0.01, 10)
    return st.one_of(
        *[st.tuples(st.just(kind), pair.map(list)) for kind in ("uniform", "loguniform")],
        *[st.tuples(st.just(kind), st.tuples(pair, q).map(lambda t: [*t[0], t[1]])) for kind in ("quniform", "qloguniform")],
        *[st.tuples(st.just(kind), st.tuples(SMALL, sigma).map(list)) for kind in ("normal", "lognormal")],
        *[st.tuples(st.just(kind), st.tuples(SMALL, sigma, q).map(list)) for kind in ("qnormal", "qlognormal")],
        st.tuples(st.just("randint"), st.integers(1, 10**6).map(lambda n: [n])),
    ).map(list)


@given(numeric(), UNIT, UNIT)
def test_a_greater_number_never_gives_a_lesser_value(raw, u, v):
    """Every expression is an inverse distribution function: this is what makes Sobol and Bayesian sampling work on it."""
    expression = space_of({"x": raw}).parameters["x"]
    low, high = number(expression, min(u, v)), number(expression, max(u, v))
    assert math.isfinite(low) and math.isfinite(high) and low <= high


@given(numeric(), UNIT)
def test_values_are_within_bounds_and_on_steps(raw, u):
    kind, args = raw
    value = one(kind, *args, u=u)
    if kind in ("uniform", "loguniform"):
        low, high = args if kind == "uniform" else (math.exp(args[0]), math.exp(args[1]))
        assert low <= value <= high or math.isclose(value, low) or math.isclose(value, high)
    if kind == "randint":
        assert isinstance(value, int) and 0 <= value < args[0]
    if kind.startswith("q"):
        assert math.isclose(value / args[2], round(value / args[2]), rel_tol=1e-9)


MODEL = {"model": ["choice", [[
    {"kind": "tree", "depth": ["randint", [5]], "lr": ["uniform", [0, 1]]},
    {"kind": "net", "lr": ["uniform", [10, 11]], "inner": ["choice", [[{"deep": ["uniform", [5, 6]]}, 3]]]},
]]], "n": ["choice", [[1]]]}


class TestConditional:
    def test_only_the_members_of_the_chosen_object_have_values(self):
        space = space_of(MODEL)
        point = {path: 0.5 for path, _ in space.expressions()} | {"model": 0.1}
        assert space.values(point) == {"model": {"kind": "tree", "depth": 2, "lr": 0.5}, "n": 1}
        assert set(space.active(point)) == {"model", "n", "model[0].depth", "model[0].lr"}
        point |= {"model": 0.9, "model[1].inner": 0.1}
        assert space.values(point) == {"model": {"kind": "net", "lr": 10.5, "inner": {"deep": 5.5}}, "n": 1}
        assert "model[1].inner[0].deep" in space.active(point)

    def test_as_inputs_an_object_is_json_and_its_members_have_their_names(self):
        found = inputs_of({"model": {"kind": "net", "lr": 10.5, "inner": {"deep": 5.5}, "no name": 1, "n": 7}, "n": 1})
        assert json.loads(found["model"])["inner"] == {"deep": 5.5}
        assert found == {"model": found["model"], "inner": '{"deep": 5.5}', "kind": "net", "lr": 10.5, "deep": 5.5, "n": 1}

    def test_names_that_every_trial_has_and_those_that_some_have(self):
        assert names(space_of(MODEL)) == ({"model", "n", "kind", "lr"}, {"depth", "inner", "deep"})


class TestFaults:
    @pytest.mark.parametrize(("raw", "target", "words"), [
        ({}, "", "needs a search space"),
        (None, "", "needs a search space"),
        ({"a b": ["uniform", [0, 1]]}, ".a b", "not a valid parameter name"),
        ({"x" * 251: ["uniform", [0, 1]]}, "." + "x" * 80, "up to 250"),
        ({"x": ["poisson", [1]]}, ".x", "'poisson' is no search space expression"),
        ({"x": "uniform"}, ".x", "[kind, [arguments]]"),
        ({"x": ["uniform", [1]]}, ".x", "takes 2 arguments (min_value, max_value), not 1"),
        ({"x": ["uniform", ["a", 1]]}, ".x.min_value", "finite number"),
        ({"x": ["uniform", [0, True]]}, ".x.max_value", "finite number"),
        ({"x": ["uniform", [2, 1]]}, ".x.min_value", "greater than max_value"),
        ({"x": ["quniform", [0, 1, 0]]}, ".x.q", "greater than 0"),
        ({"x": ["quniform", [0, 1e300, 1e-9]]}, ".x.q", "too small"),
        ({"x": ["normal", [0, 0]]}, ".x.sigma", "greater than 0"),
        ({"x": ["randint", [0]]}, ".x.upper", "above 0"),
        ({"x": ["randint", [2.5]]}, ".x.upper", "whole number"),
        ({"x": ["loguniform", [1, 1000]]}, ".x", "takes exponents"),
        ({"x": ["lognormal", [0, 500]]}, ".x", "takes exponents"),
        ({"x": ["choice", [[]]]}, ".x.values", "at least one value"),
        ({"x": ["choice", ["abc"]]}, ".x.values", "at least one value"),
        ({"x": ["choice", [[1, None]]]}, ".x.values[1]", "not null"),
        ({"x": ["choice", [[{}]]]}, ".x.values[0]", "at least one member"),
        ({"x": ["choice", [[{"y": ["uniform", [2, 1]]}]]]}, ".x.values[0].y.min_value", "greater than"),
    ])
    def test_one(self, raw, target, words):
        _, [fault] = read_space(raw)
        assert (fault.status, fault.target) == (400, f"properties.searchSpace{target}")
        assert words in fault.message

    def test_all_at_once(self):
        _, faults = read_space({"a": ["uniform", [2, 1]], "b": ["nope", []], "c": ["choice", [[]]]})
        assert [f.target.removeprefix("properties.searchSpace.") for f in faults] == ["a.min_value", "b", "c.values"]

    def test_nesting_without_end_is_cut(self):
        raw: list = ["uniform", [0, 1]]
        for _ in range(200):
            raw = ["choice", [[{"x": raw}]]]
        _, [fault] = read_space({"x": raw})
        assert "nested at most" in fault.message


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.sampled_from(list(ARGUMENTS)), lambda c: st.lists(c, max_size=4) | st.dictionaries(st.text(max_size=5), c, max_size=3), max_leaves=20))
def test_whatever_comes_is_read_or_refused(raw):
    for given_ in (raw, {"x": raw}, {"x": ["choice", [raw]]}, {"x": ["quniform", raw]}):
        space, faults = read_space(given_)
        if not faults:
            space.values({path: 0.5 for path, _ in space.expressions()})
