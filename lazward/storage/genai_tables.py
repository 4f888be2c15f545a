"""Tables of what MLflow keeps beside runs and models (ADR-0026): evaluation datasets, scorers, label schemas, review queues, issues,
webhooks, MCP servers. Times are unix seconds, whole milliseconds of them, for that is what clients compare."""

from __future__ import annotations

import sqlalchemy as sa

from lazward.storage.tables import B, C, F, I, Json, S, Seq, _table

eval_dataset = _table(
    "eval_dataset",
    C("seq", Seq, primary_key=True, autoincrement=True),
    C("workspace", S, nullable=False),  # key of the workspace
    C("id", S, nullable=False),  # d-...
    C("name", S, nullable=False),
    C("digest", S, nullable=False),
    C("schema", S),  # JSON text: names and types of the fields of all records; null = there was never one
    C("profile", S),  # JSON text: how many records there are
    C("tags", Json, nullable=False),
    C("created", F, nullable=False),
    C("updated", F, nullable=False),
    C("created_by", S),
    C("updated_by", S),
    sa.Index("eval_dataset_id", "workspace", "id", unique=True),
)
eval_dataset_experiment = _table(
    "eval_dataset_experiment",
    C("dataset", Seq, primary_key=True, autoincrement=False),  # eval_dataset.seq
    C("experiment", S, primary_key=True),  # id of an experiment of the same workspace
    sa.Index("eval_dataset_experiment_of", "experiment"),
)
eval_record = _table(
    "eval_record",
    C("seq", Seq, primary_key=True, autoincrement=True),  # order of listing, and the paging token
    C("dataset", Seq, nullable=False),
    C("id", S, nullable=False),  # dr-...
    C("hash", S, nullable=False),  # of the inputs: records with equal ones are one
    # JSON as text (inputs, outputs, expectations, tags, source, ...): it holds NaN and NUL, which no column of PostgreSQL's type JSONB
    # does, and its members keep their order.
    C("doc", S, nullable=False),
    C("created", F, nullable=False),
    C("updated", F, nullable=False),
    sa.Index("eval_record_once", "dataset", "hash", unique=True),
    sa.Index("eval_record_id", "dataset", "id", unique=True),
)
scorer = _table(
    "scorer",
    C("seq", Seq, primary_key=True, autoincrement=True),
    C("workspace", S, nullable=False),
    C("id", S, nullable=False),  # guid
    C("experiment", Seq, nullable=False),  # experiment.seq
    C("name", S, nullable=False),
    C("config_id", S),  # of its settings for scoring traces as they come, the next two; null = it has none
    C("sample_rate", F),
    C("filter", S),
    sa.Index("scorer_id", "workspace", "id", unique=True),
    sa.Index("scorer_name", "experiment", "name", unique=True),
)
scorer_version = _table(
    "scorer_version",
    C("scorer", Seq, primary_key=True, autoincrement=False),  # scorer.seq
    C("version", I, primary_key=True),
    C("body", S, nullable=False),  # as the client serialized it: data, which only clients turn into code
    C("created", F, nullable=False),
)
label_schema = _table(
    "label_schema",
    C("seq", Seq, primary_key=True, autoincrement=True),
    C("workspace", S, nullable=False),
    C("id", S, nullable=False),  # ls-...
    C("experiment", Seq, nullable=False),
    C("name", S, nullable=False),
    C("type", S, nullable=False),  # FEEDBACK | EXPECTATION
    C("instruction", S),
    C("comments", B, nullable=False),
    C("input", Json, nullable=False),  # {kind: {...}}, as on the wire
    C("is_default", B, nullable=False),  # the question every experiment has
    C("created", F, nullable=False),
    C("updated", F, nullable=False),
    C("created_by", S),
    sa.Index("label_schema_id", "workspace", "id", unique=True),
    sa.Index("label_schema_name", "experiment", "name", unique=True),
)
review_queue = _table(
    "review_queue",
    C("seq", Seq, primary_key=True, autoincrement=True),
    C("workspace", S, nullable=False),
    C("id", S, nullable=False),  # rq-...
    C("experiment", Seq, nullable=False),
    C("name", S, nullable=False),
    C("name_key", S, nullable=False),  # in lower case
    C("type", S, nullable=False),  # USER | CUSTOM
    C("owner", S),
    C("schemas", Json, nullable=False),  # ids of label schemas
    C("created", F, nullable=False),
    C("updated", F, nullable=False),
    sa.Index("review_queue_id", "workspace", "id", unique=True),
    sa.Index("review_queue_name", "experiment", "name_key", unique=True),
)
review_queue_user = _table(
    "review_queue_user",
    C("queue", Seq, primary_key=True, autoincrement=False),  # review_queue.seq
    C("user", S, primary_key=True),  # in lower case
)
review_queue_item = _table(
    "review_queue_item",
    C("seq", Seq, primary_key=True, autoincrement=True),
    C("queue", Seq, nullable=False),
    C("id", S, nullable=False),  # of a trace
    C("status", S, nullable=False),  # PENDING | COMPLETE | DECLINED
    C("completed_by", S),
    C("completed", F),
    C("created", F, nullable=False),
    C("updated", F, nullable=False),
    sa.Index("review_queue_item_once", "queue", "id", unique=True),
    sa.Index("review_queue_item_id", "id"),
)
issue = _table(
    "issue",
    C("seq", Seq, primary_key=True, autoincrement=True),
    C("workspace", S, nullable=False),
    C("id", S, nullable=False),  # iss-...
    C("experiment", Seq, nullable=False),
    C("name", S, nullable=False),
    C("description", S, nullable=False),
    C("status", S, nullable=False),  # pending | rejected | resolved
    C("severity", S),
    C("rank", I, nullable=False),  # of the severity; -1 = none is given
    C("root_causes", Json, nullable=False),
    C("categories", Json, nullable=False),
    C("run", S),  # id of the run that found it
    C("created", F, nullable=False),
    C("updated", F, nullable=False),
    C("created_by", S),
    sa.Index("issue_id", "workspace", "id", unique=True),
    sa.Index("issue_listed", "workspace", "experiment", "rank"),
)
webhook = _table(
    "webhook",
    C("seq", Seq, primary_key=True, autoincrement=True),
    C("workspace", S, nullable=False),
    C("id", S, nullable=False),  # guid; its secret is in the vault
    C("name", S, nullable=False),
    C("url", S, nullable=False),
    C("description", S),
    C("events", Json, nullable=False),  # ["model_version.created", ...]
    C("status", S, nullable=False),  # ACTIVE | DISABLED
    C("created", F, nullable=False),
    C("updated", F, nullable=False),
    sa.Index("webhook_id", "workspace", "id", unique=True),
)

