"""The part of docs/coverage.md about MLflow: every call of the server of MLflow 3.17.2, and what this server does with it.

The calls are facts of the wire (contract/mlflow_calls.tsv); whether one is there follows from the tables of calls.
"""

from __future__ import annotations

import re
from importlib import resources as files

from lazward.apps.mlflow.calls import BY_PATH, PROXIED, RPC
from lazward.apps.mlflow.unbuilt import why

VERSION = "3.17.2"
# What is answered beside the tables of calls (routes.py).
ELSEWHERE = {
    ("GET", "/health"): "done", ("GET", "/version"): "done", ("POST", "/v1/traces"): "done", ("GET", "/api/3.0/mlflow/server-info"): "done",
    ("GET", "/api/2.0/mlflow/get-online-trace-details"): "501 in MLflow, too", ("GET", "/api/2.0/mlflow/unified-traces"): "501 in MLflow, too",
}
_API = re.compile(r"/api/\d[.]0/(mlflow|mlflow-artifacts)/(.+)")

DIFFERENCES = (
    "infinities of metrics stay infinities; params and tags of runs are kept whole up to a megabyte",
    "`order_by` with a field twice, renaming an experiment that is in the bin, a metric compared with a text and archiving to no stage are 400 instead of 500, which clients repeat",
    "an experiment's name is more than blanks",
    "what MLflow lets its database refuse (a name that is taken, a model that is not there) has MLflow's own error code instead of the database's words",
    "the search language is larger (OR, NOT, parentheses, IN for everything, BETWEEN, dates), and what MLflow reads in part only (`AND` alone, two comparisons without AND, a metric without a name) is refused",
    "the first logged model of a name lies among its run's artifacts, where Azure's clients look for it, and is listed there",
    "versions of models may be any text, as ARM's: an unknown one is 404, not 400",
    "the history of a metric of an unknown run is 404, not empty",
    "artifact locations and model sources that are files of the server are refused",
    "names of registered models and prompts differ in more than case, and follow the rules of ARM's names",
    "a model that a job or a deployment uses is neither renamed nor deleted (409 that names it)",
    "tags of models and their versions have up to 8,000 characters, as ARM's; those of prompts are not limited so",
    "a version of a registered model takes the run of its source when `run_id` is left out (400 in MLflow)",
    "evaluation datasets are made for experiments that exist; records are listed in the order they came",
    "a listed scorer shows the number of its experiment where that is a guid",
    "scorers with code of their own (`@scorer`) are refused, as by MLflow's server unless it is told otherwise; a sample rate above 0 is 501",
    "owners of review queues and who ended a review are who the token says",
    "versions of MCP servers can be ordered by version, which MLflow's server means to do and refuses; one that is deleted is an unknown one (404) to all calls",
    "icons of MCP servers have https addresses, which are not looked up",
    "MLflow's workspaces are refused as by its server started without them, but with 501 instead of 503, which clients repeat",
    "webhooks follow no redirect, are called at the address that was judged, and are tried again for two hours, after a restart too; a tag or alias that is set to what it was is no event",
)


def calls() -> list[tuple[str, str]]:
    """(verb, path) of each, as MLflow spells it."""
    lines = files.files("lazward.contract").joinpath("mlflow_calls.tsv").read_text().splitlines()[1:]
    return [(verb, path) for verb, path in (line.split("\t") for line in lines)]


def status(verb: str, path: str) -> str:
    """"done", "501: ...", "different: ..." or, for what nobody has decided about, "404"."""
    if (verb, path) in ELSEWHERE:
        return ELSEWHERE[verb, path]
    if (match := _API.fullmatch(path)) is not None:
        below = re.sub(r"\{\w+\}", "x", match[2])
        table = PROXIED if match[1] == "mlflow-artifacts" else BY_PATH
        if (match[1] == "mlflow" and (verb, below) in RPC) or any(verb == known and pattern.fullmatch(below) for known, pattern, _ in table):
            return "done"
    reason = why(match[2] if match else path.strip("/"))
    return f"501: {reason}" if reason else "404"


def render() -> list[str]:
    """Lines of the chapter."""
    known = [(verb, path, status(verb, path)) for verb, path in calls()]
    done = sum(one == "done" for _, _, one in known)
    return [
        "# Coverage of MLflow's server",
        "",
        f"Every call that clients of MLflow {VERSION} may make, below each workspace's address. **{done} of {len(known)} are there.** What is not built answers 501 with",
        "MLflow's code `NOT_IMPLEMENTED` and says why.",
        "",
        "## Differences, each on purpose",
        "",
        *(f"- {text}." for text in DIFFERENCES),
        "",
        "## Every call",
        "",
        "| status | verb | path |",
        "|---|---|---|",
        *(f"| {said} | {verb} | `{path}` |" for verb, path, said in known),
    ]
