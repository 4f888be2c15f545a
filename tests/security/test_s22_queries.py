"""S22: what is searched for is a value, never a piece of a query. On both databases: a search finds what a plain evaluation of the filter
finds, whatever the values hold, and no text changes or shows anything else. The language itself: tests/domain/tracking/test_filter.py."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.control_plane import versioned
from tests.security.site import Site, guid

# Pieces of SQL, of LIKE, of JSON paths and of the two databases' own quoting.
NASTY = (
    "'", "''", '"', "`", "\\", "\\'", "%", "_", ";", "--", "/*", "*/", "' OR '1'='1", "'; DROP TABLE run; --", "x' UNION SELECT value FROM secret --", "$1", ":p", "?", "{}", "{0}",
    "%s", "%(x)s", "$.a", "$[0]", "||", "\u2019", "\u212a", "E'\\047'", "$$", "NULL", "1=1", "a", "", " ", "\n", "\U0001f600",
)
VALUES = (*(v for v in NASTY if v), "plain")
VALUE = st.one_of(st.sampled_from(NASTY), st.text(alphabet=st.sampled_from("'\"\\%_;-ab "), max_size=8), st.lists(st.sampled_from(NASTY), max_size=3).map("".join))
MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def tables(site: Site) -> dict[str, int]:
    """Every table there is, and how many rows it has."""
    found = sa.inspect(site.plane.db.engine).get_table_names()
    return site.plane.db.read_now(lambda tx: {name: tx.execute(sa.select(sa.func.count()).select_from(sa.table(name))).scalar_one() for name in found})


def quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


@pytest.fixture(scope="module")
def searched(site: Site) -> tuple[str, dict[str, str]]:
    """(experiment id, {run id: value}) of runs whose tag t, param p and name hold each of VALUES."""
    base = f"/mlflow/plain{site.own}/api/2.0/mlflow"
    experiment = site.plane.send("POST", f"{base}/experiments/create", {"name": f"s22 {guid()}"}).json["experiment_id"]
    held = {}
    for value in VALUES:
        run = site.plane.send("POST", f"{base}/runs/create", {"experiment_id": experiment, "run_name": value, "tags": [{"key": "t", "value": value}]}).json["run"]["info"]["run_id"]
        assert site.plane.send("POST", f"{base}/runs/log-parameter", {"run_id": run, "key": "p", "value": value}).status == 200
        held[run] = value
    return experiment, held


def search(site: Site, experiment: str, filter_: str, **more: Any) -> Any:
    return site.plane.send("POST", f"/mlflow/plain{site.own}/api/2.0/mlflow/runs/search", {"experiment_ids": [experiment], "filter": filter_, "max_results": 1000, **more})


def like(pattern: str, text: str, fold: bool) -> bool:
    """SQL's LIKE, said again as a regular expression."""
    parts = (".*" if c == "%" else "." if c == "_" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL | (re.IGNORECASE | re.ASCII if fold else 0)) is not None


@pytest.mark.parametrize("name", ["tags.t", "params.p", "attributes.run_name"])
@given(value=VALUE, other=VALUE)
@example("' OR '1'='1", "plain")
@example("'; DROP TABLE run; --", "x' UNION SELECT value FROM secret --")
@MANY
def test_s22_a_filter_finds_what_plainly_holds(site: Site, searched: tuple[str, dict[str, str]], name: str, value: str, other: str):
    experiment, held = searched
    before = tables(site)
    for text, holds in (
        (f"{name} = {quoted(value)}", lambda v: v == value), (f"{name} != {quoted(value)}", lambda v: v != value), (f"{name} LIKE {quoted(value)}", lambda v: like(value, v, False)),
        (f"{name} IN ({quoted(value)}, {quoted(other)})", lambda v: v in (value, other)), (f"{name} = {quoted(value)} OR {name} = {quoted(other)}", lambda v: v in (value, other)),
        (f"NOT {name} = {quoted(value)} AND {name} NOT LIKE {quoted(other)}", lambda v: v != value and not like(other, v, False)),
    ):
        answer = search(site, experiment, text)
        if "\\" in text and answer.status == 400:
            continue  # a backslash before a quote is MLflow's escape, so this text is another one
        assert answer.status == 200, (text, answer.body)
        if "\\" in text:
            continue
        assert {r["info"]["run_id"] for r in answer.json.get("runs", [])} == {run for run, v in held.items() if holds(v)}, text
    assert tables(site) == before


