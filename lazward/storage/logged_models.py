"""Logged models (MLflow 3), and the links between runs, datasets and models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lazward.contract.mlflow import MlflowError, invalid, missing
from lazward.domain.tracking.filter import Node, Order
from lazward.domain.tracking.names import DATASET_CONTEXT, is_key
from lazward.domain.tracking.paths import below, run_prefix
from lazward.storage import experiments, runs, tables
from lazward.storage.db import Tx
from lazward.storage.experiments import Experiment
from lazward.storage.metric_history import Point
from lazward.storage.search import Column, Condition, Paging, Reached, where
from lazward.storage.tables import logged_model as t

VERSIONS = "mlflow.modelVersions"


class LoggedModel(msgspec.Struct):
    """Times are unix seconds. status: LOGGED_MODEL_PENDING | ..._READY | ..._UPLOAD_FAILED. run: where it came from, or ""."""

    seq: int
    id: str
    experiment: int
    name: str
    type: str
    status: str
    stage: str
    run: str
    tags: dict[str, str]
    params: dict[str, str]
    created: float
    updated: float


class Measured(msgspec.Struct):
    """A metric of a logged model."""

    point: Point
    dataset: str
    digest: str


class FullModel(msgspec.Struct):
    model: LoggedModel
    experiment: Experiment
    metrics: list[Measured]


_COLUMNS = [t.c[name] for name in LoggedModel.__struct_fields__]
_M = tables.logged_model_metric
_ONE = sa.select(*_COLUMNS).where(t.c.workspace == sa.bindparam("workspace"), t.c.id == sa.bindparam("id"), t.c.stage != "purged").join(
    tables.resource, tables.resource.c.key == t.c.workspace
)
_SEARCHED = {
    "model_id": Column(t.c.id), "name": Column(t.c.name), "status": Column(t.c.status), "lifecycle_stage": Column(t.c.stage), "model_type": Column(t.c.type),
    "source_run_id": Column(t.c.run), "creation_timestamp": Column(t.c.created, number=True, scale=1000.0),
    "last_updated_timestamp": Column(t.c.updated, number=True, scale=1000.0),
    "experiment_id": Column(sa.select(tables.experiment.c.id).where(tables.experiment.c.seq == t.c.experiment).scalar_subquery()),
}


def create(
    tx: Tx, key: str, id_: str, experiment_id: str, name: str, type_: str, run: str, params: dict[str, str], tags: dict[str, str], now: float,
    again: bool = False,
) -> FullModel:
    """again: the client has chosen the id and may not have heard our answer: the same model (experiment, name, run) is answered as it is."""
    experiment = experiments.active(tx, key, experiment_id, now)
    folder = _folder(tx, key, run, name)
    values = {
        "workspace": key, "id": id_, "experiment": experiment.seq, "name": name, "type": type_, "status": "LOGGED_MODEL_PENDING", "stage": "active",
        "run": run, "folder": folder, "tags": tags, "params": params, "created": now, "updated": now,
    }
    insert = (sqlite if tx.sqlite else postgresql).insert(t).values(**values).on_conflict_do_nothing().returning(*_COLUMNS)
    made = tx.execute(insert).first()
    if made is None:
        made = tx.execute(_ONE, {"workspace": key, "id": id_}).first() if again else None
        if made is None or (made.experiment, made.name, made.run) != (experiment.seq, name, run):
            raise MlflowError("RESOURCE_ALREADY_EXISTS", f"A logged model with id={id_} exists already.", "lazward_id")
    return FullModel(LoggedModel(*made), experiment, [])


def _folder(tx: Tx, key: str, run: str, name: str) -> str:
    """The first model of a name lies among its run's artifacts, where `runs:/RUN/NAME`, azureml://jobs/RUN/outputs/artifacts/paths/NAME
    and a download of the job look for it; later ones of that name (checkpoints) have folders of their own."""
    if not run or tx.execute(sa.select(t.c.seq).where(t.c.workspace == key, t.c.run == run, t.c.name == name)).first():
        return ""
    try:
        return below(run_prefix(run), name)
    except MlflowError:
        return ""  # a name that is no path


def get(tx: Tx, key: str, id_: str, deleted: bool = False) -> LoggedModel:
    found = tx.execute(_ONE, {"workspace": key, "id": id_}).first()
    if found is None or (found.stage == "deleted" and not deleted):
        experiments.workspace(tx, key)
        raise missing(f"Logged model with ID '{id_[:100]}' not found.")
    return LoggedModel(*found)


def one(tx: Tx, key: str, id_: str, deleted: bool = False) -> FullModel:
    return _load(tx, [get(tx, key, id_, deleted)])[0]


def finalize(tx: Tx, key: str, id_: str, status: str, now: float) -> FullModel:
    model = get(tx, key, id_)
    return _changed(tx, model, now, status=status)


def delete(tx: Tx, key: str, id_: str, now: float) -> None:
    """Into the bin; one that is there already stays, since when it was put there."""
    model = get(tx, key, id_, deleted=True)
    if model.stage != "deleted":
        _changed(tx, model, now, stage="deleted")


def log_params(tx: Tx, key: str, id_: str, params: Sequence[tuple[str, str]], now: float) -> None:
    """Adds params; one that is there keeps its value."""
    model = get(tx, key, id_)
    for name, value in params:
        if model.params.get(name, value) != value:
            raise invalid(f"Changing param values is not allowed. Param with key='{name}' was already logged for model '{id_}'.", "params")
    _changed(tx, model, now, params={**model.params, **dict(params)})


def set_tags(tx: Tx, key: str, id_: str, tags: Sequence[tuple[str, str]], now: float) -> FullModel:
    model = get(tx, key, id_)
    return _changed(tx, model, now, tags={**model.tags, **dict(tags)})


def registered(tx: Tx, key: str, id_: str, name: str, version: str, now: float) -> None:
    """Notes on the model, in the tag that MLflow's clients read, that it became a version of a registered one."""
    model = get(tx, key, id_)
    try:
        known = msgspec.json.decode(model.tags.get(VERSIONS, "[]"), type=list[dict[str, Any]])
    except msgspec.MsgspecError:
        known = []  # a client may have set the tag to anything
    known.append({"name": name, "version": int(version) if version.isascii() and version.isdecimal() else version})
    _changed(tx, model, now, tags={**model.tags, VERSIONS: msgspec.json.encode(known).decode()})


