"""The parts of the server, in one list."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from lazward.apps.serving.gateway import Gateway
from lazward.cli import client
from lazward.cli.env import IDENTITY_VARIABLES, no_proxy
from lazward.cli.part import ChildSpec
from lazward.cli.ports import Listener
from lazward.domain.settings import PREFIX, Settings

MODULE = "lazward.apps.main"
_READY_TIMEOUT = 0.5  # seconds; the supervisor's loop waits that long at most


def children(settings: Settings, listener: Listener, environ: Mapping[str, str]) -> list[ChildSpec]:
    """Everything that `lazward up` keeps running. A new part is one entry here. Raises ValueError where the data dir's path is too long
    for the sockets in it."""
    layout = settings.layout
    env = child_environment(settings, environ)
    # -P: the working folder must not come first in the module search, or a file there could take a module's place.
    argv = (sys.executable, "-P", "-m", MODULE)

    def control_ready(_pid: int) -> bool:
        try:
            client.health(settings.host, settings.port, layout.ca_certificate, _READY_TIMEOUT)
        except client.NoHealth:
            return False
        return True

    def worker_ready(pid: int) -> bool:
        # The worker writes its pid there once it takes work: it has no address to ask.
        try:
            return (layout.run / "worker.ready").read_text().strip() == str(pid)
        except OSError:
            return False

    def gateway_ready(_pid: int) -> bool:
        return client.gateway_is_live(gateway.admin_socket, _READY_TIMEOUT)

    gateway = Gateway(layout.gateway, settings.host, settings.gateway_port, layout.server_certificate, layout.server_key, (settings.public_host,))
    gateway.prepare()
    return [
        ChildSpec("control", (*argv, "control"), env, layout.logs / "control.log", layout.root, control_ready, listener, serves_tls=True),
        ChildSpec("worker", (*argv, "worker"), env, layout.logs / "worker.log", layout.root, worker_ready),
        # Not serves_tls: Envoy watches the certificate's file and reads a renewed one without being started anew.
        ChildSpec("gateway", gateway.argv(), env, layout.logs / "gateway.log", layout.root, gateway_ready, outlives=True, wanted=gateway.wanted),
    ]


def child_environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """The user's environment (proxies, index settings, credentials of buckets), less our own settings, which come in one file,
    and less what `lazward env` sets for clients: the server must not act with a client's identity."""
    layout = settings.layout
    env = {k: v for k, v in environ.items() if not k.startswith(PREFIX) and k not in IDENTITY_VARIABLES}
    bundle = str(layout.bundle)
    env.update(
        LAZWARD_DATA_DIR=str(layout.root), LAZWARD_RESOLVED_SETTINGS=str(layout.resolved_settings),
        REQUESTS_CA_BUNDLE=bundle, SSL_CERT_FILE=bundle, PYTHONUNBUFFERED="1",
        **no_proxy(environ, settings.public_host),
    )
    return env