@given(st.one_of(st.text(max_size=60), st.lists(st.one_of(st.sampled_from(NASTY), st.sampled_from(["tags.t", "params.`p`", "attributes.run_name", "metrics.m", "=", "LIKE", "IN (", ")", "AND", "OR", "NOT", "IS NULL", "1"])), max_size=9).map(" ".join)))
@MANY
def test_s22_any_text_is_a_filter_or_refused(site: Site, searched: tuple[str, dict[str, str]], text: str):
    experiment, held = searched
    before = tables(site)
    base = f"/mlflow/plain{site.own}/api/2.0/mlflow"
    answers = [
        search(site, experiment, text), search(site, experiment, "", order_by=[text]), search(site, experiment, "", page_token=text), search(site, text, ""),
        site.plane.send("POST", f"{base}/experiments/search", {"filter": text, "max_results": 10}), site.plane.send("POST", f"{base}/experiments/search", {"order_by": [text], "max_results": 10}),
        site.plane.send("GET", f"{base}/registered-models/search?filter={quote(text)}&order_by={quote(text)}"), site.plane.send("GET", f"{base}/model-versions/search?filter={quote(text)}"),
        site.plane.send("POST", f"{base}/logged-models/search", {"experiment_ids": [experiment], "filter": text}), site.plane.send("GET", f"{base}/metrics/get-history?run_id={quote(next(iter(held)))}&metric_key={quote(text)}"),
    ]
    for at, answer in enumerate(answers):
        assert answer.status in (200, 400, 404), (at, text, answer.status, answer.body[:300])
    for answer in answers[:3]:
        assert {r["info"]["run_id"] for r in answer.json.get("runs", [])} <= set(held)  # nothing of another experiment
    for run in answers[3].json.get("runs", []):  # a number may be an experiment's id, and then it is that one's
        assert run["info"]["experiment_id"] == text
    assert tables(site) == before


LISTS = ("$filter", "$orderBy", "$top", "$skip", "$skipToken", "listViewType", "tags", "properties", "names", "searchText", "isDefault", "hash", "count", "category", "target", "jobType", "scheduled", "api-version")


@given(st.one_of(VALUE, st.text(max_size=30)))
@MANY
def test_s22_lists_of_arm_and_storage_take_any_text(site: Site, text: str):
    before, wanted = tables(site), quote(text, safe="")
    paths = [versioned(f"{site.own}/{kind}") + f"&{name}={wanted}" for name in LISTS for kind in ("jobs", "datastores", "connections")]
    paths += [versioned(f"{site.own}/codes/x/versions") + f"&hash={wanted}", versioned(f"{site.own}/models/{wanted or 'x'}"), versioned(f"{site.own}/providers/Microsoft.Authorization/roleAssignments") + f"&$filter={wanted}"]
    for path in paths:
        answer = site.plane.send("GET", path)
        assert answer.status in (200, 400, 404, 405, 501), (path, answer.status, answer.body[:300])
    place, token = f"/{site.account(site.own)}.blob.core.windows.net", site.token("boss", "https://storage.azure.com/")
    for query in (f"comp=list&prefix={wanted}", f"comp=list&marker={wanted}", f"restype=container&comp=list&prefix={wanted}&delimiter={wanted}", f"restype=container&comp=list&marker={wanted}"):
        target = f"{place}/?{query}" if query.startswith("comp") else f"{place}/azureml?{query}"
        answer = site.plane.send("GET", target, token=token, headers={"x-ms-version": "2023-11-03"})
        assert answer.status in (200, 400, 404), (target, answer.status, answer.body[:300])
    assert tables(site) == before
