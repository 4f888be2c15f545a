"""What people who evaluate generative models do with MLflow 3, against the tracking URI of the environment. Run by test_genai.py.
RECEIVER: address of a webhook's receiver."""

from __future__ import annotations

import json
import os
import sys

import mlflow
from mlflow import MlflowClient, genai
from mlflow.entities.issue import IssueSeverity, IssueStatus
from mlflow.genai.label_schemas.label_schemas import (
    InputCategorical,
    InputNumeric,
    InputPassFail,
    InputText,
    LabelSchemaType,
)
from mlflow.genai.review_queues import ReviewQueueType
from mlflow.tracking._tracking_service.utils import _get_store
from mlflow_client import refused


def _records(dataset) -> list:
    """As the client's evaluation reads them."""
    return _get_store()._load_dataset_records(dataset.dataset_id, max_results=None)[0]


def datasets(experiment: str) -> None:
    from mlflow.genai import datasets as api

    made = api.create_dataset(name="qa", experiment_id=[experiment], tags={"team": "a"})
    made.merge_records([
        {"inputs": {"q": "one", "n": 1}, "expectations": {"answer": "1"}}, {"inputs": {"q": "two"}, "outputs": "text"}, {"inputs": {"q": "nan"}, "outputs": {"score": float("nan")}},
    ])
    made.merge_records([{"inputs": {"n": 1, "q": "one"}, "expectations": {"more": "2"}}, {"inputs": {"q": "four"}}])
    found = api.get_dataset(dataset_id=made.dataset_id)
    records = {record.inputs["q"]: record for record in _records(found)}
    assert records.keys() == {"one", "two", "nan", "four"}
    assert records["one"].expectations == {"answer": "1", "more": "2"} and records["two"].outputs == "text"
    assert records["one"].source.source_type.value == "HUMAN" and records["four"].source.source_type.value == "CODE"
    assert (json.loads(found.profile), json.loads(found.schema)["inputs"]) == ({"num_records": 4}, {"q": "string", "n": "integer"})
    assert found.experiment_ids == [experiment]
    assert len(found.to_df()) == 4
    found.delete_records([records["four"].dataset_record_id])
    api.set_dataset_tags(dataset_id=made.dataset_id, tags={"team": "b"})
    api.delete_dataset_tag(dataset_id=made.dataset_id, key="none")
    other = api.create_dataset(name="other", experiment_id=[experiment])
    assert [one.name for one in api.search_datasets(experiment_ids=[experiment], filter_string="tags.team = 'b'")] == ["qa"]
    assert [one.name for one in api.search_datasets(experiment_ids=[experiment], order_by=["name ASC"])] == ["other", "qa"]
    api.delete_dataset(dataset_id=other.dataset_id)
    big = api.create_dataset(name="big", experiment_id=[experiment])
    big.merge_records([{"inputs": {"i": index}} for index in range(2300)])
    assert [record.inputs["i"] for record in _records(big)] == list(range(2300))
    refused(api.get_dataset, dataset_id="d-" + "0" * 32, code="RESOURCE_DOES_NOT_EXIST")


def prompts(client: MlflowClient, experiment: str) -> None:
    first = genai.register_prompt("greet", "Hello {{name}}", commit_message="first", tags={"team": "a"})
    assert (first.version, first.template, genai.load_prompt("prompts:/greet/1").format(name="you")) == (1, "Hello {{name}}", "Hello you")
    genai.register_prompt("greet", "Hi {{name}}" + "!" * 20_000, commit_message="second")
    genai.register_prompt("chat", [{"role": "user", "content": "{{q}}"}], response_format={"type": "object"})
    assert genai.load_prompt("chat").template == [{"role": "user", "content": "{{q}}"}]
    genai.set_prompt_alias("greet", "prod", 1)
    assert genai.load_prompt("prompts:/greet@prod").version == 1 and genai.load_prompt("prompts:/greet@latest").version == 2
    genai.delete_prompt_alias("greet", "prod")
    assert genai.load_prompt("nothing", 1, allow_missing=True) is None
    assert [one.name for one in genai.search_prompts()] == ["chat", "greet"] and [one.name for one in genai.search_prompts("tags.team = 'a' AND name LIKE 'g%'")] == ["greet"]
    client.set_prompt_version_tag("greet", "1", "checked", "yes")
    assert client.get_prompt_version("greet", "1").tags["checked"] == "yes"
    assert [one.version for one in client.search_prompt_versions("greet")] == [2, 1]
    assert client.search_registered_models() == [] and client.search_model_versions() == []
    with mlflow.start_run(experiment_id=experiment) as run:
        genai.load_prompt("prompts:/greet/1")
    client.link_prompt_version_to_run(run.info.run_id, "prompts:/greet/1")
    assert json.loads(client.get_run(run.info.run_id).data.tags["mlflow.linkedPrompts"])[0]["name"] == "greet"
    refused(client.create_registered_model, "greet", code="RESOURCE_ALREADY_EXISTS")
    client.delete_prompt_version("greet", "1")
    client.delete_prompt("greet")
    assert [one.name for one in genai.search_prompts()] == ["chat"]


