"""A loopback proxy whose network can be made to fail, between a real client and a real server (plain HTTP)."""

from __future__ import annotations

import contextlib
import socket
import threading

PASS, REFUSE, CUT, HANG, BUSY, LOST, LATE = "pass", "refuse", "cut", "hang", "busy", "lost", "late"
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"


class Proxy:
    """mode: what happens to requests from now on.
    pass; refuse: nobody listens; cut: the connection breaks when something is sent; hang: no answer ever; busy: 503;
    lost: the server does what is asked, and the answer is lost; late: the same, and the answer never comes."""

    def __init__(self, target: int):
        self.target = target
        self._mode = PASS
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.requests = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._ended = False
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    @property
    def mode(self) -> str:
        return self._mode

    @mode.setter
    def mode(self, mode: str) -> None:
        before, self._mode = self._mode, mode
        if mode == REFUSE:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        elif before == REFUSE:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        with self._lock:
            gone, self._open = self._open, set()
        for one in gone:
            _close(one)

    def close(self) -> None:
        self._ended = True
        if self._mode != REFUSE:
            self.mode = REFUSE

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self.target))
        with self._lock:
            self._open |= {client, server}
        threading.Thread(target=self._back, args=(server, client), daemon=True).start()
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                self.requests += 1
                mode = self._mode
                if mode == CUT:
                    break
                if mode == BUSY:
                    client.sendall(_BUSY)
                    break
                if mode != HANG:
                    server.sendall(data)
        if self._mode not in (LOST,):
            _close(client)
        _close(server)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if self._mode == LOST:
                    break
                if self._mode != LATE:
                    client.sendall(data)
        if self._mode != HANG:
            _close(client)


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        one.close()
