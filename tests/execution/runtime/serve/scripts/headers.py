"""request_headers as second parameter."""


def init():
    pass


def run(data, request_headers):
    return {"data": data, "header": request_headers.get("X-Mine"), "type": request_headers["Content-Type"]}
