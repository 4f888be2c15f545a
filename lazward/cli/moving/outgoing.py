"""What an export writes: records in the order importers need, then files. Read in pages, with constant memory, while the server runs;
each thing is as it was at the moment it was read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from lazward.cli.moving import registry
from lazward.cli.moving.archive_file import Writer
from lazward.contract.errors import ArmError
from lazward.domain.tracking.moved import Owner, Record, Registered, RunEnd, Values, told
from lazward.domain.tracking.paths import CONTAINER
from lazward.domain.tracking.registered import LOGGED_MODEL, RUN
from lazward.orchestration.data import Place
from lazward.storage import experiments
from lazward.storage.blobs.records import BlobKey
from lazward.storage.blobs.store import BlobStore
from lazward.storage.db import Database
from lazward.storage.moving import read, rows

PAGE = 100
POINTS = 1000


class Outgoing:
    """One export. chosen: names of experiments, or () for the whole workspace. skipped: what could not be read, and why."""

    def __init__(self, db: Database, blobs: BlobStore, workspace: str, chosen: tuple[str, ...] = (), told: Callable[[int], None] | None = None):
        self.db, self.blobs, self.workspace, self.chosen = db, blobs, workspace, chosen
        self.experiments = [(seq, e) for seq, e in db.read_now(read.every_experiment, workspace) if not chosen or e.name in chosen]
        self.missing = sorted(set(chosen) - {e.name for _, e in self.experiments})
        self.skipped: list[tuple[str, str]] = []
        self._ids = {seq: e.id for seq, e in self.experiments}
        self._owners: dict[tuple[Owner, str], Place | None] = {}  # what files hang from, in order; where, if not in the owner's own folder
        self._told = told or (lambda count: None)
        _, self._account = db.read_now(experiments.workspace, workspace)

    def totals(self) -> dict[str, int]:
        return self.db.read_now(read.counts, self.workspace, list(self._ids))

    def write(self, writer: Writer, artifacts: bool) -> None:
        for record in self._records():
            writer.add(record)
            self._told(writer.records)
        if artifacts:
            with asyncio.Runner() as runner:
                for owner, id_ in self._owners:
                    self._files(runner, writer, owner, id_)

    # ---- records ------------------------------------------------------------------------------------------------------------

    def _records(self) -> Iterator[Record]:
        for _, experiment in self.experiments:
            yield experiment
        yield from self._runs()
        for model in self._paged(read.models):
            if not model.below:
                self._owners["model", model.id] = None
            yield model
        yield from self._registered()
        for trace in self._paged(read.traces):
            self._owners["trace", trace.id] = None
            yield trace
        for table in rows.WHOLES:
            yield from self._rows(table)

    def _runs(self) -> Iterator[Record]:
        for seq, run in self._paged(read.runs):
            self._owners["run", run.id] = None
            yield run
            after: tuple[Any, ...] | None = None
            while run.values and (found := self.db.read_now(read.values, seq, after, POINTS)):
                yield Values(run.id, [(key, at, step, told(value, bool(nan))) for key, at, step, value, nan in found])
                after = tuple(found[-1])
                if len(found) < POINTS:
                    break
            yield RunEnd(run.id)

    def _registered(self) -> Iterator[Record]:
        for model in self.db.read_now(registry.containers, self.workspace):
            try:
                versions = self.db.read_now(registry.versions, self.workspace, model.family, model.name)
            except ArmError as error:
                self.skipped.append((f"registered model {model.name}", error.message))
                continue
            wanted = [(version, place) for version, place in versions if not self.chosen or self._of_chosen(version.properties.get("properties") or {}, version.files)]
            if self.chosen and not wanted:
                continue
            yield self._with_aliases(model, {version.version for version, _ in wanted})
            for version, place in wanted:
                if version.files and version.files.owner == "upload" and place:
                    self._owners["upload", version.files.id] = place
                elif version.files:
                    self._owners.setdefault((version.files.owner, version.files.id), None)
                yield version

    def _of_chosen(self, properties: dict[str, Any], files: Any) -> bool:
        """Whether a version was made in one of the chosen experiments."""
        sources = {("run", properties.get(RUN)), ("model", properties.get(LOGGED_MODEL))} | ({(files.owner, files.id)} if files else set())
        return any(source in self._owners for source in sources)

    def _with_aliases(self, model: Registered, versions: set[str]) -> Registered:
        """Without aliases of versions that do not come along."""
        kept = {k: v for k, v in (model.properties.get("properties") or {}).items() if not k.startswith("mlflow.alias.") or v in versions}
        model.properties = {**model.properties, "properties": kept}
        return model

    def _rows(self, table: str) -> Iterator[Record]:
        after = 0
        while True:
            found, following = self.db.read_now(rows.rows, self.workspace, table, self._ids, after, PAGE, not self.chosen)
            for seq, row in found:
                yield row
                for part in rows.parts_of(table):
                    offset = 0
                    while (piece := self.db.read_now(rows.parts, table, seq, row.id, part, offset, PAGE)).rows:
                        yield piece
                        offset += PAGE
            if following is None:
                return
            after = following

    def _paged(self, page: Callable[..., Any]) -> Iterator[Any]:
        after: int | None = 0
        while after is not None:
            found, after = self.db.read_now(page, self.workspace, self._ids, after, PAGE)
            yield from found

    # ---- files --------------------------------------------------------------------------------------------------------------

    def _files(self, runner: asyncio.Runner, writer: Writer, owner: Owner, id_: str) -> None:
        """Of an owner in its own folder, everything below it; of one that lies elsewhere, the file or folder of that name."""
        elsewhere = self._owners[owner, id_]
        account = elsewhere.account if elsewhere else self._account or ""
        container = elsewhere.container if elsewhere else CONTAINER
        inside = elsewhere.path.rstrip("/") if elsewhere else registry.prefix_of(owner, id_)
        cut = len(inside.rpartition("/")[0]) + 1 if "/" in inside and elsewhere else 0 if elsewhere else len(inside) + 1
        marker = ""
        while True:
            try:
                page = runner.run(self.blobs.list(account, container, prefix=inside if elsewhere else inside + "/", marker=marker))
            except ArmError as error:
                if error.code == "ContainerNotFound":
                    return
                raise
            for blob in page.blobs:
                if blob.kind != "Directory" and (blob.name == inside or blob.name.startswith(inside + "/")):
                    self._file(runner, writer, owner, id_, BlobKey(account, container, blob.name), blob.name[cut:])
            marker = page.next_marker
            if not marker:
                return

    def _file(self, runner: asyncio.Runner, writer: Writer, owner: Owner, id_: str, key: BlobKey, path: str) -> None:
        try:
            _, layout = runner.run(self.blobs.find(key))
        except ArmError as error:
            self.skipped.append((f"file {path} of the {owner} {id_}", error.message))
            return
        data = _Pieces(runner, self.blobs.pieces(layout, 0, layout.size))
        writer.add_file(owner, id_, path, layout.size, data)  # type: ignore[arg-type]
        data.end()
        self._told(writer.records)



class _Pieces:
    """Bytes of a blob for those who read files."""

    def __init__(self, runner: asyncio.Runner, pieces: Any):
        self._runner, self._pieces, self._rest = runner, pieces, b""

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size:
            piece = self._runner.run(self._next())
            if not piece:
                break
            self._rest += piece
        out, self._rest = self._rest[:size], self._rest[size:]
        return out

    async def _next(self) -> bytes:
        async for piece in self._pieces:
            return bytes(piece)
        return b""

    def end(self) -> None:
        self._runner.run(self._pieces.aclose())

