"""Run as a process of its own, with little time and memory, by test_s19_texts.py: every reader of texts gets texts made to take for ever.
Prints the name of each reader before it begins, so that the one that takes too long is known."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from typing import Any

from lazward.apps.blob.xml import flatten
from lazward.apps.chain import _compile
from lazward.apps.mlflow import model_sources
from lazward.apps.mlflow.memory_search import like
from lazward.contract.errors import ArmError
from lazward.contract.ids import parse
from lazward.contract.json_body import read_json
from lazward.domain import rbac
from lazward.domain.commands import Value, render
from lazward.domain.durations import parse_duration
from lazward.domain.environments import translate
from lazward.domain.genai import mcp
from lazward.domain.package_set import EnvironmentSpec
from lazward.domain.resource import _same
from lazward.domain.tracking import names
from lazward.domain.tracking.filter import (
    EXPERIMENTS,
    LOGGED_MODELS,
    MODEL_VERSIONS,
    REGISTERED_MODELS,
    RUNS,
    parse_filter,
    parse_order,
)
from lazward.domain.uris import parse_uri
from lazward.identity.sas import parse_time

CPU_S, MEMORY = 180, 3 << 30
LONG = 60_000


def texts(n: int = LONG) -> Iterator[str]:
    """Runs of one thing, and runs that nearly end as they should: what backtracking falls for."""
    for unit in ("a", " ", "(", ")", "'", '"', "\\", "`", ".", "/", ":", "-", "%", "_", "0", "9", "=", "\n", "\t", "{", "[", "&", "*", "a.", "a ", "''", "\\'", "a=", "../", "%2e", "a/", "1.", "e+", "ab ab "):
        run = unit * (n // len(unit))
        yield from (run, run + "!", "!" + run, run + "\0")
    for head in ("metrics.a = ", "params.a LIKE '", "attributes.`", "azureml://", "azureml://subscriptions/", "runs:/", "models:/m-", "https://", "/subscriptions/", "principalId eq '", "FROM ", "RUN ", "name: "):
        yield from (head + unit * (n // len(unit)) for unit in ("a", " ", "/", "'", "\\", "(", "a/", "/workspaces/x", " AND ", "$", "{{"))
    yield "azureml://x" + "/subscriptions/a/workspaces/b" * (4000 // 28) + "/experiments/e/runs/r"
    yield "NOT " * (n // 4) + "metrics.a > 1"
    yield "metrics.a > 1 AND " * (n // 18) + "metrics.a > 1"
    yield "params.a IN (" + "'x'," * (n // 4) + "'y')"


YAML_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9))
CONDA_BOMBS = [
    f"name: x\n{YAML_BOMB}dependencies: *j\n", f"name: x\n{YAML_BOMB}dependencies:\n- pip:\n  - *j\n", "dependencies: &d [*d]\n", "dependencies:\n" + "- a\n" * 20_000,
    "dependencies: " + "[" * 900 + "]" * 900, "x: " + "[" * 20_000, "dependencies:\n- " + "a" * 200_000, "dependencies:\n- python=" + "1." * 50_000, "&a " * 10_000, "? " * 5_000, "- " * 3_000 + "a",
    "dependencies:\n- pip:\n" + "  - six\n" * 20_000, "dependencies:\n- pip:\n  - -r requirements.txt\n",
]
DOCKERFILES = [
    "FROM python:3.11\nRUN " + "a && " * 20_000 + "b", "FROM a AS a\n" * 5_000, "ARG A=${A}${A}\n" * 40 + "FROM python:${A}", "FROM python:3.11\n" + "ENV A=$A$A\n" * 60 + "RUN pip install $A",
    "FROM python:3.11\nENV A=" + "a" * 1000 + "\n" + "ENV A=$A$A$A$A\n" * 40 + "RUN pip install $A", "FROM python:3.11\nRUN pip install " + "'" * 60_001, "FROM python:3.11\nRUN " + "$(" * 30_000,
    "FROM python:3.11\nRUN " + "{ " * 20_000, "FROM python:3.11\nRUN echo \\\n" * 5_000, "FROM python:3.11\nRUN <<E" * 5_000, "FROM ${" + "A:-${" * 20_000, "# escape=`\nFROM a`\n" * 5_000,
]
XML_BOMB = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9)) + b"]><BlockList>&j;</BlockList>"


def readers() -> Iterator[tuple[str, Callable[[str], Any]]]:
    for grammar, name in ((RUNS, "runs"), (EXPERIMENTS, "experiments"), (LOGGED_MODELS, "logged models"), (REGISTERED_MODELS, "models"), (MODEL_VERSIONS, "versions")):
        yield f"filter of {name}", lambda text, grammar=grammar: parse_filter(text, grammar)
    yield "order", lambda text: parse_order(text[:1000], RUNS)
    yield "like", lambda text: (like("a" * 2000, text[:1000]), like("a" * 2000, "%a" * 500 + "b"), like("ab" * 1000, "%_b" * 300))
    yield "uris", lambda text: parse_uri(text[:8192])
    yield "ids", parse
    yield "filter of roles", rbac.parse_filter
    yield "patterns of actions", lambda text: (rbac.matches(text[:256], "Microsoft.MachineLearningServices/workspaces/jobs/read" * 4), rbac.matches("*a" * 128, "a" * 2000 + "b"))
    yield "times", lambda text: parse_time(text)
    yield "durations", lambda text: parse_duration(text, "x")
    yield "commands", lambda text: render(text[:20_000], {"a": Value("x" * 100)}, {})
    yield "semantic versions", lambda text: mcp.precedence(f"1.0.0-{text[:120]}")
    yield "names of MCP servers", lambda text: mcp.check_name(f"com.example/{text[:240]}")
    yield "keys and ids", lambda text: (names.is_key(text), names.check_location(text), names.check_run_id(text))
    yield "model sources", lambda text: [form.fullmatch(text[:4096]) for form in (model_sources._PROXIED, model_sources._RUNS, model_sources._MODEL, model_sources._VERSION, model_sources._PLUGIN, model_sources._UPLOADED)]
    yield "yaml compared", lambda text: _same("\n" + text[:10_000], text[:10_000] + "\n")
    yield "json", lambda text: read_json(text.encode())
    yield "xml", lambda text: flatten(text.encode(), "BlockList")
    patterns = [_compile(p) for p in ("/subscriptions/{scope:path}/providers/Microsoft.Authorization/{kind:roleAssignments|roleDefinitions}/{name}", "/a/{b}/c/{d:path}", "/{tenant:[A-Za-z0-9.-]+}/oauth2/v2.0/token")]
    yield "routes", lambda text: [pattern.match("/subscriptions/" + text) for pattern in patterns]


def special() -> Iterator[tuple[str, Callable[[], Any]]]:
    for at, text in enumerate(CONDA_BOMBS):
        yield f"conda file {at}", lambda text=text: translate(EnvironmentSpec(name="x", conda_file=text, context_files={"requirements.txt": "-r requirements.txt\n"}))
    for at, text in enumerate(DOCKERFILES):
        yield f"Dockerfile {at}", lambda text=text: translate(EnvironmentSpec(name="x", dockerfile=text, context_files={"Dockerfile": text}))
    yield "image", lambda: [translate(EnvironmentSpec(name="x", image=text[:5000])) for text in texts(5000)]
    yield "yaml bomb compared", lambda: _same(YAML_BOMB + "\n", YAML_BOMB)
    yield "xml bomb", lambda: flatten(XML_BOMB, "BlockList")
    yield "requirements", lambda: translate(EnvironmentSpec(name="x", conda_file="dependencies:\n- pip:\n  - -r r.txt\n", context_files={"r.txt": "a" * 50_000 + "\\\n" * 20_000 + "[" * 20_000 + "; " * 10_000}))


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    calls = [(name, lambda read=read, text=text: read(text)) for name, read in readers() for text in texts()]
    for name, call in [*calls, *special()]:
        print(name, file=sys.stderr, flush=True)
        try:
            call()
        except (ArmError, ValueError):
            pass  # refused in words
    print("done", flush=True)


if __name__ == "__main__":
    main()
