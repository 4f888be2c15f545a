"""`lazward up`: prepares the data dir, then supervises the parts of the server, in this terminal or detached."""

from __future__ import annotations

import datetime as dt
import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from lazward.cli import datadir, logs, ports, processes
from lazward.cli.children import children
from lazward.cli.output import OK, fail, for_shell, progress, show
from lazward.cli.settings import load
from lazward.cli.supervisor import Options, Supervisor, end_leftovers, leftovers
from lazward.domain.layout import default_data_dir
from lazward.domain.settings import Merged, Settings, encode
from lazward.identity.private_files import write_private

_START_TIMEOUT = 120.0  # seconds that --detach waits for the parts to be ready


def up(
    *,
    data_dir: str | None = None,
    host: str | None = None,
    port: int | None = None,
    gateway_port: int | None = None,
    public_host: str | None = None,
    database_url: str | None = None,
    storage_url: str | None = None,
    location: str | None = None,
    log_level: Literal["debug", "info", "warning", "error"] | None = None,
    config: str | None = None,
    set: list[str] | None = None,
    detach: bool = False,
) -> int:
    """Start the server; at the first start make its state, certificate authority and first principal.

    Parameters
    ----------
    data_dir
        Folder of all local state (default: $XDG_DATA_HOME/lazward or ~/.lazward).
    host
        Address to listen on (default: 127.0.0.1).
    port
        Port of the control plane (default: 8443, or the next free one at the first start); 0 takes any.
    gateway_port
        Port of the inference gateway (default: 8444, likewise).
    public_host
        Name that clients use in URLs (default: localhost).
    database_url
        sqlite:////path or postgresql://... (default: lazward.db in the data dir).
    storage_url
        Folder, s3://, az:// or gs:// for blobs (default: blobs in the data dir).
    location
        Region name that resources show (default: local).
    log_level
        debug, info, warning or error (default: info).
    config
        A TOML file of settings instead of settings.toml in the data dir.
    set
        Any other setting, as name=value; may be repeated.
    detach
        Return once the server is ready; it goes on in the background.
    """
    flags = {
        "data_dir": data_dir, "host": host, "port": port, "gateway_port": gateway_port, "public_host": public_host,
        "database_url": database_url, "storage_url": storage_url, "location": location, "log_level": log_level,
    }
    merged = load(flags, set or (), config)
    start = Start(merged)
    return start.detached() if detach else start.supervise(say=progress, on_ready=lambda: show(welcome(start.settings)), detached=False)


