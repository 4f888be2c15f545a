"""With MLflow's own validation as the oracle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.genai.review_queues import validation

from lazward.contract.mlflow import MlflowError
from lazward.domain.genai import review_queues as rules

names = st.sampled_from(["Ann", " ann ", "BOB", "", " ", "Default", "x" * 250, "x" * 251]) | st.text(max_size=4)


@given(st.sampled_from(["USER", "CUSTOM"]), names, st.lists(names, max_size=12), st.lists(st.sampled_from(["ls-1", " ls-1", "", "y" * 37]), max_size=2))
def test_drafts(kind, name, users, schemas):
    try:
        expected = validation.validate_queue_for_create(name=name, queue_type=kind.lower(), users=users, schema_ids=schemas)
    except MlflowException:
        with pytest.raises(MlflowError):
            rules.draft(kind, name, users, schemas)
        return
    assert rules.draft(kind, name, users, schemas) == (expected.name, expected.users, expected.schema_ids)


@given(st.lists(st.sampled_from(["tr-1", " tr-1 ", "tr-2", "", "z" * 51]), max_size=4))
def test_items(ids):
    try:
        expected = validation.validate_item_ids_for_attach(ids)
    except MlflowException:
        with pytest.raises(MlflowError):
            rules.items_of(ids)
        return
    assert rules.items_of(ids) == expected


def test_owners():
    assert rules.owner_of(" Eve ") == "Eve"
    for wrong in ("", " ", "x" * 251):
        with pytest.raises(MlflowError):
            rules.owner_of(wrong)
