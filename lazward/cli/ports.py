"""Which ports a start takes, and the socket of the control plane."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from lazward.cli.client import reachable
from lazward.cli.output import fail

_STEP, _TRIES = 10, 50


@dataclass(frozen=True)
class Wish:
    """Of one port: `asked` by a setting (None: not set; 0: any free one), `kept` from the last start."""

    default: int
    asked: int | None
    kept: int | None


class Busy(Exception):
    """The port that has to be taken is not free. `kept` says that nobody asked for it now, but URLs out there hold it."""

    def __init__(self, name: str, port: int, kept: bool):
        super().__init__(f"{name} {port}")
        self.name = name
        self.port = port
        self.kept = kept


def choose(control: Wish, gateway: Wish, is_free: Callable[[int], bool], any_free: Callable[[], int]) -> tuple[int, int]:
    """The ports of control plane and gateway. A port asked for, or kept, is taken or refused (Busy), never replaced behind the user's
    back; one that is neither is the default or, where that is busy, the next free one in steps of 10 (8443, 8453, ...)."""
    taken: list[int] = []
    for name, wish, other in (("port", control, gateway), ("gateway port", gateway, control)):
        fixed = wish.asked if wish.asked is not None else wish.kept
        if fixed == 0:
            port = next(p for p in iter(any_free, None) if p not in (*taken, other.asked))
        elif fixed is not None and (fixed in taken or not is_free(fixed)):
            raise Busy(name, fixed, kept=wish.asked is None)
        elif fixed is not None:
            port = fixed
        else:
            not_ours = {*taken, other.asked, other.kept}
            candidates = (wish.default + _STEP * i for i in range(_TRIES))
            found = next((p for p in candidates if p <= 65535 and p not in not_ours and is_free(p)), None)
            port = found if found is not None else any_free()
        taken.append(port)
    return taken[0], taken[1]


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there and clients of `localhost` would find it and not another one."""
    # On macOS a bind succeeds next to another server's wildcard socket; and `localhost` is tried as ::1 first. So ask both ways.
    for address in {reachable(host), "127.0.0.1", "::1"}:
        try:
            with socket.create_connection((address, port), timeout=0.5) as found:
                # A free port of the ephemeral range can, by chance, be connected to itself.
                if found.getsockname() != found.getpeername():
                    return False
        except OSError:
            pass
    try:
        listen(host, port).close()
    except OSError:
        return False
    return True


def any_free(host: str) -> int:
    with listen(host, 0) as found:
        return found.getsockname()[1]


def listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(2048)
    except BaseException:
        sock.close()
        raise
    return sock


class Listener:
    """The control plane's listening socket. The supervisor holds it and hands it down, so that connections made while the control plane
    restarts wait instead of being refused, and nobody takes the port meanwhile."""

    def __init__(self, host: str, port: int):
        self.host = host
        self.port = port
        self._sock: socket.socket | None = None

    def open(self) -> int:
        """The file descriptor to inherit; opens the socket again after `close`. Raises OSError where the port has been taken."""
        if self._sock is None:
            self._sock = listen(self.host, self.port)
        return self._sock.fileno()

    def close(self) -> None:
        """Refuses connections from now on: honest while the control plane does not come up."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def refuse_busy(busy: Busy, host: str) -> None:
    """Ends the command with what is wrong and what to do."""
    flag = "--port" if busy.name == "port" else "--gateway-port"
    if busy.port < 1024 and os.geteuid() != 0:
        fail(f"{busy.name.capitalize()} {busy.port} is busy or reserved for root.", f"Choose one above 1023 with {flag}.")
    why = ", which this data dir's URLs use (saved scoring and tracking URLs hold it)," if busy.kept else ""
    fail(
        f"{busy.name.capitalize()} {busy.port}{why} is busy on {host}: another program listens there.",
        f"Stop that program, or choose another port with {flag}" + (" (URLs change then)." if busy.kept else "."),
    )
