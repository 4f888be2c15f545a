"""run() without decorator: the body arrives as str; the case is picked by it."""

import json

RESULTS = {
    "none": None,
    "str": "hello",
    "json-text": '{"a": 1}',
    "int": 3,
    "float": 1.5,
    "nan": float("nan"),
    "bool": True,
    "list": [1, "a", None],
    "dict": {"a": 1, "é": "ü"},
    "tuple": (1, 2),
    "bytes": b"abc",
    "set": {1},
}


def init():
    pass


def run(data):
    try:
        case = json.loads(data)
    except ValueError:
        return ["echo", repr(data)]
    if case == "boom":
        raise ValueError("kaboom")
    if case == "stop":
        raise SystemExit(3)
    if isinstance(case, str) and case in RESULTS:
        return RESULTS[case]
    return ["echo", repr(data)]
