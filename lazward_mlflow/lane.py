"""The way to one server: calls go straight to it while it answers, and through the journal from the moment it does not, until the journal
is empty again. So nothing overtakes anything."""

from __future__ import annotations

import hashlib
import os
import threading
import time

from lazward_mlflow import calls, places
from lazward_mlflow.drain import Drain, parts
from lazward_mlflow.journal import Full, Journal, read
from lazward_mlflow.known import Known
from lazward_mlflow.senders import Away, Forbidden
from lazward_mlflow.settings import Settings, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO, Any

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0  # between two tries to reach a server that is away
FLUSH_S = 1.0  # the journal is on the disk itself, not only out of the process, so often
CHUNK = 1 << 20


class Lane:
    """base: of the server. send: a sender for the drain (see senders.py)."""

    def __init__(self, base: str, settings: Settings, send: Callable[..., tuple[int, bytes]]):
        self.base = base
        self.settings = settings
        self.known = Known(base, settings.environ)
        self.creds: Any = None  # those of the last call, for calls that carry none
        self.away = ""  # why, as long as it is
        self.ids: dict[str, str] = {}
        self._send = send
        self._lock = threading.Lock()
        self._place: places.Place | None = None
        self._journal: Journal | None = None
        self._drain: Drain | None = None
        self._wake = threading.Event()
        self._empty = threading.Event()
        self._empty.set()
        self._thread: threading.Thread | None = None
        self._files = 0
        self._closed = False

    @property
    def pending(self) -> bool:
        """Whether calls wait in the journal: then all others must wait behind them."""
        return not self._empty.is_set()

    @property
    def folder(self) -> str:
        return self._place.folder if self._place else ""

    def rename(self, text: str) -> str:
        """What was named here while the server was away, as the server calls it."""
        for own, there in self.ids.items():
            text = text.replace(own, there)
        return text

    # ---- keeping --------------------------------------------------------------------------------------------------------

    def keep(self, record: dict[str, Any], reason: str) -> None:
        """Into the journal; after it the call is acknowledged. Raises Full, with nothing kept."""
        with self._lock:
            self._keep(record, reason)

    def keep_if_pending(self, record: dict[str, Any]) -> bool:
        """The same when calls wait already; they are not overtaken. False when none do."""
        if not self.pending:
            return False
        with self._lock:
            if not self.pending:
                return False
            self._keep(record, self.away)
            return True

    def keep_file(self, record: dict[str, Any], data: IO[bytes] | bytes, reason: str) -> None:
        """With the content of a file, which is copied: it may change as soon as we return."""
        with self._lock:
            self._open(reason)
            assert self._place
            self._files += 1
            name = f"{self._files:06d}"
            os.makedirs(self._place.files, mode=0o700, exist_ok=True)
            draft = os.path.join(self._place.files, name)
        try:
            size, digest = _copy(data, draft)
            final = f"{digest}-{name}"
            os.replace(draft, os.path.join(os.path.dirname(draft), final))
        except OSError as error:
            if os.path.exists(draft):
                os.unlink(draft)
            raise Full(f"{draft}: {error.strerror or error}") from None
        self.keep({**record, "f": final, "z": size}, reason)

    def _keep(self, record: dict[str, Any], reason: str) -> None:
        self._open(reason)
        assert self._journal
        self._journal.append({"t": round(time.time(), 3), **record})
        self._empty.clear()
        if self._thread is None and not self.settings.offline and not self._closed:
            self._thread = threading.Thread(target=self._work, name="lazward-spool", daemon=True)
            self._thread.start()

    def _open(self, reason: str) -> None:
        if self._journal is None:
            try:
                self._place = self._place or places.make(self.settings.folder, self.base)
                self._journal = Journal(self._place.journal)
            except OSError as error:
                raise Full(f"{self.settings.folder}: {error.strerror or error}") from None
        if reason and not self.away:
            self.away = reason
            if not self.settings.offline:
                say(f"{self.base} does not take what is logged ({reason}); it is kept in {self.folder} and sent when the server is back.")

    def history(self, run_id: str, key: str) -> list[dict[str, Any]] | None:
        """Every value of a metric of a run that was begun in the journal; None for another run, of which the server has more."""
        ours, found = False, []
        for _, record in read(self._place.journal) if self._place else ():
            name = calls.name_of(record["p"]) if record else ""
            if name == "runs/create" and record and record.get("o") == run_id:
                ours = True
            elif ours and record and name in calls.BATCHED and run_id in (record["b"].get("run_id"), record["b"].get("run_uuid")):
                found += [metric for metric in parts(record)[0] if metric.get("key") == key]
        return found if ours else None

    # ---- sending --------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        pause, flushed = FIRST_PAUSE_S, time.monotonic()
        self._wake.wait(pause)
        while True:
            self._wake.clear()
            try:
                if self._send_all():
                    return
                pause = FIRST_PAUSE_S
                continue
            except Away as away:
                self.away = str(away)
            except Forbidden as forbidden:
                self.away = str(forbidden)
                pause = max(pause, LONGEST_PAUSE_S / 4)
            except Exception as error:  # a fault of ours must not lose what is kept: lazward sync will send it
                self.away = f"{type(error).__name__}: {error}"
                pause = LONGEST_PAUSE_S
            deadline = time.monotonic() + pause
            while not self._wake.is_set() and time.monotonic() < deadline:
                if time.monotonic() - flushed >= FLUSH_S:
                    self._flush()
                    flushed = time.monotonic()
                self._wake.wait(min(FLUSH_S, max(deadline - time.monotonic(), 0.01)))
            pause = FIRST_PAUSE_S if self._wake.is_set() else min(pause * 2, LONGEST_PAUSE_S)

    def _send_all(self) -> bool:
        """True when there is nothing left; then this thread is no more needed."""
        assert self._place and self._journal
        if self._drain is None:
            self._drain = Drain(self._place, self._send)
            self._drain.state["ids"] = self.ids
        self._drain.run()
        with self._lock:
            if self._drain.at < self._journal.size:
                return False
            self._journal.clear()
            self._drain.begin_anew()
            if self._drain.refused:
                say(f"{self.base} refused {self._drain.refused} of the calls that were kept; they and the reasons are in {self._place.rejected}.")
                self._drain.refused = 0
            if self.away:
                self.away = ""
                say(f"{self.base} is back; {self._drain.sent} calls were sent.")
            self._drain.sent = 0
            self._thread = None
            self._empty.set()
            return True

    def _flush(self) -> None:
        try:
            if self._journal:
                self._journal.flush()
        except OSError:
            pass

    def wait(self, seconds: float) -> bool:
        """Until the journal is empty; False when that took longer."""
        if self.pending:
            self._wake.set()
        return self._empty.wait(seconds)

    def abandon(self) -> None:
        """In the child of a fork: the journal and its lock stay the parent's."""
        if self._journal:
            self._journal.close()
        if self._place:
            self._place.release()

    # ---- the end --------------------------------------------------------------------------------------------------------

    def close(self, seconds: float) -> None:
        """Sends what it can in that time and says what is left, and where."""
        if self.pending and not self.settings.offline:
            self.wait(seconds)
        with self._lock:
            self._closed = True
            if self._place is None:
                return
            if self.pending:
                self._flush()
                size = sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(self._place.folder) for name in names)
                why = "LAZWARD_OFFLINE is set" if self.settings.offline else self.away or "there was no time"
                say(f"what was logged for {self.base} was not all sent ({why}). Nothing is lost: {size} bytes are in {self.folder}. Send them with:  lazward sync {self.folder}")
            else:
                if self._journal:
                    self._journal.close()
                self._place.remove()
                self._place.release()
                self._place = self._journal = None


def _copy(data: IO[bytes] | bytes, path: str) -> tuple[int, str]:
    """(bytes, SHA-256) of what was copied."""
    digest, size = hashlib.sha256(), 0
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        if isinstance(data, (bytes, bytearray, str)):
            pieces: Any = iter([data.encode() if isinstance(data, str) else bytes(data)])
        else:
            pieces = iter(lambda: data.read(CHUNK), b"")
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
            file.write(piece)
    return size, digest.hexdigest()
