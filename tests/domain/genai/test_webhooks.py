"""Against MLflow's own: its events, its names and its signature."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities.webhook import VALID_ENTITY_ACTIONS, WebhookEvent
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import _validate_webhook_name
from mlflow.webhooks.delivery import _generate_hmac_signature
from mlflow.webhooks.types import get_example_payload_for_event

from lazward.contract.mlflow import MlflowError
from lazward.domain.genai import webhooks
from lazward.domain.genai.webhooks import Facts, changes

KNOWN = [f"{entity.value}.{action.value}" for entity, actions in VALID_ENTITY_ACTIONS.items() for action in actions]
PROMPT = {"mlflow.prompt.is_prompt": "true"}


def test_the_events_are_mlflows():
    assert {event for event in KNOWN if event != webhooks.NEVER} <= set(webhooks.EXAMPLES)
    for event, example in webhooks.EXAMPLES.items():
        assert example == get_example_payload_for_event(WebhookEvent.from_str(event)), event
        assert webhooks.read_event(webhooks.shown_event(event), "events[0]") == event


@pytest.mark.parametrize("wrong", [None, "model_version.created", {}, {"entity": "MODEL_VERSION"}, {"entity": "MODEL_VERSION", "action": "DELETED"}, {"entity": "MARS", "action": "CREATED"}, {"entity": [], "action": {}}])
def test_what_is_no_event(wrong):
    with pytest.raises(MlflowError):
        webhooks.read_event(wrong, "event")


def test_lists_of_events():
    created = {"entity": "MODEL_VERSION", "action": 1}
    assert webhooks.read_events([created, created]) == ["model_version.created"]
    for wrong in ([], [created] * 101):
        with pytest.raises(MlflowError):
            webhooks.read_events(wrong)


@given(st.text(max_size=70) | st.from_regex(r"[a-zA-Z0-9._-]{1,70}", fullmatch=True))
def test_names_are_mlflows(name):
    try:
        _validate_webhook_name(name)
    except MlflowException:
        with pytest.raises(MlflowError):
            webhooks.check_name(name)
        return
    if name.isascii():  # MLflow takes a letter beyond it that looks like one of these in lower case
        assert webhooks.check_name(name) == name


@given(st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable()), st.integers(0, 2**40), st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
def test_the_signature_is_mlflows(secret, now, data):
    sent = webhooks.body("model_version.created", "2027-01-01T00:00:00+00:00", data)
    made = webhooks.headers("d-1", now, sent, secret)
    assert made["X-MLflow-Signature"] == _generate_hmac_signature(secret, "d-1", str(now), sent.decode())
    assert (made["X-MLflow-Delivery-Id"], made["X-MLflow-Timestamp"]) == ("d-1", str(now))
    assert json.loads(sent) == {"entity": "model_version", "action": "created", "timestamp": "2027-01-01T00:00:00+00:00", "data": data}
    assert "X-MLflow-Signature" not in webhooks.headers("d-1", now, sent, None)


MODEL = Facts("m", False, {"a": "1"}, "d")
VERSION = Facts("m", False, {"a": "1"}, None, "3", "runs:/r/m", "r")


@pytest.mark.parametrize(("before", "after", "told"), [
    (None, MODEL, [("registered_model.created", {"name": "m", "tags": {"a": "1"}, "description": "d"})]),
    (None, VERSION, [("model_version.created", {"name": "m", "version": "3", "source": "runs:/r/m", "run_id": "r", "tags": {"a": "1"}, "description": None})]),
    (None, Facts("p", True, {**PROMPT, "t": "1"}), [("prompt.created", {"name": "p", "tags": {"t": "1"}, "description": ""})]),
    (None, Facts("p", True, {**PROMPT, "mlflow.prompt.text": "Hi", "_mlflow_prompt_type": "text", "t": "1"}, "first", "1"), [
        ("prompt_version.created", {"name": "p", "version": "1", "template": "Hi", "tags": {"t": "1"}, "description": "first"}),
    ]),
    (MODEL, MODEL, []), (MODEL, Facts("m", False, {"a": "2"}, "other"), []),
    (MODEL, Facts("m", False, {"a": "1"}, aliases={"x": "1"}), [("model_version_alias.created", {"name": "m", "alias": "x", "version": "1"})]),
    (Facts("m", False, {}, aliases={"x": "1", "y": "1"}), Facts("m", False, {}, aliases={"x": "2"}), [
        ("model_version_alias.created", {"name": "m", "alias": "x", "version": "2"}), ("model_version_alias.deleted", {"name": "m", "alias": "y"}),
    ]),
    (VERSION, Facts("m", False, {"b": "2"}, None, "3"), [
        ("model_version_tag.set", {"name": "m", "version": "3", "key": "b", "value": "2"}), ("model_version_tag.deleted", {"name": "m", "version": "3", "key": "a"}),
    ]),
    (Facts("p", True, {}), Facts("p", True, {"k": "v"}, aliases={"x": "1"}), [("prompt_tag.set", {"name": "p", "key": "k", "value": "v"}), ("prompt_alias.created", {"name": "p", "alias": "x", "version": "1"})]),
    (Facts("p", True, {"k": "v"}, None, "1"), Facts("p", True, {}, None, "1"), [("prompt_version_tag.deleted", {"name": "p", "version": "1", "key": "k"})]),
])
def test_what_is_told_of_a_change(before, after, told):
    assert list(changes(before, after)) == told