def delete_tag(tx: Tx, key: str, id_: str, name: str, now: float) -> None:
    model = get(tx, key, id_)
    if name not in model.tags:
        raise missing(f"No tag with key {name!r} found for model with ID {id_!r}.")
    _changed(tx, model, now, tags={k: v for k, v in model.tags.items() if k != name})


def search(
    tx: Tx, key: str, experiment_ids: Sequence[str], condition: Node | None, datasets: Sequence[tuple[str, str]], orders: Sequence[tuple[Order, str, str]],
    limit: int, token: str | None,
) -> tuple[list[FullModel], str | None]:
    """datasets: (name, digest or ""): only models with a metric on one of them; metric conditions look at those metrics alone.
    orders: (order, dataset name, digest), "" for any."""
    experiments.workspace(tx, key)
    seqs = experiments.seqs(tx, key, experiment_ids)
    if not seqs:
        return [], None
    on = _on_datasets(_M, datasets)
    conditions: list[Condition] = [t.c.experiment.in_(seqs), t.c.stage == "active"]
    if condition is not None:
        conditions.append(where(condition, lambda kind, name: _reach(kind, name, datasets), tx.sqlite))
    if on is not None:
        conditions.append(sa.exists().where(_M.c.model == t.c.seq, on))
    places = {id(order): (name, digest) for order, name, digest in orders}
    wanted = [order for order, _, _ in orders]
    ties = [] if any(o.key == "creation_timestamp" for o in wanted) else [(_SEARCHED["creation_timestamp"], False)]
    paging = Paging(wanted, lambda o: _ordered(o, *places[id(o)]), [*ties, (_SEARCHED["model_id"], True)], tx.sqlite)
    statement = sa.select(*_COLUMNS, *paging.selected).where(*conditions, *paging.after(token)).order_by(*paging.order).limit(limit + 1)
    rows = tx.execute(statement).all()
    return _load(tx, [LoggedModel(*row[: len(_COLUMNS)]) for row in rows[:limit]]), paging.token(rows, limit, len(_COLUMNS))


def log_inputs(tx: Tx, key: str, run_id: str, datasets: Sequence[tuple[dict[str, Any], dict[str, str]]], models: Sequence[str]) -> None:
    """datasets: (dataset, tags). The same dataset twice, or once more, is one link: the first."""
    run = runs.active(tx, key, run_id)
    for doc, tags in datasets:
        seq = add_dataset(tx, run.experiment, doc)
        add_link(
            tx, run=run.seq, kind="dataset", ref=str(seq), step=0, name=doc["name"], digest=doc["digest"], context=tags.get(DATASET_CONTEXT), tags=tags,
        )
    for model in models:
        add_link(tx, run=run.seq, kind="model_in", ref=get(tx, key, model).id, step=0, tags={})


