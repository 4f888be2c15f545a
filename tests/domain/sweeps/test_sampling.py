from __future__ import annotations

import json

import pytest

from lazward.domain.sweeps.read_space import read_space
from lazward.domain.sweeps.sampling import grid_point, grid_size, random_point, sobol_point
from lazward.domain.sweeps.sobol import BITS, DIMENSIONS, sobol

CUBE = {f"x{i}": ["uniform", [0, 1]] for i in range(6)}


def space_of(raw):
    space, faults = read_space(raw)
    assert not faults
    return space


class TestRandom:
    def test_the_same_seed_gives_the_same_list_in_any_order(self):
        space = space_of(CUBE)
        forward = [random_point(space, "7", n) for n in range(20)]
        assert [random_point(space, "7", n) for n in reversed(range(20))] == forward[::-1]
        assert all(random_point(space, "8", n) != forward[n] for n in range(20))
        assert len({json.dumps(p) for p in forward}) == 20

    def test_fills_the_interval(self):
        space = space_of(CUBE)
        values = [v for n in range(2000) for v in random_point(space, "s", n).values()]
        assert all(0 <= v < 1 for v in values)
        counts = [sum(1 for v in values if k / 10 <= v < (k + 1) / 10) for k in range(10)]
        assert all(1050 < c < 1350 for c in counts), counts  # 1200 expected; five standard deviations are 164


class TestSobol:
    def test_is_the_published_sequence(self):
        from scipy.stats import qmc

        theirs = qmc.Sobol(d=DIMENSIONS, scramble=False, bits=BITS).random(128)
        for n in range(128):  # they go through the points in the order of the Gray code
            mine = [sobol(n ^ (n >> 1), d) / 2**BITS for d in range(DIMENSIONS)]
            assert mine == list(theirs[n])

    @pytest.mark.parametrize("seed", ["1", "2", "a name"])
    def test_each_parameter_visits_every_stretch_once(self, seed):
        space = space_of(CUBE)
        points = [sobol_point(space, seed, n) for n in range(64)]
        for name in CUBE:
            assert sorted(int(p[name] * 64) for p in points) == list(range(64))

    def test_seeds_differ_and_repeat(self):
        space = space_of(CUBE)
        assert sobol_point(space, "1", 3) == sobol_point(space, "1", 3) != sobol_point(space, "2", 3)


class TestGrid:
    def test_every_combination_once_the_last_parameter_fastest(self):
        space = space_of({"a": ["choice", [[1, 2, 2]]], "b": ["choice", [["x", "y"]]]})
        found = [space.values(grid_point(space, n)) for n in range(grid_size(space))]
        assert found == [{"a": a, "b": b} for a in (1, 2) for b in ("x", "y")]

    def test_values_that_are_equal_but_not_the_same_are_kept_apart(self):
        space = space_of({"a": ["choice", [[1, 1.0, True, "1"]]]})
        assert grid_size(space) == 4

    def test_conditional_choices_count_only_where_they_are_chosen(self):
        space = space_of({"m": ["choice", [[{"k": ["choice", [[1, 2]]], "j": ["choice", [[3, 4]]]}, "none"]]], "z": ["choice", [[0, 9]]]})
        found = [json.dumps(space.values(grid_point(space, n))) for n in range(grid_size(space))]
        assert len(found) == len(set(found)) == 10
