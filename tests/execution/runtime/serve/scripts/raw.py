"""@rawhttp: the request object and every kind of answer."""

from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse


def init():
    pass


@rawhttp
def run(request: AMLRequest):
    answer = request.args.get("answer")
    if answer == "text":
        return AMLResponse("body", 201, {"x-mine": "v"})
    if answer == "json":
        return AMLResponse("body", 201, json_str=True)
    if answer == "json-object":
        return AMLResponse({"a": [1]}, 200, json_str=True)
    if answer == "bytes":
        return AMLResponse(b"\x00\x01", 200, {"Content-Type": "image/png"})
    if answer == "failed":
        return AMLResponse("bad", 500)
    if answer == "none":
        return None
    if answer == "str":
        return "hello"
    if answer == "boom":
        raise ValueError("kaboom")
    if answer == "get_json":
        return request.get_json()
    if answer == "file":
        sent = request.files["image"]
        return {"name": sent.filename, "bytes": len(sent.read()), "form": dict(request.form), "type": sent.content_type}
    return {
        "method": request.method,
        "data": request.get_data().decode("latin1"),
        "args": {name: request.args.getlist(name) for name in request.args},
        "json": request.get_json(silent=True),
        "path": request.path,
        "full_path": request.full_path,
        "content_type": request.content_type,
        "header": request.headers.get("X-Mine"),
        "cookies": dict(request.cookies),
    }
