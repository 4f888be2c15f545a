"""AMLRequest, AMLResponse and @rawhttp, on werkzeug as flask's own classes are."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from typing import Any, Callable, TypeVar

from werkzeug.wrappers import Request as WerkzeugRequest
from werkzeug.wrappers import Response as WerkzeugResponse

from ..messages import Request

Function = TypeVar("Function", bound=Callable[..., Any])


class AMLRequest(WerkzeugRequest):
    """The HTTP request: .method, .data, .get_data(), .args, .form, .files, .headers, .json, .get_json(), ..."""


class AMLResponse(WerkzeugResponse):
    """An answer of any status and headers. `message` is sent as it is (str or bytes), as JSON with json_str=True; a dict, list
    or number is JSON in any case. run_function_failed marks the call as failed in the answer's headers."""

    default_mimetype = "text/html"

    def __init__(
        self,
        message: Any,
        status_code: int,
        response_headers: Mapping[str, str] = {},
        json_str: bool = False,
        run_function_failed: bool = False,
    ) -> None:
        as_json = json_str or not (message is None or isinstance(message, (str, bytes)))
        body = json.dumps(message) if as_json else message
        super().__init__(body, status=status_code, mimetype="application/json" if as_json else None)
        for name, value in response_headers.items():
            self.headers[name] = value
        self.run_function_failed = run_function_failed or status_code >= 500


def rawhttp(run: Function) -> Function:
    """Marks run() as one that takes an AMLRequest."""
    run.__lazward_rawhttp__ = True  # type: ignore[attr-defined]
    return run


def build_request(request: Request) -> AMLRequest:
    """The request as the WSGI environment that werkzeug reads."""
    host = request.header(b"host") or "localhost"
    environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path.encode("utf-8").decode("latin-1"),
        "QUERY_STRING": request.query.decode("latin-1"),
        "SERVER_NAME": host.split(":")[0],
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": f"HTTP/{request.scope.get('http_version', '1.1')}",
        "REMOTE_ADDR": (request.scope.get("client") or ("127.0.0.1", 0))[0],
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in request.header_dict().items():
        key = name.upper().replace("-", "_")
        if key == "CONTENT_TYPE":
            environ["CONTENT_TYPE"] = value
        elif key != "CONTENT_LENGTH":
            environ["HTTP_" + key] = value
    return AMLRequest(environ)