mcp_server = _table(
    "mcp_server",
    C("seq", Seq, primary_key=True, autoincrement=True),
    C("workspace", S, nullable=False),
    C("id", S, nullable=False),  # its name
    C("display_name", S),
    C("description", S),  # null = that of its latest version
    C("icons", Json),  # null = those of its latest version
    C("tags", Json, nullable=False),
    C("aliases", Json, nullable=False),  # alias -> version
    C("created", F, nullable=False),
    C("updated", F, nullable=False),
    C("created_by", S),
    C("updated_by", S),
    sa.Index("mcp_server_id", "workspace", "id", unique=True),
)
mcp_version = _table(
    "mcp_version",
    C("seq", Seq, primary_key=True, autoincrement=True),
    C("server", Seq, nullable=False),  # mcp_server.seq
    C("version", S, nullable=False),
    C("status", S, nullable=False),  # draft | active | deprecated | deleted: nobody gets that version again
    C("doc", S, nullable=False),  # JSON text: its server.json, in the order it came
    C("tools", S),  # JSON text
    C("connect_options", Json),
    C("source", S),
    C("tags", Json, nullable=False),
    C("created", F, nullable=False),
    C("updated", F, nullable=False),
    C("created_by", S),
    C("updated_by", S),
    sa.Index("mcp_version_once", "server", "version", unique=True),
)
mcp_endpoint = _table(
    "mcp_endpoint",
    C("seq", Seq, primary_key=True, autoincrement=True),
    C("server", Seq, nullable=False),
    C("id", S, nullable=False),  # ae-...
    C("url", S, nullable=False),
    C("transport", S, nullable=False),
    C("version", S),  # one of these two
    C("alias", S),
    C("created", F, nullable=False),
    C("updated", F, nullable=False),
    C("created_by", S),
    C("updated_by", S),
    sa.Index("mcp_endpoint_once", "server", "id", unique=True),
)

MCP_TABLES = (mcp_server, mcp_version, mcp_endpoint)
TABLES = (
    eval_dataset, eval_dataset_experiment, eval_record, scorer, scorer_version, label_schema, review_queue, review_queue_user, review_queue_item, issue, webhook,
    *MCP_TABLES,
)
# (table, column that points at another table's seq, that table): deleted before what they point at.
PARTS = (
    (eval_record, "dataset", eval_dataset), (eval_dataset_experiment, "dataset", eval_dataset), (scorer_version, "scorer", scorer),
    (review_queue_user, "queue", review_queue), (review_queue_item, "queue", review_queue),
    (mcp_version, "server", mcp_server), (mcp_endpoint, "server", mcp_server),
)
OF_EXPERIMENTS = (scorer, label_schema, review_queue, issue)
WHOLES = (eval_dataset, scorer, label_schema, review_queue, issue, webhook, mcp_server)
