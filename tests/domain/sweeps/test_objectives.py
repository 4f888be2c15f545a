import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.domain.sweeps.objectives import Objective, front, read_objectives

SCORES = st.integers(1, 4).flatmap(lambda n: st.tuples(
    st.lists(st.booleans(), min_size=n, max_size=n),
    st.dictionaries(st.integers(), st.lists(st.integers(-3, 3).map(float), min_size=n, max_size=n), max_size=12),
))


def beats(one, other, maximize):
    as_good = [a >= b if up else a <= b for a, b, up in zip(one, other, maximize, strict=True)]
    return all(as_good) and one != other


@given(SCORES)
def test_the_front_is_what_nobody_beats(case):
    maximize, scores = case
    assert front(scores, maximize) == [key for key, mine in scores.items() if not any(beats(other, mine, maximize) for other in scores.values())]


@given(SCORES.filter(lambda case: case[1]))
def test_everybody_else_is_beaten_by_one_of_the_front(case):
    maximize, scores = case
    best = front(scores, maximize)
    assert best
    assert all(any(beats(scores[key], mine, maximize) for key in best) for other, mine in scores.items() if other not in best)


def test_with_one_objective_it_is_the_best():
    assert front({"a": [1.0], "b": [3.0], "c": [3.0]}, [True]) == ["b", "c"]


class TestRead:
    def test_objectives(self):
        assert read_objectives(json.dumps([{"primary_metric": "size", "goal": "Minimize"}]), "loss") == ((Objective("size", False),), "")
        assert read_objectives(None, "loss") == ((), "")

    @pytest.mark.parametrize(("text", "words"), [
        ("{", "JSON"), ("[]", "1 to 7"), ('{"a": 1}', "1 to 7"), ('[{"primary_metric": "x"}]', "minimize or maximize"), ("[1]", "primary_metric"), (7, "JSON|1 to 7"),
        ('[{"primary_metric": "loss", "goal": "minimize"}]', "named once"), ('[{"primary_metric": "", "goal": "minimize"}]', "primary_metric"),
    ])
    def test_faults(self, text, words):
        found, wrong = read_objectives(text, "loss")
        assert found == ()
        assert any(word in wrong for word in words.split("|"))