def log_outputs(tx: Tx, key: str, run_id: str, models: Sequence[tuple[str, int]]) -> None:
    """models: (id, step)."""
    run = runs.active(tx, key, run_id)
    for model, step in models:
        add_link(tx, run=run.seq, kind="model_out", ref=get(tx, key, model).id, step=step, tags={})


def datasets_of(tx: Tx, key: str, experiment_ids: Sequence[str]) -> list[tuple[str, str, str, str | None]]:
    """(experiment id, name, digest, context) of what the runs of these experiments used."""
    k, r, e = tables.run_link, tables.run, tables.experiment
    joined = k.join(r, r.c.seq == k.c.run).join(e, e.c.seq == r.c.experiment)
    conditions = (e.c.workspace == key, e.c.id.in_(list(experiment_ids)), k.c.kind == "dataset", r.c.stage == "active")
    found = sa.select(e.c.id, k.c.name, k.c.digest, k.c.context).select_from(joined).where(*conditions).distinct()
    return [tuple(row) for row in tx.execute(found.order_by(k.c.name, k.c.digest).limit(1000))]


def add_dataset(tx: Tx, experiment: int, doc: dict[str, Any]) -> int:
    """dataset.seq of a dataset of an experiment, made when it is new."""
    d = tables.dataset
    insert = (sqlite if tx.sqlite else postgresql).insert(d).values(experiment=experiment, **doc).on_conflict_do_nothing().returning(d.c.seq)
    made = tx.execute(insert).scalar()
    if made is not None:
        return made
    return tx.execute(sa.select(d.c.seq).where(d.c.experiment == experiment, d.c.name == doc["name"], d.c.digest == doc["digest"])).scalar_one()


def add_link(tx: Tx, **values: Any) -> None:
    """A row of run_link; one that is there stays as it is."""
    tx.execute((sqlite if tx.sqlite else postgresql).insert(tables.run_link).values(**values).on_conflict_do_nothing())


def _changed(tx: Tx, model: LoggedModel, now: float, **values: Any) -> FullModel:
    row = tx.execute(sa.update(t).where(t.c.seq == model.seq).values(updated=now, **values).returning(*_COLUMNS)).one()
    return _load(tx, [LoggedModel(*row)])[0]


def _load(tx: Tx, found: list[LoggedModel]) -> list[FullModel]:
    known = experiments.by_seq(tx, {m.experiment for m in found})
    full = {m.seq: FullModel(m, known[m.experiment], []) for m in found}
    rows = tx.execute(sa.select(_M).where(_M.c.model.in_(list(full))).order_by(_M.c.model, _M.c.key, _M.c.at, _M.c.step)) if full else ()
    for row in rows:
        full[row.model].metrics.append(Measured(Point(row.at, row.step, row.value, row.nan, run=row.run, key=row.key), row.dataset, row.digest))
    return list(full.values())


def _reach(kind: str, name: str, datasets: Sequence[tuple[str, str]]) -> Reached:
    if kind == "attribute":
        return lambda test: test(_SEARCHED[name])
    if kind == "metric":
        m = _M.alias()
        on = _on_datasets(m, datasets)
        narrowed = [] if on is None else [on]
        return lambda test: sa.exists().where(m.c.model == t.c.seq, m.c.key == name, test(Column(m.c.value, number=True, nan=m.c.nan)), *narrowed)
    if not is_key(name):
        return lambda test: sa.false()
    document = t.c.tags if kind == "tag" else t.c.params
    return lambda test: test(Column(document[name].as_string(), nullable=True))


def _on_datasets(m: Any, datasets: Sequence[tuple[str, str]]) -> Condition | None:
    if not datasets:
        return None
    return sa.or_(*(sa.and_(m.c.dataset == name, m.c.digest == digest) if digest else m.c.dataset == name for name, digest in datasets))


def _ordered(order: Order, dataset: str, digest: str) -> Column:
    if order.kind == "attribute":
        return _SEARCHED[order.key]
    if order.kind != "metric":
        raise MlflowError("INVALID_PARAMETER_VALUE", f"Invalid order by field name: {order.kind}s.{order.key}. Only metrics are supported.", "order_by")
    newest = sa.select(_M.c.value).where(_M.c.model == t.c.seq, _M.c.key == order.key, sa.not_(_M.c.nan))
    if dataset:
        newest = newest.where(_M.c.dataset == dataset)
    if digest:
        newest = newest.where(_M.c.digest == digest)
    value = newest.order_by(_M.c.at.desc(), _M.c.step.desc(), _M.c.run).limit(1).correlate(t).scalar_subquery()
    return Column(value, number=True, nullable=True)
