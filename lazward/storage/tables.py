"""Every table on one screen. Resources are documents; what is queried often is a column. Times are unix seconds (float)."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

metadata = sa.MetaData()

Json = sa.JSON().with_variant(JSONB(), "postgresql")
Seq = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _table(name: str, *items: sa.schema.SchemaItem, **options: Any) -> sa.Table:
    return sa.Table(name, metadata, *items, **options)


C = sa.Column
S, F, B, I = sa.Text, sa.Double, sa.Boolean, sa.BigInteger  # noqa: E741
N = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")  # names listed in the order of their bytes, on both databases

# ---- ARM: one row per resource of whatever type ------------------------------------------------------------------------
resource = _table(
    "resource",
    C("seq", Seq, primary_key=True, autoincrement=True),  # creation order; paging token
    C("key", S, nullable=False, unique=True),  # lower-cased id
    C("id", S, nullable=False),  # id as the client wrote it
    C("type", S, nullable=False),  # lower-cased provider/types, e.g. microsoft.machinelearningservices/workspaces/jobs
    C("parent", S, nullable=False),  # key of the resource above
    C("scope", S, nullable=False),  # key of the workspace or registry it lies in, or of the resource group
    C("name", S, nullable=False),
    C("lookup", S),  # promoted value a type is searched by (hash of code, status of a job, ...)
    C("archived", B, nullable=False, default=False),
    C("etag", S, nullable=False),
    C("doc", Json, nullable=False),  # the document as answered, without id, name, type
    C("created", F, nullable=False),
    C("updated", F, nullable=False),
    sa.Index("resource_parent", "parent", "type", "archived", "seq"),
    sa.Index("resource_scope", "scope", "type", "lookup"),
    sa.Index("resource_type", "type", "seq"),
)

# ---- durable work: queue, timer, outbox and ARM operation in one ---------------------------------------------------------
task = _table(
    "task",
    C("id", S, primary_key=True),  # also the id in Azure-AsyncOperation
    C("kind", S, nullable=False),
    C("subject", S, nullable=False),  # key of the resource it works for
    C("status", S, nullable=False),  # InProgress | Succeeded | Failed | Canceled
    C("state", Json, nullable=False),
    C("again", Json),  # asked for once more while it was worked on: the state to begin anew with
    C("error", Json),  # ARM error dict once Failed
    C("due", F, nullable=False),
    C("lease_until", F, nullable=False, default=0.0),
    C("lease_token", S),
    C("attempts", I, nullable=False, default=0),  # claims without a finished step since; counts crashes too
    C("created", F, nullable=False),
    C("ended", F),
    sa.Index("task_due", "status", "due"),
    sa.Index("task_one_open", "subject", "kind", unique=True, sqlite_where=sa.text("status = 'InProgress'"),
             postgresql_where=sa.text("status = 'InProgress'")),
)

event = _table(
    "event",
    C("seq", Seq, primary_key=True, autoincrement=True),
    C("at", F, nullable=False),
    C("actor", S, nullable=False),
    C("action", S, nullable=False),
    C("subject", S, nullable=False),
    C("correlation", S),
    C("detail", Json),
    sa.Index("event_subject", "subject", "seq"),
)

# ---- identity and access -------------------------------------------------------------------------------------------------
principal = _table(
    "principal",
    C("id", S, primary_key=True),  # object id (oid)
    C("app_id", S, unique=True),  # client id; null for people
    C("name", S, nullable=False),
    C("kind", S, nullable=False),  # User | ServicePrincipal | ManagedIdentity
    C("secret_hash", S),
    C("enabled", B, nullable=False, default=True),
    C("created", F, nullable=False),
)
role_assignment = _table(
    "role_assignment",
    C("id", S, primary_key=True),  # guid
    C("scope", S, nullable=False),  # lower-cased id; "/" is everything
    C("principal", S, nullable=False),
    C("role", S, nullable=False),  # guid of the role definition
    C("doc", Json, nullable=False),
    C("created", F, nullable=False),
    sa.Index("role_assignment_once", "scope", "principal", "role", unique=True),
    sa.Index("role_assignment_principal", "principal"),
)
role_definition = _table(  # custom roles; the built-in ones are in domain/rbac.py
    "role_definition",
    C("id", S, primary_key=True),
    C("name", S, nullable=False, unique=True),
    C("doc", Json, nullable=False),
)
secret = _table(  # encrypted with the master key of the data dir: signing keys, endpoint keys, credentials of connections
    "secret",
    C("name", S, primary_key=True),
    C("value", sa.LargeBinary, nullable=False),
    C("updated", F, nullable=False),
)
grant_code = _table(  # device codes, authorisation codes, refresh tokens: hashed, single use or revocable
    "grant_code",
    C("hash", S, primary_key=True),
    C("kind", S, nullable=False),
    C("principal", S),
    C("doc", Json, nullable=False),
    C("expires", F, nullable=False),
)

# ---- blobs: what a blob is (here) and its bytes (extents, in the object store) ---------------------------------------------
container = _table(
    "container",
    C("account", S, primary_key=True),
    C("name", S, primary_key=True),
    C("etag", S, nullable=False),
    C("meta", Json, nullable=False),
    C("lease", Json),  # domain/blobs/leases.py
    C("modified", F, nullable=False),
)
blob = _table(
    "blob",
    C("account", S, primary_key=True),
    C("container", S, primary_key=True),
    C("name", N, primary_key=True),
    C("kind", S, nullable=False),  # BlockBlob | AppendBlob | Directory
    C("size", I, nullable=False),
    C("etag", S, nullable=False),
    C("extents", Json, nullable=False),  # [[extent id, bytes], ...] in order
    C("blocks", Json),  # of a block blob written by blocks: their ids, one for each extent; of an append blob: count of appends
    C("headers", Json, nullable=False),  # contentType, contentEncoding, contentMD5, cacheControl, ...
    C("meta", Json, nullable=False),
    C("tags", Json),
    C("access", Json),  # owner, group, permissions, acl, as set through the Data Lake endpoint
    C("lease", Json),
    C("created", F, nullable=False),
    C("modified", F, nullable=False),
)
block = _table(  # staged, not yet committed
    "block",
    C("account", S, primary_key=True),
    C("container", S, primary_key=True),
    C("blob", N, primary_key=True),
    C("block_id", N, primary_key=True),
    C("extent", S, nullable=False),
    C("size", I, nullable=False),
    C("created", F, nullable=False),
    sa.Index("block_created", "created"),
)
extent = _table(  # only what is out of the ordinary: extents that several blobs share, and those that nothing needs any more
    "extent",
    C("id", S, primary_key=True),
    C("extra", I, nullable=False),  # references beyond the first
    C("dropped", F),  # since when nothing refers to it: gc deletes it a while later, for readers may be at it
    sa.Index("extent_dropped", "dropped"),
)

# ---- tracking (ADR-0017) -------------------------------------------------------------------------------------------------
# What is written most (metrics, params) is its own primary key and has no rowid: one tree to write, read in MLflow's order.
experiment = _table(
    "experiment",
    C("seq", Seq, primary_key=True, autoincrement=True),
    C("workspace", S, nullable=False),  # key of the workspace
    C("id", S, nullable=False),  # guid; "0" is the default experiment of its workspace
    C("name", S, nullable=False),
    C("stage", S, nullable=False, default="active"),  # active | deleted
    C("location", S),  # artifacts kept outside, at a URI the client gave; null = in the workspace's store
    C("tags", Json, nullable=False),
    C("created", F, nullable=False),
    C("updated", F, nullable=False),
    sa.Index("experiment_id", "workspace", "id", unique=True),
    sa.Index("experiment_name", "workspace", "name", unique=True),
)
run = _table(
    "run",
    C("seq", Seq, primary_key=True, autoincrement=True),
    C("workspace", S, nullable=False),
    C("id", S, nullable=False),  # equals the job's name when a job made it
    C("experiment", Seq, nullable=False),  # experiment.seq
    C("name", S, nullable=False),
    C("status", S, nullable=False),  # MLflow's: RUNNING | SCHEDULED | FINISHED | FAILED | KILLED
    C("stage", S, nullable=False, default="active"),
    C("is_job", B, nullable=False, default=False),
    C("user", S, nullable=False),
    C("parent", S),  # id of the run it is nested in (tag mlflow.parentRunId)
    C("started", F, nullable=False),
    C("ended", F),
    C("deleted", F),
    sa.Index("run_id", "workspace", "id", unique=True),
    sa.Index("run_listed", "experiment", "stage", sa.text("started DESC"), "id"),
    sa.Index("run_parent", "workspace", "parent"),
)
metric = _table(
    "metric",
    C("run", Seq, primary_key=True, autoincrement=False),  # run.seq
    C("key", S, primary_key=True),
    C("at", I, primary_key=True),  # milliseconds, as MLflow
    C("step", I, primary_key=True),
    C("value", F, primary_key=True),  # 0 when nan; infinities are kept
    C("nan", B, primary_key=True),
    sqlite_with_rowid=False,
)
latest_metric = _table(  # newest by (step, at, value), so that lists never read histories; low and high leave nan out
    "latest_metric",
    C("run", Seq, primary_key=True, autoincrement=False),
    C("key", S, primary_key=True),
    C("step", I, nullable=False),
    C("at", I, nullable=False),
    C("value", F, nullable=False),
    C("nan", B, nullable=False),
    C("low", F),
    C("high", F),
    C("sketched", I, nullable=False, default=-1, server_default="-1"),  # time up to which there are sketches
    C("tail", I, nullable=False, default=0, server_default="0"),  # values behind them, about
    sqlite_with_rowid=False,
)
metric_sketch = _table(  # of long curves, for charts (metric_sketches.py); can be made anew from metric at any time
    "metric_sketch",
    C("run", Seq, primary_key=True, autoincrement=False),
    C("key", S, primary_key=True),
    C("upto", I, primary_key=True),  # milliseconds: the last time in it
    C("count", I, nullable=False),  # values it stands for
    C("low_step", I, nullable=False),
    C("high_step", I, nullable=False),
    C("points", sa.LargeBinary, nullable=False),  # msgpack [[at, step, value, nan], ...]
)
param = _table(
    "param",
    C("run", Seq, primary_key=True, autoincrement=False),
    C("key", S, primary_key=True),
    C("value", S, nullable=False),
    sqlite_with_rowid=False,
)
run_tag = _table("run_tag", C("run", Seq, primary_key=True, autoincrement=False), C("key", S, primary_key=True), C("value", S, nullable=False))
dataset = _table(  # once per experiment, however many runs use it
    "dataset",
    C("seq", Seq, primary_key=True, autoincrement=True),
    C("experiment", Seq, nullable=False),
    C("name", S, nullable=False),
    C("digest", S, nullable=False),
    C("source_type", S, nullable=False),
    C("source", S, nullable=False),
    C("schema", S),
    C("profile", S),
    sa.Index("dataset_once", "experiment", "name", "digest", unique=True),
)
run_link = _table(  # what a run read and made
    "run_link",
    C("run", Seq, primary_key=True, autoincrement=False),
    C("kind", S, primary_key=True),  # dataset | model_in | model_out
    C("ref", S, primary_key=True),  # dataset.seq as text, or logged_model.id
    C("step", I, nullable=False, default=0),
    C("name", S),  # of a dataset; searched, as digest and context are
    C("digest", S),
    C("context", S),  # tag mlflow.data.context
    C("tags", Json, nullable=False),
)
logged_model = _table(
    "logged_model",
    C("seq", Seq, primary_key=True, autoincrement=True),
    C("workspace", S, nullable=False),
    C("id", S, nullable=False),  # m-...
    C("experiment", Seq, nullable=False),
    C("name", S, nullable=False),
    C("type", S, nullable=False),
    C("status", S, nullable=False),  # PENDING | READY | FAILED
    C("stage", S, nullable=False, default="active"),
    C("run", S, nullable=False),  # id of the run it came from, or ""
    C("folder", S, nullable=False, default=""),  # of its files below the artifact container; "" = a folder named by its own id
    C("tags", Json, nullable=False),
    C("params", Json, nullable=False),
    C("created", F, nullable=False),
    C("updated", F, nullable=False),
    sa.Index("logged_model_id", "workspace", "id", unique=True),
    sa.Index("logged_model_listed", "experiment", "stage", sa.text("created DESC"), "id"),
)
logged_model_metric = _table(
    "logged_model_metric",
    C("model", Seq, primary_key=True, autoincrement=False),  # logged_model.seq
    C("key", S, primary_key=True),
    C("at", I, primary_key=True),
    C("step", I, primary_key=True),
    C("value", F, primary_key=True),
    C("nan", B, primary_key=True),
    C("run", S, primary_key=True),  # id of the run that logged it
    C("dataset", S, primary_key=True),  # name, or ""
    C("digest", S, primary_key=True),
    sqlite_with_rowid=False,
)

# ---- traces (ADR-0025) ---------------------------------------------------------------------------------------------------
# Tags and metadata are documents of their trace: one row to write for a trace, and one to read in lists. Times are MLflow's own.
trace = _table(
    "trace",
    C("seq", Seq, primary_key=True, autoincrement=True),
    C("workspace", S, nullable=False),
    C("id", S, nullable=False),  # tr-...
    C("experiment", Seq, nullable=False),  # experiment.seq
    C("at", I, nullable=False),  # milliseconds
    C("duration", I),  # milliseconds; null while it runs
    C("state", S, nullable=False),  # STATE_UNSPECIFIED | OK | ERROR | IN_PROGRESS
    C("client_id", S),
    C("name", S),  # tag mlflow.traceName
    C("session", S),  # metadata mlflow.trace.session
    C("usage", Json),  # metadata mlflow.trace.tokenUsage, for sums over traces
    C("cost", Json),  # metadata mlflow.trace.cost
    C("tags", Json, nullable=False),
    C("metadata", Json, nullable=False),
    C("request", S),  # previews
    C("response", S),
    sa.Index("trace_id", "workspace", "id", unique=True),
    sa.Index("trace_listed", "experiment", sa.text("at DESC"), "id"),
    sa.Index("trace_session", "experiment", "session"),
)
span = _table(
    "span",
    C("trace", Seq, primary_key=True, autoincrement=False),  # trace.seq
    C("id", S, primary_key=True),  # 16 hexadecimal digits
    C("parent", S),
    C("name", S, nullable=False),
    C("type", S),
    C("status", S, nullable=False),  # UNSET | OK | ERROR
    C("started", I, nullable=False),  # nanoseconds
    C("ended", I),
    C("model", S),
    C("provider", S),
    C("usage", Json),
    C("cost", Json),
    C("content", S, nullable=False),  # the whole span as MLflow keeps it in traces.json: what text is searched in, and what is read back
)
assessment = _table(
    "assessment",
    C("trace", Seq, primary_key=True, autoincrement=False),
    C("id", S, primary_key=True),  # a-...
    C("kind", S, nullable=False),  # feedback | expectation | issue
    C("name", S, nullable=False),
    C("value", S, nullable=False),  # JSON
    C("number", F),  # of a number, a truth or yes and no: what averages are made of
    C("numeric", B, nullable=False),  # it is a number
    C("valid", B, nullable=False),
    C("scoped", B, nullable=False),  # speaks of the whole session of its trace
    C("created", I, nullable=False),  # milliseconds
    C("updated", I, nullable=False),
    C("doc", Json, nullable=False),  # source, error, span, rationale, overrides, metadata
    sa.Index("assessment_scoped", "kind", "name", sqlite_where=sa.text("scoped"), postgresql_where=sa.text("scoped")),
)
trace_link = _table(
    "trace_link",
    C("trace", Seq, primary_key=True, autoincrement=False),
    C("kind", S, primary_key=True),  # run | prompt
    C("ref", S, primary_key=True),  # id of the run, NAME/VERSION of the prompt
    sa.Index("trace_link_ref", "kind", "ref"),
)
