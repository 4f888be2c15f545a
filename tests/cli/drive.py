"""The `lazward` command with the stand-in for its parts, Envoy included, which is tested elsewhere: python drive.py up ..."""

import sys

from lazward.cli import children, up
from lazward.cli.main import main
from lazward.cli.part import ChildSpec

children.MODULE = "standin_app"


def with_gateway(settings, listener, environ):
    layout = settings.layout
    argv = (sys.executable, "-P", "-m", "standin_app", "gateway", *(("changed",) if settings.location == "changed" else ()))
    env = children.child_environment(settings, environ)
    gateway = ChildSpec("gateway", argv, env, layout.logs / "gateway.log", layout.root, outlives=True)
    real = children.children(settings, listener, environ)
    return [*(spec for spec in real if spec.name != "gateway"), gateway]


up.children = with_gateway
main()