def scorers(experiment: str) -> None:
    judge = genai.make_judge(name="fine", instructions="Is {{ outputs }} fine?", model="openai:/gpt-4o")
    judge.register(experiment_id=experiment)
    genai.make_judge(name="fine", instructions="Is {{ outputs }} really fine?", model="openai:/gpt-4o").register(experiment_id=experiment)
    assert [one.name for one in genai.list_scorers(experiment_id=experiment)] == ["fine"]
    assert "really" in genai.get_scorer(name="fine", experiment_id=experiment).instructions
    assert "really" not in genai.get_scorer(name="fine", experiment_id=experiment, version=1).instructions
    refused(_get_store().register_scorer, experiment, "code", json.dumps({"call_source": "print(1)"}), code="INVALID_PARAMETER_VALUE")
    genai.delete_scorer(name="fine", experiment_id=experiment, version="all")
    assert genai.list_scorers(experiment_id=experiment) == []


def reviews(experiment: str) -> None:
    store, feedback = _get_store(), LabelSchemaType.FEEDBACK
    made = store.create_label_schema(experiment, name="Correct?", type=feedback, input=InputPassFail("Yes", "No"), instruction="Look twice", enable_comment=True)
    for name, form in (("kind", InputCategorical(["a", "b"], multi_select=True)), ("score", InputNumeric(0, 5)), ("text", InputText(100))):
        store.create_label_schema(experiment, name=name, type=feedback, input=form)
    assert store.get_label_schema(made.schema_id) == made
    assert [one.name for one in store.list_label_schemas(experiment)] == ["Feedback", "text", "score", "kind", "Correct?"]
    assert store.update_label_schema(made.schema_id, input=InputPassFail("Right", "Wrong")).input.positive_label == "Right"
    queue = store.create_review_queue(experiment, name="Team", queue_type=ReviewQueueType.CUSTOM, users=["Ann"], schema_ids=[made.schema_id])
    own = store.get_or_create_user_queue(experiment, user="Bob")
    assert (queue.users, own.users, own.queue_type) == (["ann"], ["bob"], ReviewQueueType.USER)
    assert [one.name for one in store.list_review_queues(experiment, user="ann")] == ["Team"]
    refused(store.add_items_to_review_queue, queue.queue_id, item_ids=["tr-none"], code="RESOURCE_DOES_NOT_EXIST")
    store.delete_review_queue(queue.queue_id)
    store.delete_label_schema(made.schema_id)
    issue = store.create_issue(experiment, "slow", "takes long", severity=IssueSeverity.HIGH, root_causes=["a cause"])
    assert store.update_issue(issue.issue_id, status=IssueStatus.RESOLVED).status == IssueStatus.RESOLVED
    assert [one.issue_id for one in store.search_issues(experiment_id=experiment, filter_string="status = 'resolved'")] == [issue.issue_id]


def webhooks(client: MlflowClient) -> None:
    made = client.create_webhook("hook", os.environ["RECEIVER"], ["registered_model.created", "prompt.created"], secret="shared", description="d")
    assert client.get_webhook(made.webhook_id).secret is None
    result = client.test_webhook(made.webhook_id)
    assert (result.success, result.response_status) == (True, 200), result
    assert [str(event) for event in client.update_webhook(made.webhook_id, events=["model_version_tag.set"]).events] == ["model_version_tag.set"]
    assert [one.webhook_id for one in client.list_webhooks()] == [made.webhook_id]
    refused(client.create_webhook, "-bad", os.environ["RECEIVER"], ["prompt.created"], code="INVALID_PARAMETER_VALUE")
    client.delete_webhook(made.webhook_id)
    refused(client.get_webhook, made.webhook_id, code="RESOURCE_DOES_NOT_EXIST")


def registry(client: MlflowClient) -> None:
    client.create_registered_model("old", tags={"a": "b"})
    with mlflow.start_run() as run:
        mlflow.log_text("x", "model/MLmodel")
    refused(client.create_model_version, "none", f"runs:/{run.info.run_id}/model", run.info.run_id, code="RESOURCE_DOES_NOT_EXIST")
    client.create_model_version("old", f"runs:/{run.info.run_id}/model", run.info.run_id)
    client.set_registered_model_alias("old", "best", "1")
    client.rename_registered_model("old", "new")
    renamed = client.get_registered_model("new")
    assert (renamed.name, [one.name for one in renamed.latest_versions]) == ("new", ["new"])
    assert client.get_model_version_by_alias("new", "best").run_id == run.info.run_id
    refused(client.get_registered_model, "old", code="RESOURCE_DOES_NOT_EXIST")
    assert client.copy_model_version("models:/new/1", "copy").run_id == run.info.run_id
    for name in ("new", "copy"):
        client.delete_registered_model(name)


def everything() -> None:
    client = MlflowClient()
    experiment = mlflow.set_experiment("genai").experiment_id
    prompts(client, experiment)
    datasets(experiment)
    scorers(experiment)
    reviews(experiment)
    webhooks(client)
    registry(client)


if __name__ == "__main__":
    everything()
    print(json.dumps({"ok": True, "mlflow": mlflow.__version__, "python": sys.version}))
