"""The contract of a scoring script: `init()` once a process, then `run(...)` for every request.

What run() gets depends on how it is written:
- undecorated: the body as str (for GET the query as a JSON object);
- @rawhttp: an AMLRequest;
- inference-schema's @input_schema/@output_schema: one argument for each key of the JSON body.
A parameter named request_headers gets a dict of the headers in all three.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
import os
import sys
import time
import traceback
from typing import Any, Callable
from urllib.parse import parse_qs

from . import legacy, timelimit
from .failures import short, traceback_text
from .logs import log
from .messages import Reply, Request, json_reply, message
from .settings import Settings
from .timelimit import ScoringTimeout

HEADERS_PARAMETER = "request_headers"


class ScriptError(Exception):
    """The scoring script does not keep the contract; the message says how."""


class BadInput(Exception):
    """The request does not fit run(); becomes an answer of `status`."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class ScriptModel:
    """A loaded script. `timeout_s` limits one call of run() where the call is made in the main thread."""

    def __init__(self, run: Callable[..., Any], timeout_s: float) -> None:
        self._run = run
        self._timeout_s = timeout_s
        parameters, self._wants_headers = _analyse(run)
        self._names = [p.name for p in parameters]
        self._required = [p.name for p in parameters if p.default is inspect.Parameter.empty]
        self._raw = legacy.is_raw(run)
        self._schema = legacy.schema_of(run)
        self._code = getattr(inspect.unwrap(run), "__code__", None)
        timelimit.prepare()

    def score(self, request: Request) -> Any:
        """A Reply, or for `async def run` an awaitable of one."""
        if request.method == "OPTIONS" and not self._raw:
            return Reply(200, b"", b"text/html; charset=utf-8", run_failed=False)
        try:
            arguments = self._arguments(request)
        except BadInput as error:
            reply = message(error.status, str(error))
            reply.run_failed = False
            return reply
        if self._wants_headers:
            arguments[HEADERS_PARAMETER] = request.header_dict()
        started = time.perf_counter()
        try:
            result = timelimit.call(self._timeout_s, self._run, **arguments)
        except (Exception, SystemExit, ScoringTimeout) as error:
            return self._failed(error)
        if inspect.isawaitable(result):
            return self._finish(result, started)
        return _reply(result, started)

    def swagger(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return self._schema or ({"type": "object", "example": {}}, {"type": "object", "example": {}})

    async def _finish(self, awaitable: Any, started: float) -> Reply:
        try:
            result = await asyncio.wait_for(awaitable, self._timeout_s)
        except asyncio.TimeoutError:
            return self._failed(ScoringTimeout())
        except (Exception, SystemExit) as error:
            return self._failed(error)
        return _reply(result, started)

    def _arguments(self, request: Request) -> dict[str, Any]:
        """Keyword arguments of run(); raises BadInput."""
        if self._raw:
            return {self._names[0]: legacy.aml_request(request)}
        if self._schema is None:
            if request.method in ("GET", "HEAD"):
                return {self._names[0]: json.dumps(_query_values(request))}
            return {self._names[0]: _decode(request.body)}
        given = _query_values(request) if request.method in ("GET", "HEAD") else _json_object(request)
        for name in self._required:
            if name not in given:
                raise BadInput(400, f"No value was given for the parameter '{name}' of run().")
        return {name: given[name] for name in self._names if name in given}

    def _failed(self, error: BaseException) -> Reply:
        if isinstance(error, ScoringTimeout):
            log.error("run() did not finish within %g ms\n%s", self._timeout_s * 1000, traceback_text(error))
            reply = message(500, f"Scoring timeout: run() did not finish within {self._timeout_s * 1000:g} ms.")
        elif self._schema is not None and self._is_conversion(error):
            log.warning("A request does not fit the input schema: %s", short(error))
            reply = message(400, f"The request does not fit the input schema of run(): {short(error)}")
        else:
            log.error("run() failed\n%s", traceback_text(error))
            reply = message(500, "The scoring script failed. Its log holds the traceback.", error=short(error))
        reply.run_failed = True
        return reply

    def _is_conversion(self, error: BaseException) -> bool:
        """True when inference-schema refused an argument, so run() itself was never entered."""
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        if any(frame.f_code is self._code for frame in frames):
            return False
        modules = {str(frame.f_globals.get("__name__", "")) for frame in frames}
        return any(name.split(".")[0] == "inference_schema" or name.startswith(legacy.__name__ + ".") for name in modules)


def load(settings: Settings) -> ScriptModel:
    """Imports the entry script and calls its init(). Whatever goes wrong is raised."""
    root = os.path.realpath(settings.app_root or os.curdir)
    path = os.path.realpath(os.path.join(root, settings.entry_script or ""))
    if not os.path.isfile(path):
        raise ScriptError(f"the entry script {settings.entry_script!r} is not a file in {root}")
    os.chdir(root)
    sys.path[:0] = [entry for entry in dict.fromkeys((os.path.dirname(path), root)) if entry not in sys.path]
    sys.argv = [path]
    legacy.install()
    module = _import(path)
    for name in ("init", "run"):
        if not callable(getattr(module, name, None)):
            raise ScriptError(f"the entry script {settings.entry_script} has no function {name}()")
    model = ScriptModel(module.run, settings.scoring_timeout_s)
    log.info("Calling init() of %s", settings.entry_script)
    module.init()
    log.info("init() has finished")
    return model


def _import(path: str) -> Any:
    # Under its file name, as `import score` would: pickled classes of the script are found again.
    name = os.path.splitext(os.path.basename(path))[0]
    if name in sys.modules or not name.isidentifier():
        name = "entry_module"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ScriptError(f"the entry script {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _analyse(run: Callable[..., Any]) -> tuple[list[inspect.Parameter], bool]:
    """The parameters of run() without request_headers, and whether it has that one."""
    parameters = list(inspect.signature(run).parameters.values())
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    for parameter in parameters:
        if parameter.kind not in kinds:
            raise ScriptError(f"run() must not have positional-only, * or ** parameters; it has {parameter}")
    data = [p for p in parameters if p.name != HEADERS_PARAMETER]
    if not data:
        raise ScriptError("run() needs a parameter for the data of a request")
    return data, len(data) < len(parameters)


def _decode(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise BadInput(400, f"The request body is not UTF-8: {error}") from None


def _json_object(request: Request) -> dict[str, Any]:
    kind = (request.header(b"content-type") or "").split(";")[0].strip().lower()
    if kind != "application/json":
        raise BadInput(415, "The header Content-Type must be application/json.")
    text = _decode(request.body)
    if not text:
        raise BadInput(400, "The request body is empty; it must be a JSON object.")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(400, f"The request body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadInput(400, "The request body must be a JSON object whose keys are the parameters of run().")
    return value


def _query_values(request: Request) -> dict[str, Any]:
    """?a=1&b=x&b=y as {"a": 1, "b": ["x", "y"]}: a value that reads as JSON counts as such."""
    values: dict[str, Any] = {}
    for name, texts in parse_qs(request.query.decode("latin-1"), keep_blank_values=True).items():
        parsed = [_json_or_text(text) for text in texts]
        values[name] = parsed[0] if len(parsed) == 1 else parsed
    return values


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _reply(result: Any, started: float) -> Reply:
    elapsed = (time.perf_counter() - started) * 1000
    try:
        reply = legacy.response_reply(result) if legacy.is_response(result) else json_reply(200, _json_value(result))
    except Exception as error:
        log.error("The result of run() can not be sent\n%s", traceback_text(error))
        reply = message(500, "The result of run() can not be sent as JSON.", error=short(error))
    if reply.run_failed is None:
        reply.run_failed = False
    reply.run_ms = elapsed
    return reply


def _json_value(result: Any) -> Any:
    return {} if result is None else result  # the reference server answers None as an empty object
