"""Scoring scripts and states of endpoints, for the tests of the gateway."""

from __future__ import annotations

from lazward.domain.serving import EndpointState, GatewayState

KEYS = ("primary-key-0123456789", "secondary-key-9876543210")
BEARER = {"Authorization": f"Bearer {KEYS[0]}"}
ECHO = """
import os
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse

def init():
    pass

@rawhttp
def run(request):
    if "fail" in request.args:
        raise ValueError("kaboom")
    if "status" in request.args:
        return AMLResponse("told to", int(request.args["status"]))
    return {"model": os.environ["WHO"], "path": request.full_path, "method": request.method,
            "body": request.get_data().decode(), "headers": dict(request.headers), "pid": os.getpid()}
"""
WAITING = """
import os, time
from werkzeug.wrappers import Response

def init():
    pass

def run(data):
    folder = os.environ["HOME"]
    if data == "stream":
        return Response(stream(folder), mimetype="text/event-stream")
    open(os.path.join(folder, "begun"), "w").close()
    until(os.path.join(folder, "go"))
    return "done"

def stream(folder):
    yield "data: 1\\n\\n"
    until(os.path.join(folder, "first-arrived"))
    yield "data: 2\\n\\n"

def until(path):
    while not os.path.exists(path):
        time.sleep(0.005)
"""


def endpoint(deployments, traffic=None, **more) -> EndpointState:
    values = {"workspace": "ws", "name": "ep", "keys": KEYS, "traffic": traffic or {}, **more}
    return EndpointState(deployments=deployments, **values)


def state(*endpoints, tokens=None) -> GatewayState:
    return GatewayState(tuple(endpoints), tokens)