class Start:
    """One start: everything that can go wrong before the parts run goes wrong in the constructor, in the user's terminal."""

    def __init__(self, merged: Merged):
        layout = merged.settings.layout
        datadir.prepare(layout)
        self.lock = datadir.lock(layout)
        _renew_certificates(merged.settings)
        self.left = leftovers(layout.parts_file)
        self.settings = self._with_ports(merged)
        s = self.settings
        self.listener = ports.Listener(s.host, s.port)
        try:
            self.listener.open()
        except OSError:
            ports.refuse_busy(ports.Busy("port", s.port, kept=False), s.host)
        try:
            self.specs = children(s, self.listener, os.environ)
        except ValueError as error:
            fail(f"{error}.", "Choose a shorter --data-dir.")
        write_private(layout.resolved_settings, encode(s))
        datadir.write_endpoint(layout, datadir.Endpoint(s.host, s.port, s.gateway_port, s.public_host, s.base_url + "/", s.gateway_url + "/"))

    def _with_ports(self, merged: Merged) -> Settings:
        s = merged.settings
        # Parts left by a killed server hold its ports; only one that outlives its supervisor may keep its own.
        _end([record for record in self.left if not record.get("outlives")], s.stop_grace)
        self.left = [record for record in self.left if record.get("outlives")]
        kept = datadir.read_endpoint(s.layout)
        ours = {kept.gateway_port} if kept and self.left else set()

        def wish(name: str, default: int) -> ports.Wish:
            asked = getattr(s, name) if merged.origins[name] != "default" else None
            return ports.Wish(default, asked, getattr(kept, name) if kept else None)

        try:
            port, gateway_port = ports.choose(
                wish("port", Settings().port), wish("gateway_port", Settings().gateway_port),
                lambda p: p in ours or ports.is_free(s.host, p), lambda: ports.any_free(s.host),
            )
        except ports.Busy as busy:
            ports.refuse_busy(busy, s.host)
        return msgspec.structs.replace(s, port=port, gateway_port=gateway_port)

    def supervise(
        self, say: Callable[[str], None], on_ready: Callable[[], None], on_hopeless: Callable[[str], None] = lambda reason: None, *, detached: bool,
    ) -> int:
        """Runs the supervisor in this process until it is told to stop."""
        s = self.settings
        layout = s.layout
        self.lock.say_pid()
        known = {spec.name: spec.fingerprint for spec in self.specs if spec.outlives}
        adopted = [record for record in self.left if known.get(record["name"]) == record.get("fingerprint")]
        _end([record for record in self.left if record not in adopted], s.stop_grace)
        datadir.write_server(layout, datadir.Server(
            os.getpid(), processes.identity(os.getpid()) or "", s.host, s.port, s.gateway_port, s.base_url + "/", s.gateway_url + "/", time.time(),
        ))
        options = Options(
            layout.parts_file, layout.logs / "supervisor.log", s.log_max_bytes, s.log_keep, s.stop_grace, renew=lambda: _renew_certificates(s),
        )
        Supervisor(self.specs, options, say, on_ready, on_hopeless, ignore_hangup=detached).run(adopted)
        if layout.database.exists() or not s.database_url.startswith("sqlite"):
            from lazward.apps.serving.shutdown import (
                stop_model_servers,  # its imports are paid at the end, not at the start
            )

            stop_model_servers(s)
        layout.server_file.unlink(missing_ok=True)
        return OK

    def detached(self) -> int:
        """Runs the supervisor in a process of its own; returns when every part is ready, or ends the command with what went wrong."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            self._in_background(writer)
        os.close(writer)
        self.lock.release_in_this_process()
        self.listener.close()
        try:
            news = _read_line(reader, _START_TIMEOUT)
        except KeyboardInterrupt:
            os.kill(pid, signal.SIGTERM)
            raise
        if news == "ready":
            show(welcome(self.settings))
            return OK
        log = self.settings.layout.logs
        if news is None:
            fail(f"The server was not ready within {_START_TIMEOUT:g} s; it goes on starting.", f"See `lazward status` and {log}.")
        os.waitpid(pid, 0)
        fail(f"The server could not start: {news or 'its supervisor ended'}.", f"See the logs in {log}, then run `lazward up` again.")

    def _in_background(self, writer: int) -> None:
        """The forked child: never returns."""
        code = 1
        log = self.settings.layout.logs / "supervisor.log"
        try:
            os.setsid()
            with open(os.devnull, "rb") as nothing:  # noqa: PTH123
                os.dup2(nothing.fileno(), 0)
            sink = logs.open_log(log)
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            os.close(sink)

            def tell(news: str) -> None:
                try:
                    os.write(writer, news.replace("\n", " ").encode() + b"\n")
                except BrokenPipeError:
                    pass

            def hopeless(reason: str) -> None:
                tell(reason)
                os.kill(os.getpid(), signal.SIGTERM)  # `up --detach` fails, and leaves nothing behind

            code = self.supervise(lambda line: None, lambda: tell("ready"), hopeless, detached=True)
        except BaseException as error:
            logs.append(log, f"the supervisor failed: {error!r}")
        finally:
            os._exit(code)


def welcome(s: Settings) -> str:
    """What to do next, for people."""
    here = "" if s.data_dir == os.path.realpath(default_data_dir(os.environ, str(Path.home()))) else f" --data-dir {for_shell(s.data_dir)}"
    return "\n".join([
        "Lazward is ready.",
        f"  server    {s.base_url}/",
        f"  scoring   {s.gateway_url}/",
        f"  data dir  {s.data_dir}",
        "",
        "Point a shell at it, so that azure-ai-ml, az and mlflow work there unchanged:",
        f'  eval "$(lazward env{here})"',
        "In Python there:",
        '  MLClient(DefaultAzureCredential(), *(os.environ["LAZWARD_" + n] for n in ("SUBSCRIPTION_ID", "RESOURCE_GROUP", "WORKSPACE")))',
        f"Look at it: lazward status{here}   stop it: lazward down{here}",
    ])


def _renew_certificates(s: Settings) -> bool:
    """Makes or renews what `keys/` needs; returns whether there is a new server certificate."""
    from lazward.identity.ca import CaError, ensure_certificates
    from lazward.identity.master_key import ensure_master_key
    from lazward.identity.trust import write_bundle

    layout = s.layout
    try:
        certificates = ensure_certificates(layout.keys, s.public_host, dt.datetime.now(dt.UTC))
        ensure_master_key(layout.master_key)
    except (CaError, ValueError) as error:
        fail(str(error).rstrip("."), "See docs/guides/settings.md, 'Keys'.")
    write_bundle(layout.bundle, layout.ca_certificate, os.environ)
    return certificates.changed


def _end(records: list, grace: float) -> None:
    try:
        end_leftovers(records, grace, progress)
    except RuntimeError as error:
        fail(f"{error}.", "Restart the machine if it cannot be killed.")


def _read_line(fd: int, timeout: float) -> str | None:
    """One line from the pipe; "" when the other end is closed without one; None when the time is over."""
    deadline = time.monotonic() + timeout
    data = b""
    while not data.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            return None
        chunk = os.read(fd, 4096)
        if not chunk:
            return ""
        data += chunk
    return data.decode("utf-8", "replace").strip()

