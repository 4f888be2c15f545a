from __future__ import annotations

from types import SimpleNamespace

import pytest

from lazward.apps.mlflow.call import Call
from lazward.contract.mlflow import MlflowError
from tests.storage.tracking_data import WORKSPACE


def call(method="POST", **args):
    return Call(SimpleNamespace(request=SimpleNamespace(method=method)), WORKSPACE, True, args, {})  # type: ignore[arg-type]


def test_arguments_by_type():
    made = call(a="x", n="12", f="true", items=[1], names=["a"], view=2, run_uuid="r1")
    assert (made.text("a"), made.text("none"), made.integer("n"), made.integer("none", 3), made.flag("f"), made.flag("none")) == ("x", "", 12, 3, True, False)
    assert (made.items("items"), made.items("none"), made.texts("names"), made.stages("view"), made.stages("none"), made.run_id()) == ([1], [], ["a"], ("deleted",), ("active",), "r1")
    assert call("GET", names="a").texts("names") == ["a"]  # a list of one in a query


@pytest.mark.parametrize(("how", "args"), [
    (lambda c: c.text("a"), {"a": 5}), (lambda c: c.required("a"), {}), (lambda c: c.required("a"), {"a": ""}), (lambda c: c.integer("a"), {"a": "x"}), (lambda c: c.flag("a"), {"a": "maybe"}),
    (lambda c: c.items("a"), {"a": "x"}), (lambda c: c.texts("a"), {"a": [1]}), (lambda c: c.limit(5, 10, "a"), {"a": 11}), (lambda c: c.limit(5, 10, "a"), {"a": 0}), (lambda c: c.stages("a"), {"a": "SOME"}),
    (lambda c: c.stages("a"), {"a": []}), (lambda c: c.run_id(), {}), (lambda c: c.pairs("a"), {"a": [{}]}),
])
def test_wrong_ones_are_named(how, args):
    with pytest.raises(MlflowError) as caught:
        how(call(**args))
    assert caught.value.target
    assert caught.value.target in caught.value.message
